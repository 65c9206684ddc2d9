"""Keeping the lake small: compact many small files, drop days past their retention, vacuum what nobody may read."""

from dataclasses import dataclass
from datetime import date, timedelta

from tasks.lake.contracts import CONTRACTS
from tasks.lake.lake import Lake, open_table
from tasks.lake.storage import filesystem

UNDO_HOURS = 30 * 24
"""Versions of the last month stay readable: for a rollback, and for a run that comes back after a long pause."""


@dataclass(frozen=True, slots=True)
class Tidied:
    """What keeping one table small did to it."""

    table: str
    old_days_dropped: bool
    files_joined: int
    files_removed: int

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return self.old_days_dropped or self.files_joined > 0 or self.files_removed > 0


def tidy(lake: Lake, as_of: date, keep_days: int, keep_hours: int = UNDO_HOURS) -> tuple[Tidied, ...]:
    """Drop days past ``keep_days``, join small files and remove what no version of ``keep_hours`` needs."""
    dropped = drop_days(lake, as_of, keep_days)
    return tuple(
        Tidied(table, table in dropped, compact(lake, table), vacuum(lake, table, keep_hours))
        for table in sorted(CONTRACTS)
    )


def compact(lake: Lake, table: str) -> int:
    """Join small files into large ones without changing content; returns the files removed."""
    found = open_table(lake.address(table))
    if found is None:
        return 0
    return int(found.optimize.compact()["numFilesRemoved"])


def drop_days(lake: Lake, as_of: date, keep_days: int) -> list[str]:
    """Delete partitions older than ``keep_days`` from every table that holds one partition per day."""
    oldest = as_of - timedelta(days=keep_days)
    dropped = []
    for contract in CONTRACTS.values():
        found = open_table(lake.address(contract.table)) if contract.partition_by[:1] == ("as_of",) else None
        if found is not None and found.delete(f"as_of < '{oldest}'")["num_deleted_rows"]:
            dropped.append(contract.table)
    return dropped


def vacuum(lake: Lake, table: str, keep_hours: int) -> int:
    """Remove files that only versions older than ``keep_hours`` need (0 after an erasure); returns how many."""
    found = open_table(lake.address(table))
    if found is None:
        return 0
    # Delta names removed files again every time and writes a commit for each vacuum: ask first what still lies there.
    unneeded = found.vacuum(retention_hours=keep_hours, dry_run=True, enforce_retention_duration=False)
    address = lake.address(table)
    lying = {path.rsplit("/", 1)[-1] for path in filesystem(address).find(address)} if unneeded else set()
    present = [path for path in unneeded if path.rsplit("/", 1)[-1] in lying]
    if present:
        found.vacuum(retention_hours=keep_hours, dry_run=False, enforce_retention_duration=False)
    return len(present)
