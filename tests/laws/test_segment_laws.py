"""Laws of segments: exactly one primary segment, SQL and Python agree, proofs accuse nobody wrongly."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tasks.lake.contracts import CONTRACTS
from tasks.lake.contracts.column import MONEY
from tasks.segments.assign import assign
from tasks.segments.evaluate import audience_ids, matches, primary_rule
from tasks.segments.fields import FIELDS, FieldInfo, Kind, as_value, neutral
from tasks.segments.proof import prove
from tasks.segments.rule_file import load_rules
from tasks.segments.rules import OPERATORS, Condition, Operator, Rule, RuleFile

AS_OF = date(2026, 6, 1)
TEXTS = st.sampled_from(["", "wine", "tea", "it's", "granted", "unknown", "$p0"])
NUMBERS = st.integers(-3, 9) | st.sampled_from([0.5, 2.5, 2.0000000001, 1e12, -0.25])
DEFAULT = load_rules()
SCHEMA = CONTRACTS["customer_features"].schema
NARROW = ("orders", "monetary", "gap_ratio", "top_category", "top_categories", "is_business", "next_order_date")
CALM = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cells(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Cells of customer_features that the contract allows, small enough to hit the borders of rules."""
    if SCHEMA.field(field.name).type == MONEY:
        return st.decimals(Decimal(-5), Decimal(3000), places=4, allow_nan=False)
    values: dict[Kind, st.SearchStrategy[Any]] = {
        Kind.TEXT: TEXTS,
        Kind.FLAG: st.booleans(),
        Kind.LIST: st.lists(TEXTS, max_size=3, unique=True),
        Kind.DATE: st.integers(-3, 9).map(lambda days: AS_OF + timedelta(days=days)),
    }
    numbers = st.integers(0, 9) if field.whole else NUMBERS.map(float) | st.just(float("nan"))
    value = values.get(field.kind, numbers)
    return st.none() | value if field.nullable else value


def customers(names: Any = tuple(FIELDS)) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: cells(FIELDS[name]) for name in names})


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    field = FIELDS[draw(st.sampled_from(NARROW))]
    op = draw(st.sampled_from(sorted(OPERATORS[field.kind])))
    if op in {Operator.MISSING, Operator.PRESENT}:
        return Condition(field=field.name, op=op)
    constants = {Kind.TEXT: TEXTS, Kind.LIST: TEXTS, Kind.FLAG: st.booleans(), Kind.DATE: st.integers(-3, 9)}
    constant = constants.get(field.kind, NUMBERS)
    value: Any = draw(constant)
    if op is Operator.BETWEEN:
        value = tuple(sorted((value, draw(constant))))
    elif op in {Operator.IN, Operator.NOT_IN}:
        value = (value, draw(constant))
    return Condition(field=field.name, op=op, value=value)


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: Condition(all=tuple(parts)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: Condition(any=tuple(parts)))
        | inner.map(lambda part: Condition(**{"not": part}))
    ),
    max_leaves=6,
)


@st.composite
def rule_files(draw: st.DrawFn) -> RuleFile:
    conditions = draw(st.lists(CONDITIONS, min_size=1, max_size=5))
    rules = [Rule(id=f"r{place}", label="Rule", when=when) for place, when in enumerate(conditions)]
    last = Rule(id="others", label="Others", when=Condition(all=()))
    return RuleFile(primary=(*rules, last), audiences=(Rule(id="also", label="Also", when=conditions[0]),))


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.register("customer_segments", CONTRACTS["customer_segments"].schema.empty_table())
        yield connection


def place(db: duckdb.DuckDBPyConnection, rules: RuleFile, people: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = [
        {
            "customer_id": f"c{number:04}",
            "as_of": AS_OF,
            **{name: person.get(name, _cell(field)) for name, field in FIELDS.items()},
        }
        for number, person in enumerate(people)
    ]
    db.register("customer_features", pa.Table.from_pylist(rows, schema=SCHEMA))
    return list(assign(db, rules, AS_OF, "v1").to_arrow_table().to_pylist())


def _cell(field: FieldInfo) -> Any:
    value = neutral(field)
    return Decimal(0) if SCHEMA.field(field.name).type == MONEY else list(value) if isinstance(value, tuple) else value


def as_rules_see(person: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: as_value(field, person[name], AS_OF) if name in person else neutral(field)
        for name, field in FIELDS.items()
    }


@CALM
@given(people=st.lists(customers(), min_size=1, max_size=8))
def test_everyone_has_exactly_one_segment_whatever_the_features(db: Any, people: list[Mapping[str, Any]]) -> None:
    rows = place(db, DEFAULT, people)
    assert [row["customer_id"] for row in rows] == [f"c{number:04}" for number in range(len(people))]
    assert {row["segment"] for row in rows} <= {rule.id for rule in DEFAULT.primary}
    assert all(row["reasons"] and None not in row["reasons"] for row in rows)


@CALM
@given(rules=rule_files(), people=st.lists(customers(NARROW), min_size=1, max_size=12))
def test_compiled_rules_mean_what_the_plain_interpreter_says(
    db: Any, rules: RuleFile, people: list[Mapping[str, Any]]
) -> None:
    for person, row in zip(people, place(db, rules, people), strict=True):
        seen = as_rules_see(person)
        assert row["segment"] == primary_rule(rules, seen).id
        assert tuple(row["audiences"]) == audience_ids(rules, seen)


@CALM
@given(people=st.lists(customers(NARROW), min_size=2, max_size=8), order=st.randoms(use_true_random=False))
def test_a_customers_segment_does_not_depend_on_other_customers_or_their_order(
    db: Any, people: list[Mapping[str, Any]], order: Any
) -> None:
    shuffled = list(range(len(people)))
    order.shuffle(shuffled)
    straight = [(row["segment"], row["reasons"]) for row in place(db, DEFAULT, people)]
    mixed = [(row["segment"], row["reasons"]) for row in place(db, DEFAULT, [people[i] for i in shuffled])]
    assert mixed == [straight[i] for i in shuffled]
    assert straight[:1] == [(row["segment"], row["reasons"]) for row in place(db, DEFAULT, people[:1])]


@settings(max_examples=150, deadline=None)
@given(rules=rule_files(), person=customers(NARROW))
def test_nobody_lands_in_a_rule_that_the_proof_calls_unreachable(rules: RuleFile, person: Mapping[str, Any]) -> None:
    proof = prove(rules)
    accused = {finding.rule for finding in proof.unreachable}
    seen = as_rules_see(person)
    assert primary_rule(rules, seen).id not in accused
    assert not set(audience_ids(rules, seen)) & accused


@settings(max_examples=150, deadline=None)
@given(rules=rule_files())
def test_every_rule_that_the_proof_calls_reachable_has_a_customer_who_lands_in_it(rules: RuleFile) -> None:
    proof = prove(rules)
    assume(not proof.undecided)
    audiences = {rule.id for rule in rules.audiences}
    for name, witness in proof.witnesses.items():
        landed = audience_ids(rules, witness) if name in audiences else (primary_rule(rules, witness).id,)
        assert name in landed
    assert set(proof.witnesses) | {finding.rule for finding in proof.unreachable} == {rule.id for rule in rules.rules}


@settings(max_examples=100, deadline=None)
@given(condition=CONDITIONS, person=customers(NARROW))
def test_a_condition_and_its_negation_divide_all_customers(condition: Condition, person: Mapping[str, Any]) -> None:
    seen = as_rules_see(person)
    assert matches(condition, seen) != matches(Condition(**{"not": condition}), seen)
