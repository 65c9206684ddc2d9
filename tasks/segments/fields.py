"""What a segment rule may ask about a customer: the columns of ``customer_features``, read as five kinds of value."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from tasks.lake.contracts.column import DAY, FLAG, TEXT, TEXTS, Column
from tasks.lake.contracts.customers import CUSTOMER_FEATURES

Constant = bool | int | float | str
Value = Constant | tuple[str, ...] | None


class Kind(StrEnum):
    """How the values of a field compare."""

    NUMBER = "number"
    DATE = "date"
    TEXT = "text"
    FLAG = "yes or no"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field with the meaning and unit of its contract; ``nullable`` ones can be missing."""

    name: str
    kind: Kind
    meaning: str
    unit: str
    nullable: bool
    whole: bool

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Smallest and largest value where the unit names them (``0 to 1``)."""
        low, _, high = self.unit.partition(" to ")
        return (float(low), float(high)) if low.isdecimal() and high.isdecimal() else None


def _kind(column: Column) -> Kind:
    kinds = {TEXT: Kind.TEXT, TEXTS: Kind.LIST, FLAG: Kind.FLAG, DAY: Kind.DATE}
    return kinds.get(column.type, Kind.NUMBER)


def _field(column: Column) -> FieldInfo:
    kind = _kind(column)
    whole = str(column.type).startswith("int") or kind is Kind.DATE
    unit = "days after the morning of the run" if kind is Kind.DATE else column.unit
    return FieldInfo(column.name, kind, column.meaning, unit, column.nullable, whole)


FIELDS: Mapping[str, FieldInfo] = MappingProxyType(
    {c.name: _field(c) for c in CUSTOMER_FEATURES.columns if c.name not in CUSTOMER_FEATURES.key}
)


def find_field(name: str) -> FieldInfo:
    """The field of that name; ``ValueError`` with the nearest name otherwise."""
    if name in FIELDS:
        return FIELDS[name]
    close = difflib.get_close_matches(name, FIELDS, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Fields: {', '.join(sorted(FIELDS))}."
    raise ValueError(f"there is no field {name!r} in customer_features. {hint}")


def check_constant(field: FieldInfo, value: object) -> None:
    """``ValueError`` where ``value`` cannot be compared with the field."""
    expected: dict[Kind, tuple[type, ...]] = {
        Kind.NUMBER: (int, float),
        Kind.DATE: (int,),
        Kind.TEXT: (str,),
        Kind.LIST: (str,),
        Kind.FLAG: (bool,),
    }
    wrong = not isinstance(value, expected[field.kind]) or (isinstance(value, bool) and field.kind is not Kind.FLAG)
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{field.name} is compared with {_spell_kind(field)}, not with {value!r}.")
    if field.bounds and isinstance(value, int | float) and not field.bounds[0] <= value <= field.bounds[1]:
        percent = " Write 0.3 for 30 %." if field.unit == "0 to 1" else ""
        raise ValueError(f"{field.name} lies between {field.unit.replace(' to ', ' and ')}, not at {value!r}.{percent}")


def _spell_kind(field: FieldInfo) -> str:
    return {
        Kind.NUMBER: f"a number ({field.unit})" if field.unit else "a number",
        Kind.DATE: "a whole number of days after the morning of the run",
        Kind.TEXT: "a text",
        Kind.LIST: "a text",
        Kind.FLAG: "true or false",
    }[field.kind]


def neutral(field: FieldInfo) -> Value:
    """The value of a field that an example leaves out: missing where it may be, else nothing bought, sent or known."""
    if field.nullable:
        return None
    values: dict[Kind, Value] = {Kind.TEXT: "unknown", Kind.LIST: (), Kind.FLAG: False}
    return values.get(field.kind, 0)


def as_value(field: FieldInfo, raw: object, as_of: date) -> Value:
    """A cell of ``customer_features`` as rules see it: money as float, dates in days after ``as_of``, NaN missing."""
    if raw is None or (isinstance(raw, float) and math.isnan(raw)):
        return () if field.kind is Kind.LIST else None
    if isinstance(raw, date):
        return (raw - as_of).days
    if isinstance(raw, list | tuple):
        return tuple(str(part) for part in raw)
    if isinstance(raw, Decimal):
        return float(raw)
    if not isinstance(raw, bool | int | float | str):
        raise TypeError(f"{field.name}: {type(raw).__name__} is no value of a feature")
    return raw
