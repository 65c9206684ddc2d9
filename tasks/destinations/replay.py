"""Send dead letters again after a fix: they are released, and a plan is made for exactly those customers."""

from collections.abc import Collection, Sequence
from datetime import date, datetime

import duckdb
import pyarrow as pa

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.plan import Plan, make_plan
from tasks.lake import Lake, Snapshot


def open_letters(lake: Lake, destinations: Collection[str] = ()) -> list[dict[str, object]]:
    """Dead letters of pushes by destination, code and reason: customers and value at stake, largest first."""
    with lake.database([lake.latest("dead_letters")]) as db:
        return list(
            db.execute(
                """
                SELECT "where" AS destination, code, reason, count(*) AS customers,
                    sum(value_at_stake) AS value_at_stake, max(tries) AS tries, min(first_seen) AS first_seen
                FROM dead_letters
                WHERE open AND what = 'push' AND (len($names) = 0 OR "where" IN (SELECT unnest($names)))
                GROUP BY ALL ORDER BY value_at_stake DESC, destination, code, reason
                """,
                {"names": sorted(destinations)},
            )
            .to_arrow_table()
            .to_pylist()
        )


def replay(
    lake: Lake,
    snapshots: Sequence[Snapshot],
    destinations: Sequence[DestinationSettings],
    brake: BrakeSettings,
    *,
    as_of: date,
    at: datetime,
    person_key: str,
) -> tuple[Plan, Snapshot]:
    """Release the open dead letters of these destinations and plan their customers again; apply it like any plan."""
    with lake.database([lake.latest("dead_letters")]) as db:
        released = _released(db, [one.name for one in destinations])
        customers = sorted({row["customer_id"] for row in released.to_pylist()})
    if len(released):
        lake.merge("dead_letters", released)
    return make_plan(
        lake, snapshots, destinations, brake, as_of=as_of, at=at, person_key=person_key, only=customers or [""]
    )


def _released(db: duckdb.DuckDBPyConnection, names: list[str]) -> pa.Table:
    return db.execute(
        "SELECT * REPLACE (NULL::VARCHAR AS digest) FROM dead_letters "
        "WHERE open AND what = 'push' AND customer_id IS NOT NULL AND \"where\" IN (SELECT unnest($names))",
        {"names": names},
    ).to_arrow_table()
