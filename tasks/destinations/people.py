"""Who travels: customers as a plan wants them, people to erase, people who opted out, and what they are known by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Change(StrEnum):
    """Why a customer is in the plan."""

    ENTER = "enter"
    UPDATE = "update"
    LEAVE = "leave"
    MOVE = "move"  # the identifying key changed: leave under the old one, enter under the new one
    SKIP = "skip"


class Key(StrEnum):
    """What a platform recognises a customer by; the value is the column of table ``customers``."""

    CUSTOMER_ID = "customer_id"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Member:
    """One customer as the plan wants them; ``values`` is keyed by the platform's field names, None clears.

    ``before`` holds the values last accepted, for updates; ``former`` is who to take out first when the key changed.
    """

    customer_id: str
    change: Change
    key: str
    email: str | None = None
    phone: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] | None = None
    lists: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    native_id: str = ""
    former: "Member | None" = None


@dataclass(frozen=True, slots=True)
class Person:
    """Someone to be erased: every handle we hold."""

    customer_id: str
    email: str | None = None
    phone: str | None = None
    native_id: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a platform answered to an erasure."""

    customer_id: str
    done: bool
    reference: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class OptOut:
    """A person who may not be addressed, as the platform knows it; ``key`` says what ``value`` is."""

    key: Key
    value: str
    reason: str
    channel: str = "email"
    at: datetime | None = None
