"""Which partitions of a table changed between two versions, read from the lists of files."""

import re

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from tasks.lake.lake import Lake
from tasks.lake.snapshot import Snapshot
from tasks.lake.storage import delta_options

_BUCKET = re.compile(r"/bucket=(\d+)/")


def changed_buckets(lake: Lake, old: Snapshot, new: Snapshot) -> list[int]:
    """Buckets whose files differ between two snapshots of one table; all buckets when the old one cannot be read."""
    if old.version == new.version:
        return []
    try:
        before = _files(lake, old)
    except DeltaError:
        before = set()
    return sorted({int(found[1]) for uri in before ^ _files(lake, new) if (found := _BUCKET.search(uri))})


def _files(lake: Lake, snapshot: Snapshot) -> set[str]:
    if snapshot.version is None:
        return set()
    address = lake.address(snapshot.table)
    return set(DeltaTable(address, version=snapshot.version, storage_options=delta_options(address)).file_uris())
