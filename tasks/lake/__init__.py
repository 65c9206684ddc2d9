"""Tables: contracts, snapshots, reading, writing and maintenance."""

from tasks.lake.lake import Lake
from tasks.lake.snapshot import Snapshot

__all__ = ["Lake", "Snapshot"]
