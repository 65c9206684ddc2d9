"""Who lands where, and why, for named customers."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.segments.assign import assign
from tasks.segments.rule_file import load_rules, parse_rules

AS_OF = date(2026, 6, 1)
DEFAULT = load_rules()
CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


def everyone(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(path.read_text())["customers"])


def assigned(open_database: Any, customers: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    db = open_database(customers, **more)
    return list(assign(db, DEFAULT, AS_OF, "v1").to_arrow_table().to_pylist())


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_named_customers_land_where_a_marketer_expects_them(open_database: Any, path: Path) -> None:
    people = everyone(path)
    rows = assigned(open_database, [person["has"] for person in people])
    for person, row in zip(people, rows, strict=True):
        assert row["segment"] == person.get("segment", row["segment"]), person["who"]
        assert set(person.get("audiences", [])) <= set(row["audiences"]), person["who"]
        assert not set(person.get("not_audiences", [])) & set(row["audiences"]), person["who"]
        assert set(person.get("because", [])) <= set(row["reasons"]), (person["who"], row["reasons"])


def test_every_rule_has_a_case_for_a_customer_inside() -> None:
    people = [person for path in CASES for person in everyone(path)]
    named = {person.get("segment") for person in people}.union(*(person.get("audiences", []) for person in people))
    assert {rule.id for rule in DEFAULT.rules if rule.like is None} <= named


def test_previous_segment_comes_from_the_last_earlier_morning(open_database: Any) -> None:
    earlier = [
        {"customer_id": "c0000", "as_of": date(2026, 5, 30), "segment": "vip"},
        {"customer_id": "c0000", "as_of": date(2026, 5, 31), "segment": "loyal"},
        {"customer_id": "c0000", "as_of": AS_OF, "segment": "new"},
        {"customer_id": "c0001", "as_of": date(2026, 5, 30), "segment": "vip"},
    ]
    rows = assigned(open_database, [{"orders": 0}, {"orders": 0}], earlier=earlier)
    assert [row["previous_segment"] for row in rows] == ["loyal", None]


def test_reasons_carry_the_customers_own_values_and_only_conditions_met(open_database: Any) -> None:
    rules = parse_rules(
        """
        primary:
          - id: close
            label: Close
            when:
              all:
                - {field: recency_days, op: "<=", value: 30}
                - any:
                    - {field: spend_365d, op: ">=", value: 800}
                    - {field: gift_share, op: ">=", value: 0.9}
                - {not: {field: top_categories, op: contains, value: "it's wine"}}
                - {field: top_categories, op: contains, value: tea}
                - {field: is_business, op: "=", value: false}
          - id: others
            label: Others
            when: everyone
        """,
        "r.yaml",
    )
    ana = {"recency_days": 1, "spend_365d": 812.4, "gift_share": 0.2, "top_categories": ("tea",), "orders": 2}
    db = open_database([ana, {"orders": 1, "monetary": 20, "recency_days": 40}])
    close, other = assign(db, rules, AS_OF, "v1").to_arrow_table().to_pylist()
    assert close["reasons"] == [
        "bought 1 day ago",
        "spent 812.40 in 365 days",
        "top categories: not it's wine",
        "top categories: tea",
        "not: is business",
    ]
    assert other["reasons"] == ["no earlier rule applies", "bought 40 days ago", "1 order", "spent 20.00 in all"]


def test_no_text_of_the_rule_file_becomes_part_of_the_query(open_database: Any) -> None:
    rules = parse_rules(
        """
        primary:
          - id: tricky
            label: Tricky
            action: "x'); DROP TABLE customer_features; --"
            when: {field: top_category, op: "=", value: "'; SELECT 1; --"}
          - id: others
            label: Others
            when: everyone
        """,
        "r.yaml",
    )
    rows = (
        assign(open_database([{"top_category": "'; SELECT 1; --"}]), rules, AS_OF, "v'1").to_arrow_table().to_pylist()
    )
    assert rows[0]["segment"] == "tricky"
    assert rows[0]["recommended_action"] == "x'); DROP TABLE customer_features; --"
