"""Where a push goes: the fields and lists agreed on, and what the platform calls them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tasks.destinations.people import Key
from tasks.errors import ConfigurationError


class Kind(StrEnum):
    """Type of a pushed field, the common ground of all platforms."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute: our column, the platform's name, its type; ``owned`` fields are cleared when someone leaves."""

    ours: str
    theirs: str
    kind: Kind
    owned: bool = True


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that must exist on the platform before a push: a field, a list, a table."""

    kind: str
    name: str
    type: Kind | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.type})" if self.type else "")


Known = Mapping[tuple[str, str], str]
"""(kind, name) of a thing that exists → the platform's own id for it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a push goes: the account, the fields and lists agreed on, and what the platform calls them."""

    destination: str
    account: Any
    fields: tuple[Field, ...]
    lists: tuple[str, ...] = ()
    known: Known = field(default_factory=dict)
    push_id: str = ""
    key: Key = Key.CUSTOMER_ID

    def native(self, kind: str, name: str) -> str:
        """The platform's id of a field or list that was prepared."""
        try:
            return self.known[kind, name]
        except KeyError:
            raise ConfigurationError(
                f"{self.destination}: {kind} {name!r} does not exist on the platform; run the push with its preparation"
            ) from None
