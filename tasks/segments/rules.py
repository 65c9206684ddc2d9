"""Segment rules: who belongs where, as values that a marketer can read and write.

A condition is true or false, never unknown: a missing value fulfils no comparison except ``is missing``, and ``!=``,
``not in`` and ``not`` are the exact opposites of ``=``, ``in`` and the group they negate.
"""

from enum import StrEnum
from typing import Any, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, field_validator, model_validator

from tasks.config.base import Settings
from tasks.segments.fields import FieldInfo, Kind, check_constant, find_field

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
EVERYONE = "everyone"
NOBODY = {"not": EVERYONE}
USUAL_SHARE = 0.05
WHO = "who"
_ID = r"^[a-z][a-z0-9_]{0,39}$"


class Operator(StrEnum):
    """How a field is compared with a value."""

    AT_MOST = "<="
    AT_LEAST = ">="
    BELOW = "<"
    ABOVE = ">"
    EQUAL = "="
    UNEQUAL = "!="
    BETWEEN = "between"
    IN = "in"
    NOT_IN = "not in"
    MISSING = "is missing"
    PRESENT = "is present"
    CONTAINS = "contains"


_ORDERED = frozenset({Operator.AT_MOST, Operator.AT_LEAST, Operator.BELOW, Operator.ABOVE, Operator.BETWEEN})
_ALIKE = frozenset({Operator.EQUAL, Operator.UNEQUAL, Operator.IN, Operator.NOT_IN})
_KNOWN = frozenset({Operator.MISSING, Operator.PRESENT})
OPERATORS: dict[Kind, frozenset[Operator]] = {
    Kind.NUMBER: _ORDERED | _ALIKE | _KNOWN,
    Kind.DATE: _ORDERED | _ALIKE | _KNOWN,
    Kind.TEXT: _ALIKE | _KNOWN,
    Kind.FLAG: frozenset({Operator.EQUAL, Operator.UNEQUAL}) | _KNOWN,
    Kind.LIST: frozenset({Operator.CONTAINS}) | _KNOWN,
}
_MANY = frozenset({Operator.BETWEEN, Operator.IN, Operator.NOT_IN})


class Condition(Settings):
    """Either one comparison (``field``, ``op``, ``value``) or a group (``all``, ``any`` or ``not``)."""

    all: tuple["Condition", ...] | None = Field(None, description="Every one of these holds; empty means everyone")
    any: tuple["Condition", ...] | None = Field(None, min_length=1, description="At least one of these holds")
    not_: "Condition | None" = Field(None, alias="not", description="This does not hold")
    field: str | None = Field(None, description="Column of customer_features")
    op: Operator | None = Field(None, description="How it is compared")
    value: Scalar | tuple[Scalar, ...] | None = Field(None, description="What it is compared with")

    @model_validator(mode="before")
    @classmethod
    def _spell_out_everyone(cls, raw: Any) -> Any:
        if isinstance(raw, str) and raw != EVERYONE:
            raise ValueError(f"{raw!r} is no condition. Write `everyone`, a comparison, or a group (all, any, not).")
        return {"all": ()} if raw == EVERYONE else raw

    @field_validator("field")
    @classmethod
    def _known_field(cls, name: str | None) -> str | None:
        return None if name is None else find_field(name).name

    @field_validator("op", mode="before")
    @classmethod
    def _known_operator(cls, raw: Any) -> Any:
        if raw is not None and raw not in list(Operator):
            hint = {"==": "=", "≤": "<=", "≥": ">=", "<>": "!=", "=<": "<=", "=>": ">="}.get(str(raw))
            known = ", ".join(repr(str(op)) for op in Operator)
            raise ValueError(f"{raw!r} is no operator. " + (f"Did you mean {hint!r}?" if hint else f"Known: {known}."))
        return raw

    @field_validator("value", mode="before")
    @classmethod
    def _plain_value(cls, raw: Any) -> Any:
        parts = raw if isinstance(raw, list | tuple) else [raw]
        if raw is not None and not all(isinstance(part, bool | int | float | str) for part in parts):
            raise ValueError(f"{raw!r} is no value. Write numbers, texts or true/false; a day as days after the run.")
        return raw

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [name for name in ("all", "any", "not_", "field") if getattr(self, name) is not None]
        if len(forms) != 1 or (forms != ["field"] and (self.op is not None or self.value is not None)):
            raise ValueError("a condition is either one comparison (field, op, value) or one group (all, any or not).")
        if self.field is not None:
            self._check_comparison(find_field(self.field))
        return self

    def _check_comparison(self, field: FieldInfo) -> None:
        if self.op is None:
            raise ValueError(f"op is missing. Say how {field.name} is compared.")
        if self.op not in OPERATORS[field.kind]:
            possible = ", ".join(repr(str(op)) for op in Operator if op in OPERATORS[field.kind])
            raise ValueError(f"{field.name} is a {field.kind}: {str(self.op)!r} does not apply. Possible: {possible}.")
        if self.op in _KNOWN:
            if self.value is not None:
                raise ValueError(f"{str(self.op)!r} takes no value.")
            return
        if (self.op in _MANY) != isinstance(self.value, tuple) or self.value is None or self.value == ():
            wanted = "a list of values, as in [1, 2]," if self.op in _MANY else "one value"
            raise ValueError(f"{str(self.op)!r} takes {wanted} and got {_spell(self.value)}.")
        for constant in self.constants:
            check_constant(field, constant)
        if self.op is Operator.BETWEEN:
            _check_range(self.constants)

    @property
    def constants(self) -> tuple[bool | int | float | str, ...]:
        """The values compared with, none for a group."""
        if self.value is None:
            return ()
        return self.value if isinstance(self.value, tuple) else (self.value,)

    @property
    def parts(self) -> tuple["Condition", ...]:
        """The members of a group, none for a comparison."""
        return self.all or self.any or ((self.not_,) if self.not_ is not None else ())

    @property
    def info(self) -> FieldInfo:
        """The field of a comparison."""
        return find_field(self.field or "")

    def fields(self) -> frozenset[str]:
        """All fields it asks about."""
        own = {self.field} if self.field is not None else set()
        return frozenset(own.union(*(part.fields() for part in self.parts)))


def _check_range(constants: tuple[bool | int | float | str, ...]) -> None:
    match constants:
        case (int() | float() as low, int() | float() as high):
            if low > high:
                raise ValueError(f"'between' starts at {low} and ends at {high}. Swap them.")
        case _:
            raise ValueError("'between' takes two numbers, the lower one first; both belong to it.")


def _spell(value: object) -> str:
    if value is None:
        return "none"
    return str(list(value)) if isinstance(value, tuple) else repr(value)


ExampleValue = Scalar | tuple[StrictStr, ...] | None
Example = dict[str, ExampleValue]


class Examples(Settings):
    """Customers who must land in a rule, and customers who must not; fields left out are missing, zero or false."""

    inside: tuple[Example, ...] = Field((), alias="in", description="Customers who belong to it; `who` is their story")
    outside: tuple[Example, ...] = Field((), alias="out", description="Customers who do not")

    @field_validator("inside", "outside")
    @classmethod
    def _known_values(cls, examples: tuple[Example, ...]) -> tuple[Example, ...]:
        for example in examples:
            for name, value in example.items():
                if name != WHO:
                    _check_example_value(find_field(name), value)
        return examples


def _check_example_value(field: FieldInfo, value: ExampleValue) -> None:
    if value is None:
        return
    if field.kind is Kind.LIST and not isinstance(value, tuple):
        raise ValueError(f"{field.name} is a list. Write it as [{value}].")
    for part in value if isinstance(value, tuple) else (value,):
        check_constant(field, part)


class Rule(Settings):
    """One segment or audience: a name, what it is for, and who belongs to it."""

    id: str = Field(pattern=_ID, description="Short name in tables and on platforms: small letters, digits and _")
    label: str = Field(min_length=1, max_length=60, description="Name that people read")
    description: str = Field("", description="Who these customers are, in one sentence")
    goal: str = Field("", description="What the business wants from them")
    action: str = Field("", description="What sales staff should do when they meet one")
    when: Condition = Field(description="Who belongs to it")
    like: str | None = Field(
        None, description="Instead of when: the segment or audience whose look-alikes belong to it"
    )
    share: float = Field(USUAL_SHARE, gt=0, le=0.5, description="Look-alikes are at most this share of all customers")
    examples: Examples = Field(default_factory=Examples, description="Customers that prove the condition")

    @model_validator(mode="before")
    @classmethod
    def _condition_or_seed(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        if raw.get("like") is None:
            if "share" in raw:
                raise ValueError("share belongs to a look-alike audience. Name its seed with like, or take share out.")
            return raw
        if raw.get("when") not in (None, NOBODY):
            raise ValueError("an audience has a condition (when) or a seed (like), not both. Take one out.")
        if raw.get("examples"):
            raise ValueError("examples cannot prove a look-alike: all customers together decide. Take them out.")
        return {**raw, "when": NOBODY}


class RuleFile(Settings):
    """All rules: ``primary`` in order, the first that matches decides; ``audiences`` in any number per customer."""

    primary: tuple[Rule, ...] = Field(min_length=1, description="Ordered: the first match is the segment")
    audiences: tuple[Rule, ...] = Field((), description="Independent: a customer can be in any number of them")

    @property
    def lookalikes(self) -> tuple[Rule, ...]:
        """Audiences without a condition: those most like a seed, in the order of their ids."""
        return tuple(sorted((rule for rule in self.audiences if rule.like is not None), key=lambda rule: rule.id))

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Primary rules, then audiences."""
        return self.primary + self.audiences
