"""What a marketer fills in becomes the rule that was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ConfigurationError
from tasks.segments.fields import FIELDS
from tasks.segments.form import (
    FIELD_LABELS,
    Comparison,
    FormCondition,
    FormGroup,
    Match,
    SegmentForm,
    field_label,
    to_rule,
)
from tasks.segments.registry import spell_condition
from tasks.segments.rules import Operator


def condition(field: str, comparison: Comparison, value: str = "") -> FormCondition:
    return FormCondition(field=field_label(FIELDS[field]), comparison=comparison, value=value)


def form(*groups: FormGroup, match: Match = Match.ALL) -> SegmentForm:
    return SegmentForm(name="Wine lovers, 2026!", match=match, groups=list(groups))


def test_every_operator_of_rules_has_words_in_the_form() -> None:
    assert {comparison.name for comparison in Comparison} == {operator.name for operator in Operator}


def test_the_form_offers_every_field_with_its_meaning() -> None:
    offered = SegmentForm.model_json_schema()["$defs"]["FormCondition"]["properties"]["field"]["enum"]
    assert offered == FIELD_LABELS
    assert "recency_days: Days since the last order; null without an order (days)" in offered


def test_groups_are_joined_as_the_form_says() -> None:
    love = FormGroup(
        conditions=[
            condition("top_categories", Comparison.CONTAINS, "wine, red"),
            condition("discount_share", Comparison.AT_MOST, "0.3"),
        ]
    )
    due = FormGroup(
        match=Match.ANY,
        conditions=[
            condition("is_business", Comparison.EQUAL, "yes"),
            condition("next_order_date", Comparison.BETWEEN, "0, 7"),
            condition("gap_ratio", Comparison.MISSING),
        ],
    )
    rule = to_rule(form(love, due, match=Match.ANY))
    assert (rule.id, rule.label) == ("wine_lovers_2026", "Wine lovers, 2026!")
    assert spell_condition(rule.when) == {
        "any": [
            {
                "all": [
                    {"field": "top_categories", "op": "contains", "value": "wine, red"},
                    {"field": "discount_share", "op": "<=", "value": 0.3},
                ]
            },
            {
                "any": [
                    {"field": "is_business", "op": "=", "value": True},
                    {"field": "next_order_date", "op": "between", "value": [0, 7]},
                    {"field": "gap_ratio", "op": "is missing"},
                ]
            },
        ]
    }


def test_all_conditions_that_do_not_work_are_told_with_their_place() -> None:
    wrong = FormGroup(
        conditions=[
            condition("orders", Comparison.AT_LEAST, "many"),
            condition("orders", Comparison.AT_LEAST, "3"),
            condition("discount_share", Comparison.AT_LEAST, "30"),
        ]
    )
    with pytest.raises(ConfigurationError) as caught:
        to_rule(form(wrong))
    first, second = str(caught.value).splitlines()
    assert first.startswith("group 1, condition 1: orders is compared with a number")
    assert second.startswith("group 1, condition 3: discount_share lies between 0 and 1")


@given(st.text(min_size=2, max_size=60))
def test_any_name_becomes_an_identifier(name: str) -> None:
    group = FormGroup(conditions=[condition("orders", Comparison.AT_LEAST, "1")])
    assert to_rule(SegmentForm(name=name, groups=[group])).id.isascii()


def test_the_form_keeps_its_order_where_a_server_forgets_the_order_of_keys() -> None:
    parts = SegmentForm.model_json_schema()
    for part, model in (
        (parts, SegmentForm),
        (parts["$defs"]["FormGroup"], FormGroup),
        (parts["$defs"]["FormCondition"], FormCondition),
    ):
        fields = part["properties"]
        assert sorted(fields, key=lambda name: fields[name]["position"]) == list(model.model_fields)
