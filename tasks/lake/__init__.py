"""Tables: contracts, snapshots, reading, writing and maintenance."""

from tasks.lake.lake import Lake
from tasks.lake.snapshot import Snapshot, Snapshots

__all__ = ["Lake", "Snapshot", "Snapshots"]
