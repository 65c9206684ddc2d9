"""What each segment, audience and cluster looks like: size, value, habits, and what sets it apart from all customers.

Averages are taken over DECIMAL values, whose sums are exact in any order: the same customers give the same bytes.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from tasks.lake.contracts import CONTRACTS
from tasks.segments.fields import FIELDS
from tasks.segments.rules import RuleFile

TRAITS = (
    "recency_days",
    "orders",
    "average_order_value",
    "gap_ratio",
    "items_per_order",
    "distinct_categories",
    "discount_share",
    "return_rate",
    "weekend_share",
    "web_share",
    "spend_90d",
    "spend_trend",
    "gift_share",
    "top_category_share",
    "engagement_rate",
    "sessions_90d",
    "churn_probability",
    "tenure_days",
)
MOST_TRAITS = 4
_NOTABLE = 0.3

_MEMBERS = """
    WITH today AS (SELECT * FROM customer_segments WHERE as_of = $as_of),
    members AS (
        SELECT 'segment' AS kind, segment AS id, customer_id FROM today
        UNION ALL SELECT 'audience', unnest(audiences), customer_id FROM today
        UNION ALL SELECT 'cluster', CAST(cluster AS VARCHAR), customer_id FROM today WHERE cluster IS NOT NULL
        UNION ALL SELECT 'all', 'all', customer_id FROM today),
    people AS (
        SELECT m.kind, m.id, f.* FROM members m JOIN customer_features f USING (customer_id) WHERE f.as_of = $as_of)
"""


def _exact(name: str) -> str:
    return f"CAST(CASE WHEN isfinite(CAST({name} AS DOUBLE)) THEN {name} END AS DECIMAL(30, 6))"


def profile_segments(db: duckdb.DuckDBPyConnection, rules: RuleFile, as_of: date) -> pa.Table:
    """Rows of ``segment_profiles``: every rule, also those with nobody, and every cluster in use.

    ``db`` has the views ``customer_features`` and ``customer_segments``, both with the morning ``as_of``.
    """
    measured = {(row["kind"], row["id"]): row for row in _measure(db, as_of)}
    everyone = measured.pop(("all", "all"), None)
    if everyone is None:
        return CONTRACTS["segment_profiles"].schema.empty_table()
    names = _names(db, rules, as_of)
    rows = [_profile(key, name, measured.get(key), everyone, as_of) for key, name in sorted(names.items())]
    return pa.Table.from_pylist(rows, schema=CONTRACTS["segment_profiles"].schema)


def _names(db: duckdb.DuckDBPyConnection, rules: RuleFile, as_of: date) -> dict[tuple[str, str], str]:
    clusters = db.execute(
        "SELECT DISTINCT CAST(cluster AS VARCHAR), cluster_label FROM customer_segments "
        "WHERE as_of = ? AND cluster IS NOT NULL",
        [as_of],
    ).fetchall()
    return {
        **{("segment", rule.id): rule.label for rule in rules.primary},
        **{("audience", rule.id): rule.label for rule in rules.audiences},
        **{("cluster", number): label for number, label in clusters},
    }


def _measure(db: duckdb.DuckDBPyConnection, as_of: date) -> list[dict[str, Any]]:
    traits = ", ".join(
        f"avg({_exact(name)}) AS {name}_mean, sqrt(greatest(0, avg(CAST({_exact(name)} AS DOUBLE) ** 2) "
        f"- avg({_exact(name)}) ** 2)) AS {name}_deviation"
        for name in TRAITS
    )
    rows = db.execute(
        f"""{_MEMBERS}
        SELECT kind, id, count(*) AS customers,
               CAST(sum(monetary) AS DECIMAL(18, 4)) AS monetary,
               CAST(sum(spend_365d) AS DECIMAL(18, 4)) AS spend_365d,
               avg({_exact("orders")}) AS orders_all, median(recency_days) AS recency_days_median,
               CAST(sum({_exact("lifetime_value")}) AS DOUBLE) AS lifetime_value, {traits}
        FROM people GROUP BY kind, id ORDER BY kind, id""",
        {"as_of": as_of},
    ).to_arrow_table()
    return list(rows.to_pylist())


def _profile(
    key: tuple[str, str], label: str, found: Mapping[str, Any] | None, everyone: Mapping[str, Any], as_of: date
) -> dict[str, Any]:
    spend = float(everyone["monetary"])
    row = {"as_of": as_of, "kind": key[0], "segment": key[1], "label": label}
    if found is None:
        return {**row, "customers": 0, "share": 0.0, "monetary": 0, "revenue_share": 0.0, "spend_365d": 0, "traits": []}
    return {
        **row,
        "customers": found["customers"],
        "share": found["customers"] / everyone["customers"],
        "monetary": found["monetary"],
        "revenue_share": float(found["monetary"]) / spend if spend else 0.0,
        "spend_365d": found["spend_365d"],
        "average_order_value": found["average_order_value_mean"],
        "orders_mean": found["orders_all"],
        "recency_days_median": found["recency_days_median"],
        "lifetime_value": found["lifetime_value"],
        "churn_probability": found["churn_probability_mean"],
        "traits": tell_traits(found, everyone),
    }


def tell_traits(found: Mapping[str, Any], everyone: Mapping[str, Any]) -> list[str]:
    """What sets a group apart, strongest first: ``orders 92.1 (all customers 47.7)``."""
    told = []
    for name in TRAITS:
        mine, usual, spread = found[f"{name}_mean"], everyone[f"{name}_mean"], everyone[f"{name}_deviation"]
        if mine is None or not spread:
            continue
        unusual = round(abs(mine - usual) / spread, 2)
        if unusual >= _NOTABLE:
            told.append((-unusual, name, f"{name.replace('_', ' ')} {_tell(name, mine)} (all {_tell(name, usual)})"))
    return [text for _, _, text in sorted(told)[:MOST_TRAITS]]


def _tell(name: str, value: float) -> str:
    return f"{value:.0%}" if FIELDS[name].unit == "0 to 1" else f"{value:.1f}"


def cross_table(db: duckdb.DuckDBPyConnection, as_of: date, rows: str, columns: str) -> list[dict[str, Any]]:
    """Customers and spend in both of two kinds of groups (``segment``, ``audience``, ``cluster``), for every pair.

    Keys: row, column, customers, monetary.
    """
    found = db.execute(
        f"""{_MEMBERS}
        SELECT a.id AS row, b.id AS column, count(*) AS customers, CAST(sum(a.monetary) AS DOUBLE) AS monetary
        FROM people a JOIN members b USING (customer_id) WHERE a.kind = $rows AND b.kind = $columns
        GROUP BY ALL ORDER BY ALL""",
        {"as_of": as_of, "rows": rows, "columns": columns},
    ).to_arrow_table()
    return list(found.to_pylist())
