"""A few customers measured again during the day, merged into the features of the morning.

Whoever did something since the morning is measured as tomorrow's run will measure them; others as of the morning, so
that a changed profile moves nobody. Scores are read from the quintile borders of the morning, which stay as they are.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from tasks.config import Config
from tasks.features.measures import measure
from tasks.features.refreshed_predictions import move_predictions
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.buckets import bucket_of
from tasks.lake.contracts import CONTRACTS

TABLE = "customer_features"
_OF_CUSTOMERS = ("customers", "sessions", "engagement", "consent")
_OF_BUCKETS = ("orders", "order_lines", "category_totals")

_FRESH = """
    SELECT customer_id FROM orders WHERE order_date >= $day
    UNION SELECT customer_id FROM sessions WHERE session_date >= $day
    UNION SELECT customer_id FROM engagement WHERE event_date >= $day
    UNION SELECT customer_id FROM customers WHERE timezone($timezone, created_at)::DATE >= $day
"""


def _score(name: str, border: str) -> str:
    """The quintile of the morning into whose borders the value falls; null without an order."""
    found = f"SELECT coalesce(max(quintile) FILTER ({border}), min(quintile)) FROM cuts WHERE score = '{name}'"
    return f"CASE WHEN m.recency_days IS NOT NULL THEN ({found}) END AS {name}_score"


_SCORED = f"""
    SELECT * REPLACE (
        $day::DATE AS as_of,
        {_score("r", "highest >= m.recency_days")},
        {_score("f", "lowest <= m.orders")},
        {_score("m", "lowest <= m.monetary")}
    ) FROM measures m
"""


def refresh_features(
    lake: Lake, config: Config, day: date, measured_on: date, *, customers: Sequence[str], known: Snapshots
) -> Snapshot:
    """Measure ``customers`` again and merge them into the partition ``day`` of customer_features.

    ``measured_on`` is the morning up to which facts count for those who did something on or after ``day``. Customers
    that are no more (joined with another) are taken out. Predictions: see ``move_predictions``.
    """
    with lake.database() as db:
        _open(db, lake, config, day, customers=customers, known=known)
        create, add = "CREATE TEMP TABLE refreshed AS", "INSERT INTO refreshed"
        for morning, who, into in ((day, "ANTI", create), (measured_on, "SEMI", add)):
            _narrow(db, who)
            measure(db, morning, config.timezone, config.features, everyone="all_orders")
            db.execute(f"{into} {_SCORED}", {"day": day})
        rows = _with_predictions(db, lake, day, known)
        gone = db.sql("SELECT customer_id FROM previous ANTI JOIN refreshed USING (customer_id)").fetchall()
    written = lake.merge(TABLE, rows) if len(rows) else lake.latest(TABLE)
    return _without(lake, day, [customer for (customer,) in gone]) if gone else written


def _open(
    db: duckdb.DuckDBPyConnection,
    lake: Lake,
    config: Config,
    day: date,
    *,
    customers: Sequence[str],
    known: Snapshots,
) -> None:
    """Tables ``whole_…`` with all that concerns the customers; ``fresh``: who did something since the morning."""
    db.register("asked", pa.table({"customer_id": pa.array(sorted(customers), pa.string())}))
    db.execute("CREATE TEMP TABLE concerned AS SELECT * FROM asked")
    buckets = sorted({bucket_of(customer, config.buckets) for customer in customers})
    within = f"bucket IN ({', '.join(map(str, buckets))})"
    for table in (*_OF_CUSTOMERS, *_OF_BUCKETS):
        rows = f"SELECT * FROM ({lake.scan(known[table])}) SEMI JOIN concerned USING (customer_id)"
        condition = f" WHERE {within}" if table in _OF_BUCKETS else ""
        db.execute(f"CREATE TEMP TABLE whole_{table} AS {rows}{condition}")
        db.execute(f"CREATE VIEW {table} AS SELECT * FROM whole_{table}")
    db.execute(f"CREATE VIEW products AS {lake.scan(known['products'])}")
    db.execute(f"CREATE VIEW all_orders AS {lake.scan(known['orders'])}")
    db.execute(f"CREATE VIEW cuts AS SELECT * FROM ({lake.scan(known['score_cuts'])}) WHERE as_of = DATE '{day}'")
    db.execute(
        f"CREATE TEMP TABLE previous AS SELECT * FROM ({lake.scan(known[TABLE])}) SEMI JOIN concerned "
        f"USING (customer_id) WHERE as_of = DATE '{day}'"
    )
    values = {"day": day, "timezone": config.timezone}
    db.execute(f"CREATE TEMP TABLE fresh AS SELECT DISTINCT customer_id FROM ({_FRESH})", values)


def _narrow(db: duckdb.DuckDBPyConnection, who: str) -> None:
    """Show only the fresh customers (``SEMI``) or only the others (``ANTI``) in the views that are measured."""
    for table in (*_OF_CUSTOMERS, *_OF_BUCKETS):
        db.execute(
            f"CREATE OR REPLACE VIEW {table} AS SELECT * FROM whole_{table} {who} JOIN fresh USING (customer_id)"
        )


def _with_predictions(db: duckdb.DuckDBPyConnection, lake: Lake, day: date, known: Snapshots) -> pa.Table:
    db.execute("UPDATE refreshed SET rfm_score = r_score + f_score + m_score")
    parameters = _rows(
        db,
        f"SELECT model, parameter, value FROM ({lake.scan(known['model_parameters'])}) "
        "WHERE as_of = (SELECT max(as_of) FROM "
        f"({lake.scan(known['model_parameters'])}) WHERE as_of <= DATE '{day}')",
    )
    horizon = _horizon(db, lake, day, known)
    return move_predictions(
        refreshed=db.sql("SELECT * FROM refreshed ORDER BY customer_id").to_arrow_table(),
        previous=db.sql("SELECT * FROM previous ORDER BY customer_id").to_arrow_table(),
        parameters={(row["model"], row["parameter"]): row["value"] for row in parameters},
        horizon_days=horizon,
        columns=CONTRACTS[TABLE].names,
    )


def _horizon(db: duckdb.DuckDBPyConnection, lake: Lake, day: date, known: Snapshots) -> int:
    found = db.sql(f"SELECT max(horizon_days) FROM ({lake.scan(known[TABLE])}) WHERE as_of = DATE '{day}'").fetchall()
    return int(found[0][0])


def _rows(db: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    return list(db.sql(sql).to_arrow_table().to_pylist())


def _without(lake: Lake, day: date, customers: Sequence[str]) -> Snapshot:
    return lake.delete(TABLE, partition_of(day, customers))


def partition_of(day: date, customers: Sequence[str]) -> str:
    """SQL condition for some customers on one day."""
    named = ", ".join("'" + customer.replace("'", "''") + "'" for customer in customers)
    return f"as_of = '{day}' AND customer_id IN ({named})"
