"""Rule files: what is accepted, and how mistakes are told."""

import pytest

from tasks.errors import ConfigurationError
from tasks.segments.rule_file import load_rules, parse_rules

GOOD = """
primary:
  - id: frequent
    label: Frequent
    when: {field: orders, op: ">=", value: 5}
  - id: others
    label: Others
    when: everyone
"""


def problems_of(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text, "segments.yaml")
    return str(caught.value)


def with_condition(condition: str) -> str:
    return GOOD.replace('{field: orders, op: ">=", value: 5}', condition)


def test_the_rules_that_come_with_the_system_are_sound() -> None:
    rules = load_rules()
    assert [rule.id for rule in rules.primary][-1] == "occasional"
    assert all(rule.action and rule.goal and rule.description for rule in rules.rules)
    assert all(rule.examples.inside for rule in rules.rules if rule.like is None)


@pytest.mark.parametrize(
    ("condition", "line", "words"),
    [
        ('{field: recencydays, op: "<", value: 3}', 5, "Did you mean recency_days?"),
        ('{field: orders, op: "==", value: 3}', 5, "Did you mean '='?"),
        ('{field: orders, op: ">=", value: many}', 5, "orders is compared with a number (orders), not with 'many'."),
        ('{field: orders, op: ">=", value: true}', 5, "not with True"),
        ('{field: discount_share, op: ">=", value: 30}', 5, "Write 0.3 for 30 %."),
        ('{field: r_score, op: "=", value: 6}', 5, "r_score lies between 1 and 5"),
        ('{field: top_category, op: "<", value: wine}', 5, "'<' does not apply. Possible: '=', '!=', 'in'"),
        ('{field: top_categories, op: "=", value: wine}', 5, "'contains'"),
        ("{field: is_business, op: in, value: [true]}", 5, "'in' does not apply"),
        ("{field: orders, op: between, value: [9, 3]}", 5, "Swap them."),
        ("{field: orders, op: between, value: [9]}", 5, "two numbers"),
        ("{field: orders, op: in, value: 9}", 5, "takes a list of values"),
        ("{field: orders, op: is missing, value: 9}", 5, "takes no value"),
        ('{field: orders, op: ">=", value: 3, unit: orders}', 5, "unknown key"),
        ('{all: [{field: orders, op: ">=", value: 3}], op: "="}', 5, "either one comparison"),
        ('{field: next_order_date, op: "<=", value: 2026-06-01}', 5, "a day as days after the run"),
        ("nobody", 5, "Write `everyone`"),
        ("{any: []}", 5, "at least 1 item"),
        ("{field: customer_id, op: is present}", 5, "there is no field 'customer_id'"),
        ("{field: orders}", 5, "op is missing"),
    ],
)
def test_a_mistake_in_a_condition_is_told_with_line_and_remedy(condition: str, line: int, words: str) -> None:
    told = problems_of(with_condition(condition))
    assert told.startswith(f"segments.yaml line {line}: primary[0].when")
    assert words in told


@pytest.mark.parametrize("text", ["1: one", "primary: []", "primary: {id: vip}", "primary: [3]", "audiences: []"])
def test_a_file_of_another_shape_is_told_and_never_crashes(text: str) -> None:
    assert problems_of(text).startswith("segments.yaml")


@pytest.mark.parametrize("operator", ["=", ">=", "!="])
def test_an_operator_without_quotes_is_told_with_its_line(operator: str) -> None:
    text = with_condition("").replace("when: \n", f"when:\n      field: orders\n      op: {operator}\n      value: 3\n")
    assert "not valid YAML" in problems_of(text)


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("id: frequent", "id: Frequent!").replace("field: orders", "field: oders")
    assert len(problems_of(text).splitlines()) == 2


def test_the_last_primary_rule_matches_everyone() -> None:
    told = problems_of(GOOD.replace("when: everyone", 'when: {field: orders, op: "<", value: 5}'))
    assert "line 8" in told
    assert "others) must match everyone" in told


def test_an_id_is_used_once() -> None:
    assert "line 6: the id frequent is used twice" in problems_of(GOOD.replace("id: others", "id: frequent"))


def test_a_rule_behind_everyone_is_told_as_unreachable() -> None:
    text = GOOD + "  - id: late\n    label: Late\n    when: everyone\n"
    assert "line 11: late can never be reached" in problems_of(text)
    assert "taken before by others" in problems_of(text)


def test_a_shadowed_rule_names_the_rule_that_takes_its_customers() -> None:
    rule = '  - id: heavy\n    label: Heavy\n    when: {field: orders, op: ">", value: 50}\n  - id: others'
    told = problems_of(GOOD.replace("  - id: others", rule))
    assert told == (
        "segments.yaml line 8: heavy can never be reached: every customer it describes is taken before by frequent. "
        "Move it up, or make the earlier rule narrower."
    )


def test_a_rule_that_contradicts_itself_is_refused() -> None:
    condition = '{all: [{field: orders, op: "<", value: 2}, {field: orders, op: ">", value: 1}]}'
    assert "line 5: frequent contradicts itself" in problems_of(with_condition(condition))


@pytest.mark.parametrize(
    ("examples", "told"),
    [
        ('{in: [{who: "Zoe: bought once", orders: 1}]}', "'Zoe: bought once' should belong to frequent but lands in"),
        (
            '{out: [{who: "Max: weekly", orders: 50}]}',
            "'Max: weekly' should stay out of frequent but lands in frequent",
        ),
        ("{in: [{order: 1}]}", "Did you mean orders?"),
        ("{in: [{top_categories: wine}]}", "Write it as [wine]"),
    ],
)
def test_examples_are_checked_on_reading(examples: str, told: str) -> None:
    text = GOOD.replace("label: Frequent\n", f"label: Frequent\n    examples: {examples}\n")
    assert told in problems_of(text)
