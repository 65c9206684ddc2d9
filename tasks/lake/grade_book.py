"""The grades of models: written once per target and window, and read back as the champions in use."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from tasks.lake.contracts import CONTRACTS
from tasks.lake.lake import Lake
from tasks.lake.snapshot import Snapshot

TABLE = "model_grades"

_CHAMPIONS = """
    SELECT target, model FROM model_grades WHERE champion AND cutoff + horizon_days::INTEGER <= $as_of
    QUALIFY row_number() OVER (PARTITION BY target ORDER BY cutoff DESC, horizon_days DESC, model) = 1
    ORDER BY target
"""


def champions(db: duckdb.DuckDBPyConnection, as_of: date) -> dict[str, str]:
    """The model in use per target: the champion of the newest back-test whose window had closed by ``as_of``.

    Reads the view ``model_grades``.
    """
    return dict(db.execute(_CHAMPIONS, {"as_of": as_of}).fetchall())


def write_grades(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> Snapshot:
    """Write rows of ``model_grades``; a window graded before is graded anew, and what is not said again is dropped.

    The new rows land before the old ones go, so that a killed run leaves no window without a champion.
    """
    if not rows:
        return lake.latest(TABLE)
    table = pa.Table.from_pylist([dict(row) for row in rows], CONTRACTS[TABLE].schema)
    written = lake.merge(TABLE, table)
    stale = _stale(lake, written, table)
    return lake.delete(TABLE, " OR ".join(f"({condition})" for condition in stale)) if stale else written


def _stale(lake: Lake, written: Snapshot, rows: pa.Table) -> list[str]:
    """One condition per metric of the same windows that ``rows`` do not say again."""
    with lake.database([written]) as db:
        db.register("said", rows)
        found = db.execute(
            "SELECT target, cutoff, horizon_days, model, metric FROM model_grades "
            "SEMI JOIN said USING (target, cutoff, horizon_days) "
            "ANTI JOIN said USING (target, cutoff, horizon_days, model, metric) ORDER BY ALL"
        ).fetchall()
    names = ("target", "cutoff", "horizon_days", "model", "metric")
    pairs = [zip(names, row, strict=True) for row in found]
    return [" AND ".join(f"{name} = {_literal(value)}" for name, value in each) for each in pairs]


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
