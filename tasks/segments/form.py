"""The form in which a marketer describes an audience, and the rule that it becomes."""

import re
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from tasks.errors import ConfigurationError
from tasks.segments.fields import FIELDS, FieldInfo, Kind
from tasks.segments.rules import Condition, Operator, Rule, Scalar

_LABEL_WIDTH = 60


def field_label(field: FieldInfo) -> str:
    """A field as the form offers it: name, meaning and unit."""
    unit = f" ({field.unit})" if field.unit else ""
    return f"{field.name}: {field.meaning}{unit}"


FIELD_LABELS: list[JsonValue] = [field_label(FIELDS[name]) for name in sorted(FIELDS)]


class Comparison(StrEnum):
    """Operators in words."""

    AT_LEAST = "is at least"
    AT_MOST = "is at most"
    ABOVE = "is more than"
    BELOW = "is less than"
    BETWEEN = "lies between"
    EQUAL = "is"
    UNEQUAL = "is not"
    IN = "is one of"
    NOT_IN = "is none of"
    CONTAINS = "contains"
    MISSING = "is missing"
    PRESENT = "is present"


class Match(StrEnum):
    """How several parts are joined."""

    ALL = "all of these"
    ANY = "any of these"


def _in_this_order(schema: dict[str, Any]) -> None:
    """Number the fields: a server on PostgreSQL forgets the order of keys, and the page sorts by position."""
    for position, field in enumerate(schema["properties"].values()):
        field["position"] = position


class FormPart(BaseModel):
    """One part of the form."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_in_this_order)


class FormCondition(FormPart):
    """One comparison."""

    field: str = Field(
        title="What we know about a customer",
        description="Choose from the list: name, meaning and unit",
        json_schema_extra={"enum": FIELD_LABELS},
    )
    comparison: Comparison = Field(
        Comparison.AT_LEAST, title="Comparison", description="How it is compared with the value below"
    )
    value: str = Field(
        "",
        title="Value",
        description="A number (0.3 for 30 %), a text, yes or no; several separated by commas",
    )


class FormGroup(FormPart):
    """Several comparisons."""

    match: Match = Field(
        Match.ALL, title="Customers must fulfil", description="Every condition below, or at least one of them"
    )
    conditions: list[FormCondition] = Field(
        min_length=1,
        title="Conditions",
        description="Press Add item once for each, for instance: orders is at least 10",
    )


class SegmentForm(FormPart):
    """An audience as a marketer describes it."""

    name: str = Field(
        min_length=2,
        max_length=_LABEL_WIDTH,
        title="Name",
        description="As people will read it, for instance Garden lovers; an audience of the same name is replaced",
    )
    description: str = Field("", title="Who they are", description="One sentence for colleagues")
    goal: str = Field("", title="Goal", description="What the business wants from them")
    action: str = Field("", title="Action", description="What sales staff should do when they meet one")
    match: Match = Field(
        Match.ALL, title="Customers must fulfil", description="Every group below, or at least one of them"
    )
    groups: list[FormGroup] = Field(
        min_length=1, title="Groups of conditions", description="One group is enough for most audiences: press Add item"
    )


def to_rule(form: SegmentForm) -> Rule:
    """The rule of a filled form; ``ConfigurationError`` lists every condition that does not work, by its place."""
    problems: list[str] = []
    groups = [_group(group, f"group {number}", problems) for number, group in enumerate(form.groups, 1)]
    if problems:
        raise ConfigurationError("\n".join(problems))
    when = groups[0] if len(groups) == 1 else _join(form.match, groups)
    return Rule(
        id=_identifier(form.name),
        label=form.name,
        description=form.description,
        goal=form.goal,
        action=form.action,
        when=when,
    )


def _group(group: FormGroup, where: str, problems: list[str]) -> Condition:
    parts = []
    for number, condition in enumerate(group.conditions, 1):
        try:
            parts.append(_comparison(condition))
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            problems.append(f"{where}, condition {number}: {reason}")
    return parts[0] if len(parts) == 1 else _join(group.match, parts)


def _join(match: Match, parts: list[Condition]) -> Condition:
    return Condition(all=tuple(parts)) if match is Match.ALL else Condition(any=tuple(parts) or None)


def _comparison(condition: FormCondition) -> Condition:
    name = condition.field.partition(":")[0].strip()
    operator = Operator[condition.comparison.name]
    said = [part.strip() for part in condition.value.split(",") if part.strip()]
    values = tuple(_read(part, FIELDS.get(name)) for part in said)
    many = operator in {Operator.BETWEEN, Operator.IN, Operator.NOT_IN}
    whole = _read(condition.value.strip(), FIELDS.get(name)) if condition.value.strip() else None
    return Condition(field=name, op=operator, value=values if many else whole)


def _read(text: str, field: FieldInfo | None) -> Scalar:
    if field is None or field.kind in {Kind.TEXT, Kind.LIST}:
        return text
    if field.kind is Kind.FLAG:
        return {"yes": True, "true": True, "no": False, "false": False}.get(text.lower(), text)
    try:
        return int(text)
    except ValueError:
        return _read_real(text)


def _read_real(text: str) -> Scalar:
    try:
        return float(text)
    except ValueError:
        return text


def _identifier(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f"a_{plain}"[:40] if not plain or plain[0].isdigit() else plain[:40]
