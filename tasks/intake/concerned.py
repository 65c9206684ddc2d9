"""Which customers a change of the tables concerns: the difference of two states, not a promise of whoever wrote."""

import pyarrow as pa
from deltalake.exceptions import DeltaError

from tasks.lake import Lake, Snapshots
from tasks.lake.changes import changed_buckets
from tasks.lake.contracts import CONTRACTS

WATCHED = ("orders", "customers", "consent", "sessions", "engagement")
_ADDED_ONLY = {"sessions", "engagement"}
_MARK = "refresh"


def concerned_customers(lake: Lake, before: Snapshots, after: Snapshots) -> list[str]:
    """Everyone with another order, profile, consent, visit or message in ``after`` than in ``before``, sorted.

    Customers that were joined with another appear too, under both ids.
    """
    found: set[str] = set()
    for table in WATCHED:
        if before[table].version != after[table].version:
            found |= _differing(lake, table, before, after)
    return sorted(found)


def _differing(lake: Lake, table: str, before: Snapshots, after: Snapshots) -> set[str]:
    try:
        old = lake.scan(before[table])
    except DeltaError:  # that version is no longer kept: everything may be new
        old = f"SELECT * FROM ({lake.scan(after[table])}) WHERE false"
    new = lake.scan(after[table])
    contract = CONTRACTS[table]
    if "bucket" in contract.names:
        buckets = ", ".join(map(str, changed_buckets(lake, before[table], after[table]))) or "-1"
        old, new = (f"SELECT * FROM ({part}) WHERE bucket IN ({buckets})" for part in (old, new))
    names = ", ".join(f'"{name}"' for name in (contract.key if table in _ADDED_ONLY else contract.names))
    names = names if table not in _ADDED_ONLY else f"{names}, customer_id"
    old, new = (f"SELECT {names} FROM ({part})" for part in (old, new))
    with lake.database() as db:
        rows = db.sql(
            f"SELECT DISTINCT customer_id FROM (({new} EXCEPT {old}) UNION ALL ({old} EXCEPT {new})) "
            "WHERE customer_id IS NOT NULL"
        ).fetchall()
    return {customer for (customer,) in rows}


def refreshed_until(lake: Lake) -> Snapshots | None:
    """The state of the tables that features and segments of the current day already show; None when never written."""
    with lake.database([lake.latest("derived")]) as db:
        rows = db.execute('SELECT input, version FROM derived WHERE "table" = ?', [_MARK]).fetchall()
    if {name for name, _ in rows} != set(WATCHED):
        return None
    return Snapshots(versions={name: None if version < 0 else version for name, version in rows})


def mark_refreshed(lake: Lake, shown: Snapshots) -> None:
    """Write down that features and segments of the current day show this state of the tables."""
    if refreshed_until(lake) == Snapshots.of(shown.only(WATCHED)):
        return
    rows = [
        {"table": _MARK, "input": table, "version": -1 if shown[table].version is None else shown[table].version}
        for table in WATCHED
    ]
    lake.merge("derived", pa.Table.from_pylist(rows, schema=CONTRACTS["derived"].schema))


def state_of(lake: Lake) -> Snapshots:
    """The newest state of the watched tables."""
    return Snapshots.of(lake.latest(table) for table in WATCHED)
