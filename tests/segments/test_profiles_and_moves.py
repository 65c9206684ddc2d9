"""Profiles, moves, cross tables, checks and previews, for a small shop with known people."""

from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tasks.config import BrakeSettings
from tasks.lake.contracts import CONTRACTS
from tasks.segments.assign import assign
from tasks.segments.checks import check_segments
from tasks.segments.moves import find_moves
from tasks.segments.preview import Overlap, preview
from tasks.segments.profiles import cross_table, profile_segments
from tasks.segments.rule_file import parse_rules
from tasks.segments.rules import Condition, Rule, RuleFile

YESTERDAY, TODAY = date(2026, 5, 31), date(2026, 6, 1)
RULES = """
primary:
  - id: quiet
    label: Quiet
    when: {field: recency_days, op: ">", value: 60}
  - id: prospect
    label: Prospects
    when: {field: orders, op: "=", value: 0}
  - id: active
    label: Active
    when: everyone
audiences:
  - id: regulars
    label: Regulars
    when: {field: orders, op: ">=", value: 10}
  - id: giants
    label: Giants
    when: {field: orders, op: ">=", value: 1000}
"""
ANA = {"customer_id": "ana", "orders": 40, "monetary": 900, "spend_365d": 800, "lifetime_value": 500.0}
BEA = {"customer_id": "bea", "orders": 2, "monetary": 100, "spend_365d": 100, "recency_days": 10}
CID = {"customer_id": "cid", "orders": 0}
ANA_THEN, ANA_NOW = {**ANA, "recency_days": 60, "lifetime_value": 700.0}, {**ANA, "recency_days": 61}


@pytest.fixture
def rules() -> RuleFile:
    return parse_rules(RULES, "r.yaml")


@pytest.fixture
def shop(rules: RuleFile, open_database: Any) -> duckdb.DuckDBPyConnection:
    """Yesterday and today, with Ana gone quiet in between; Bea and Ana are clustered."""
    schema = CONTRACTS["customer_segments"].schema
    clusters = pa.table({"customer_id": ["ana", "bea"], "cluster": [1, 2], "cluster_label": ["Top spend", "Low spend"]})
    then = open_database([ANA_THEN, BEA, CID], as_of=YESTERDAY)
    before = assign(then, rules, YESTERDAY, "v1", clusters).to_arrow_table().cast(schema)
    db = open_database([ANA_NOW, BEA, CID], before.to_pylist(), as_of=TODAY)
    after = assign(db, rules, TODAY, "v1", clusters).to_arrow_table().cast(schema)
    features = [connection.table("customer_features").to_arrow_table() for connection in (then, db)]
    db.register("customer_features", pa.concat_tables(features))
    db.register("customer_segments", pa.concat_tables([before, after]))
    return db


def test_a_move_says_who_from_where_what_is_at_stake_and_why(shop: duckdb.DuckDBPyConnection) -> None:
    assert find_moves(shop, TODAY).to_arrow_table().to_pylist() == [
        {
            "as_of": TODAY,
            "customer_id": "ana",
            "from_segment": "active",
            "to_segment": "quiet",
            "since": YESTERDAY,
            "value_at_stake": 700.0,
            "why": "bought 61 days ago",
        }
    ]


def test_the_first_run_has_no_moves(shop: duckdb.DuckDBPyConnection) -> None:
    assert find_moves(shop, YESTERDAY).fetchall() == []


def test_profiles_hold_every_rule_and_cluster_with_shares_of_customers_and_revenue(
    shop: duckdb.DuckDBPyConnection, rules: RuleFile
) -> None:
    rows = {(row["kind"], row["segment"]): row for row in profile_segments(shop, rules, TODAY).to_pylist()}
    assert {key: row["customers"] for key, row in rows.items()} == {
        ("segment", "quiet"): 1,
        ("segment", "prospect"): 1,
        ("segment", "active"): 1,
        ("audience", "regulars"): 1,
        ("audience", "giants"): 0,
        ("cluster", "1"): 1,
        ("cluster", "2"): 1,
    }
    quiet = rows["segment", "quiet"]
    assert (quiet["label"], quiet["revenue_share"], quiet["lifetime_value"]) == ("Quiet", 0.9, 500.0)
    assert quiet["recency_days_median"] == 61
    assert "orders 40.0 (all 14.0)" in quiet["traits"]
    assert rows["cluster", "1"]["label"] == "Top spend"
    assert sum(row["share"] for (kind, _), row in rows.items() if kind == "segment") == pytest.approx(1)


def test_profiles_of_an_empty_morning_are_empty(shop: duckdb.DuckDBPyConnection, rules: RuleFile) -> None:
    assert profile_segments(shop, rules, date(2020, 1, 1)).num_rows == 0


def test_a_cross_table_counts_customers_in_both_groups(shop: duckdb.DuckDBPyConnection) -> None:
    assert cross_table(shop, TODAY, "segment", "cluster") == [
        {"row": "active", "column": "2", "customers": 1, "monetary": 100.0},
        {"row": "quiet", "column": "1", "customers": 1, "monetary": 900.0},
    ]


def checks(db: duckdb.DuckDBPyConnection, rules: RuleFile, **tolerance: Any) -> dict[tuple[str, str], dict[str, Any]]:
    rows = check_segments(db, rules, TODAY, BrakeSettings(**tolerance)).to_pylist()
    return {(row["check"], row["subject"]): row for row in rows}


def test_full_coverage_passes_and_an_empty_audience_is_told(shop: duckdb.DuckDBPyConnection, rules: RuleFile) -> None:
    found = checks(shop, rules)
    assert found["exactly_one_segment", "customer_segments"]["verdict"] == "passed"
    assert found["has_members", "empty"]["verdict"] == "told"
    assert "giants" in found["has_members", "empty"]["message"]
    assert found["has_members", "quiet"]["verdict"] == "passed"


def test_a_customer_without_a_segment_stops_the_run(shop: duckdb.DuckDBPyConnection, rules: RuleFile) -> None:
    left = shop.table("customer_segments").filter("customer_id <> 'cid' OR as_of < DATE '2026-06-01'").to_arrow_table()
    shop.register("customer_segments", left)
    row = checks(shop, rules)["exactly_one_segment", "customer_segments"]
    assert (row["verdict"], row["value"]) == ("stopped", 1.0)


def test_a_customer_with_two_segments_stops_the_run(shop: duckdb.DuckDBPyConnection, rules: RuleFile) -> None:
    rows = shop.table("customer_segments").to_arrow_table()
    shop.register("customer_segments", pa.concat_tables([rows, rows.slice(rows.num_rows - 1)]))
    assert checks(shop, rules)["exactly_one_segment", "customer_segments"]["verdict"] == "stopped"


def test_a_segment_that_vanished_or_halved_is_told(shop: duckdb.DuckDBPyConnection, rules: RuleFile) -> None:
    row = checks(shop, rules, min_segment_size=2, max_segment_move=0.4)["size_moved", "active"]
    assert (row["verdict"], row["value"]) == ("told", 0.5)
    assert row["message"].startswith("active went from 2 to 1 customers.")
    assert checks(shop, rules, min_segment_size=2, max_segment_move=0.5)["size_moved", "active"]["verdict"] == "passed"


def test_a_preview_shows_count_value_overlap_and_people_without_writing(shop: duckdb.DuckDBPyConnection) -> None:
    rule = Rule(id="buyers", label="Buyers", when=Condition(field="orders", op=">=", value=1))
    seen = preview(shop, rule, TODAY)
    assert (seen.customers, seen.share, seen.spend_365d, seen.lifetime_value) == (2, 2 / 3, 900.0, 500.0)
    assert seen.revenue_share == 1.0
    assert seen.overlaps == (
        Overlap("audience", "regulars", 1, 0.5, 1.0),
        Overlap("segment", "active", 1, 0.5, 1.0),
        Overlap("segment", "quiet", 1, 0.5, 1.0),
    )
    assert ("40 orders", "bought 61 days ago") in [told[:2] for told in seen.sample]


def test_a_preview_of_nobody_is_empty(shop: duckdb.DuckDBPyConnection) -> None:
    rule = Rule(id="nobody", label="Nobody", when=Condition(field="orders", op=">", value=1e6))
    seen = preview(shop, rule, TODAY)
    assert (seen.customers, seen.overlaps, seen.sample) == (0, (), ())
