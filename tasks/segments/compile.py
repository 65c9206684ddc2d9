"""Rules become DuckDB expressions over ``customer_features``: columns by name, every constant as a named parameter."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.segments.fields import FieldInfo, Kind
from tasks.segments.rules import Condition, Operator, Rule, RuleFile

Parameter = bool | int | float | str


@dataclass(slots=True)
class Parameters:
    """Collects constants and hands out their placeholders."""

    values: dict[str, Parameter] = field(default_factory=dict)

    def add(self, value: Parameter) -> str:
        """The placeholder of a value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def compile_condition(condition: Condition, parameters: Parameters) -> str:
    """A boolean SQL expression that is never null."""
    if condition.not_ is not None:
        return f"(NOT {compile_condition(condition.not_, parameters)})"
    if condition.field is not None:
        return _compile_comparison(condition, parameters)
    word, empty = (" AND ", "true") if condition.all is not None else (" OR ", "false")
    return f"({word.join(compile_condition(part, parameters) for part in condition.parts) or empty})"


def compile_place(primary: Sequence[Rule], parameters: Parameters) -> str:
    """An SQL expression for the position of the first rule that matches."""
    tests = " ".join(f"WHEN {compile_condition(rule.when, parameters)} THEN {n}" for n, rule in enumerate(primary))
    return f"CASE {tests} END"


def compile_membership(rules: RuleFile, name: str, parameters: Parameters) -> str:
    """A boolean SQL expression, never null: whether a customer is in the segment or audience of that id."""
    names = [rule.id for rule in rules.primary]
    if name in names:
        return f"({compile_place(rules.primary, parameters)} = {names.index(name)})"
    return compile_condition(next(rule.when for rule in rules.audiences if rule.id == name), parameters)


def column_sql(info: FieldInfo) -> str:
    """The column as rules compare it: numbers as DOUBLE without NaN, dates as days after ``as_of``."""
    match info.kind:
        case Kind.DATE:
            return f"CAST({info.name} - as_of AS DOUBLE)"
        case Kind.NUMBER:
            return f"nullif(CAST({info.name} AS DOUBLE), CAST('nan' AS DOUBLE))"
        case _:
            return info.name


def _compile_comparison(condition: Condition, parameters: Parameters) -> str:
    info = condition.info
    column = column_sql(info)
    missing = f"(coalesce(len({column}), 0) = 0)" if info.kind is Kind.LIST else f"({column} IS NULL)"
    places = [_placeholder(info, constant, parameters) for constant in condition.constants]
    match condition.op:
        case Operator.MISSING:
            test = missing
        case Operator.PRESENT:
            test = f"(NOT {missing})"
        case Operator.CONTAINS:
            test = f"list_contains({column}, {places[0]})"
        case Operator.EQUAL | Operator.IN:
            test = f"{column} IN ({', '.join(places)})"
        case Operator.UNEQUAL | Operator.NOT_IN:
            test = f"(NOT coalesce({column} IN ({', '.join(places)}), false))"
        case Operator.BETWEEN:
            test = f"{column} BETWEEN {places[0]} AND {places[1]}"
        case _:
            test = f"{column} {condition.op} {places[0]}"
    return f"coalesce({test}, false)"


def _placeholder(info: FieldInfo, constant: Parameter, parameters: Parameters) -> str:
    numeric = info.kind in {Kind.NUMBER, Kind.DATE}
    place = parameters.add(float(constant) if numeric else constant)
    kind = {Kind.FLAG: "BOOLEAN", Kind.TEXT: "VARCHAR", Kind.LIST: "VARCHAR"}.get(info.kind, "DOUBLE")
    return f"CAST({place} AS {kind})"
