"""Behaviour as it was known on earlier days, so that whoever groups customers can be judged by what they did next."""

from datetime import date, timedelta

import duckdb

from tasks.config import FeatureSettings
from tasks.features.behaviour import behaviour_sql, parameters

WEEK_DAYS = 7

_PAST = """
    SELECT $as_of::DATE AS as_of, $cutoff::DATE AS cutoff, customer_id, recency_days, orders, monetary,
           days_since_first_order,
           recency_days * (active_days - 1) / nullif(gap_days::DOUBLE, 0) AS gap_ratio,
           monetary::DOUBLE / orders AS average_order_value,
           orders_30d, spend_30d, orders_90d, spend_90d, orders_365d, spend_365d,
           CASE WHEN $judged THEN coalesce(next_spend, 0) END AS next_spend
    FROM past LEFT JOIN (
        SELECT customer_id, sum(amount)::DOUBLE AS next_spend FROM orders
        WHERE customer_id IS NOT NULL AND order_date >= $cutoff AND order_date < $as_of GROUP BY customer_id
    ) USING (customer_id)
    WHERE orders > 0
"""


def create_past(
    db: duckdb.DuckDBPyConnection, as_of: date, horizon_days: int, timezone: str, settings: FeatureSettings
) -> None:
    """Create table ``past_rows`` (rows of ``past_behaviour``): one horizon ago with what followed, and a week ago."""
    db.execute("CREATE OR REPLACE TEMP TABLE past_rows AS SELECT * FROM past_behaviour LIMIT 0")
    for days, judged in ((horizon_days, True), (WEEK_DAYS, False)):
        cutoff = as_of - timedelta(days=days)
        values = parameters(cutoff, timezone, settings.business_hours)
        db.execute(f"CREATE OR REPLACE TEMP TABLE past AS {behaviour_sql()}", values)
        db.execute(f"INSERT INTO past_rows BY NAME {_PAST}", {"as_of": as_of, "cutoff": cutoff, "judged": judged})
