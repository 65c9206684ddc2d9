"""Orders from their lines, and what each customer spent per category; only buckets that changed are built again."""

import duckdb
import pyarrow as pa

from tasks.config import Config
from tasks.lake import Lake, Snapshot
from tasks.lake.changes import changed_buckets
from tasks.lake.contracts import CONTRACTS

_INPUTS = ("order_lines", "products")
_UNKNOWN = "unknown"


def build_orders(lake: Lake, config: Config) -> dict[str, Snapshot]:
    """Bring orders and category_totals up to date with order_lines and products; their snapshots.

    Which buckets are stale follows from the versions that the last build used (table ``derived``), so a run that ended
    between two stages loses nothing. Cancelled lines (zero quantity) belong to no order. An order that gives money back
    (``is_return``) is listed, but is no purchase.
    """
    inputs = {table: lake.latest(table) for table in _INPUTS}
    with lake.database([*inputs.values(), lake.latest("derived")]) as db:
        built = dict(db.sql("SELECT input, version FROM derived WHERE \"table\" = 'orders'").fetchall())
        buckets = _stale_buckets(lake, config, db, inputs, built)
        if buckets:
            for table, sql in (("orders", _ORDERS_SQL), ("category_totals", _TOTALS_SQL)):
                wanted = f"SELECT * FROM order_lines WHERE quantity <> 0 AND bucket IN ({', '.join(map(str, buckets))})"
                db.execute(f"CREATE OR REPLACE TEMP VIEW wanted AS {wanted}")
                names = ", ".join(CONTRACTS[table].names)
                rows = db.sql(f"SELECT {names} FROM ({sql}) ORDER BY bucket, {', '.join(CONTRACTS[table].key)}")
                lake.replace(table, rows, where={"bucket": buckets})
    _remember(lake, inputs, built)
    return {table: lake.latest(table) for table in ("orders", "category_totals")}


def _stale_buckets(
    lake: Lake, config: Config, db: duckdb.DuckDBPyConnection, inputs: dict[str, Snapshot], built: dict[str, int]
) -> list[int]:
    every = list(range(config.buckets))
    if set(built) != set(_INPUTS) or any(lake.latest(t).version is None for t in ("orders", "category_totals")):
        return every
    before = {table: Snapshot(table=table, version=None if built[table] < 0 else built[table]) for table in _INPUTS}
    stale = set(changed_buckets(lake, before["order_lines"], inputs["order_lines"]))
    if before["products"] != inputs["products"]:
        stale |= _buckets_with_new_categories(lake, db, before["products"])
    return sorted(stale)


def _buckets_with_new_categories(lake: Lake, db: duckdb.DuckDBPyConnection, before: Snapshot) -> set[int]:
    """Buckets with lines of a product whose category was told or changed since."""
    changed = (
        "SELECT product_id FROM (SELECT product_id, category FROM products EXCEPT "
        f"SELECT product_id, category FROM ({lake.scan(before)}))"
    )
    return {b for (b,) in db.sql(f"SELECT DISTINCT bucket FROM order_lines WHERE product_id IN ({changed})").fetchall()}


def _remember(lake: Lake, inputs: dict[str, Snapshot], built: dict[str, int]) -> None:
    rows = [
        {"table": "orders", "input": name, "version": -1 if snapshot.version is None else snapshot.version}
        for name, snapshot in inputs.items()
    ]
    if built != {row["input"]: row["version"] for row in rows}:
        lake.merge("derived", pa.Table.from_pylist(rows, schema=CONTRACTS["derived"].schema))


_CATEGORY = f"coalesce(products.category, '{_UNKNOWN}')"


_ORDERS_SQL = f"""
    SELECT order_id,
        arg_min(customer_id, line) AS customer_id,
        min(ordered_at) AS ordered_at,
        min(order_date) AS order_date,
        arg_min(wanted.channel, line) AS channel,
        arg_min(store_id, line) AS store_id,
        count(*) AS lines,
        sum(quantity::DECIMAL(24,6))::DOUBLE AS items,
        count(DISTINCT product_id) AS distinct_products,
        count(DISTINCT {_CATEGORY}) AS distinct_categories,
        sum(amount)::DECIMAL(18,4) AS amount,
        sum(discount)::DECIMAL(18,4) AS discount,
        (-coalesce(sum(amount) FILTER (amount < 0), 0))::DECIMAL(18,4) AS returned_amount,
        sum(amount) < 0 AS is_return,
        bool_or(gift) AS is_gift,
        isodow(min(order_date)) >= 6 AS weekend,
        arg_min(campaign_id, line) FILTER (campaign_id IS NOT NULL) AS campaign_id,
        min(currency) AS currency,
        bucket
    FROM wanted LEFT JOIN products USING (product_id)
    GROUP BY bucket, order_id
"""

_TOTALS_SQL = f"""
    SELECT customer_id, {_CATEGORY} AS category, count(*) FILTER (quantity > 0) AS lines,
        sum(amount)::DECIMAL(18,4) AS amount, min(order_date) AS first_on, max(order_date) AS last_on, bucket
    FROM wanted LEFT JOIN products USING (product_id)
    WHERE customer_id IS NOT NULL
    GROUP BY bucket, customer_id, category
"""
