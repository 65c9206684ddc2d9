"""What a rule means, in plain Python: the reference that the compiled SQL must equal, and the judge of examples."""

from collections.abc import Mapping

from tasks.segments.fields import FIELDS, Kind, Value, neutral
from tasks.segments.rules import WHO, Condition, Example, Operator, Rule, RuleFile


def matches(condition: Condition, customer: Mapping[str, Value]) -> bool:
    """Whether a customer, given as field values, fulfils a condition."""
    if condition.all is not None:
        return all(matches(part, customer) for part in condition.all)
    if condition.any is not None:
        return any(matches(part, customer) for part in condition.any)
    if condition.not_ is not None:
        return not matches(condition.not_, customer)
    return _compare(condition, customer[condition.info.name])


def _compare(condition: Condition, value: Value) -> bool:
    constants = condition.constants
    missing = value is None or value == ()
    match condition.op:
        case Operator.MISSING:
            return missing
        case Operator.PRESENT:
            return not missing
        case Operator.EQUAL | Operator.IN:
            return not missing and value in constants
        case Operator.UNEQUAL | Operator.NOT_IN:
            return missing or value not in constants
        case Operator.CONTAINS:
            return isinstance(value, tuple) and constants[0] in value
        case _:
            return isinstance(value, int | float) and _in_order(condition, value)


def _in_order(condition: Condition, value: float) -> bool:
    first, last = condition.constants[0], condition.constants[-1]
    if isinstance(first, str) or isinstance(last, str):
        return False
    match condition.op:
        case Operator.AT_MOST:
            return value <= first
        case Operator.AT_LEAST:
            return value >= first
        case Operator.BELOW:
            return value < first
        case Operator.ABOVE:
            return value > first
        case _:
            return first <= value <= last


def primary_rule(rules: RuleFile, customer: Mapping[str, Value]) -> Rule:
    """The first primary rule that matches; the last one always does."""
    return next(rule for rule in rules.primary if matches(rule.when, customer))


def audience_ids(rules: RuleFile, customer: Mapping[str, Value]) -> tuple[str, ...]:
    """The audiences of a customer, sorted; look-alikes, which all customers together decide, are not among them."""
    return tuple(sorted(rule.id for rule in rules.audiences if matches(rule.when, customer)))


def complete(example: Example) -> dict[str, Value]:
    """An example as a whole customer: fields it leaves out are missing, zero, false or empty."""
    given = {name: value for name, value in example.items() if name != WHO}
    customer = {name: neutral(field) for name, field in FIELDS.items()}
    for name, value in given.items():
        empty = () if FIELDS[name].kind is Kind.LIST else None
        customer[name] = empty if value is None else _plain(value)
    return customer


def _plain(value: bool | float | str | tuple[str, ...]) -> Value:
    return value
