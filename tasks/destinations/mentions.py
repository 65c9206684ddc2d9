"""Whether a record of any shape is about a person: exact values under names that stand for people, nothing guessed."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_ABOUT_PEOPLE = re.compile(r"customer|household|loyalty|person|contact|user|buyer|member|owner|card", re.IGNORECASE)
_ID = frozenset({"id", "gid", "key", "number"})


@dataclass(frozen=True, slots=True)
class Handles:
    """Every name under which a person is known here."""

    customer_id: str
    email: str | None
    phone: str | None
    loyalty_id: str | None
    customer_keys: tuple[str, ...]

    @property
    def numbers(self) -> frozenset[str]:
        """Names that other things may have, too: they count only where people are meant."""
        own = {key.split(":", 1)[-1] for key in self.customer_keys}
        return frozenset({self.customer_id, *self.customer_keys, *own, *filter(None, [self.loyalty_id])})

    @property
    def addresses(self) -> frozenset[str]:
        """Names that nobody and nothing else has: they count everywhere."""
        return frozenset(one.strip().lower() for one in (self.email, self.phone) if one)

    @property
    def needles(self) -> tuple[str, ...]:
        """One of these occurs in every text about the person."""
        return tuple(sorted({*self.numbers, *self.addresses}))


def is_about(record: Any, handles: Handles) -> bool:
    """Whether one of the person's names stands in the record."""
    return any(_is_name(value, people, handles) for value, people in _values(record, people=False))


def text_is_about(text: str, handles: Handles) -> bool:
    """The same for JSON as text, also where it holds JSON as text again; what is no JSON counts by its words."""
    try:
        return is_about(json.loads(text), handles)
    except ValueError:
        words = re.split(r"[^\w@.+:-]+", text.lower())
        return not handles.addresses.isdisjoint(words) or not handles.numbers.isdisjoint(words)


def _values(record: Any, *, people: bool) -> Iterator[tuple[str, bool]]:
    """Every value as text, and whether it stands where people are meant."""
    if isinstance(record, dict):
        for name, value in record.items():
            named = bool(_ABOUT_PEOPLE.search(str(name)))
            yield from _values(value, people=named or (people and str(name).lower() in _ID))
            if named and isinstance(value, dict):
                yield from _values({k: v for k, v in value.items() if str(k).lower() in _ID}, people=True)
    elif isinstance(record, list):
        for value in record:
            yield from _values(value, people=people)
    elif isinstance(record, str) and record[:1] in ("{", "["):
        try:
            yield from _values(json.loads(record), people=people)
        except ValueError:
            yield record, people
    elif record is not None:
        yield str(record), people


def _is_name(value: str, people: bool, handles: Handles) -> bool:
    return value.strip().lower() in handles.addresses or (people and value.strip() in handles.numbers)


def without(records: Iterable[Any], handles: Handles) -> list[Any]:
    """The records that are about somebody else."""
    return [record for record in records if not is_about(record, handles)]
