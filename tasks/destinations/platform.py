"""What a platform is: one frozen value. This is the one module that a platform file imports.

A platform file states the shape of one customer, the conversation for one batch, and the vendor's limits. Everything
else (planning, batching, pacing, retries, ledger, dead letters, consent) is done once, by the engine. What vendors have
in common is re-exported here: credentials, pages, jobs, verdicts, erasure, text and CSV.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar

import httpx

from tasks.destinations.credentials import AppAccount, Headers, basic, bearer, client_credentials, granted, secret_in
from tasks.destinations.erasure import Erase, by_address, no_address
from tasks.destinations.jobs import finished
from tasks.destinations.paging import at, by_cursor, by_link, by_offset
from tasks.destinations.people import Change, Key, Member, OptOut, Person, Receipt
from tasks.destinations.session import Account, Address, Session, Token, secure_address
from tasks.destinations.target import Field, Kind, Known, Target, Thing
from tasks.destinations.verdicts import (
    NOT_ON_PLATFORM,
    OPTED_OUT_THERE,
    Answer,
    Part,
    Verdict,
    admitted,
    all_but,
    delivered,
    divided,
    later,
    one_by_one,
    opted_out,
    rejected,
    remembered,
    rest_of,
    skipped,
    unknown,
)
from tasks.destinations.wire_text import csv_bytes, csv_lines, csv_records, no_lists, text
from tasks.errors import ConfigurationError

__all__ = [
    "NOT_ON_PLATFORM", "OPTED_OUT_THERE", "Account", "Address", "Answer", "AppAccount", "Change", "Erase", "Field",
    "Headers", "Key", "Kind", "Known", "Limits", "Member", "OptOut", "Part", "Person", "Platform", "Push", "Receipt",
    "Session", "Shape", "Target", "Thing", "Token", "Verdict", "Volume", "admitted", "all_but", "as_is", "at", "basic",
    "bearer", "by_address", "by_cursor", "by_link", "by_offset", "chunks", "client_credentials", "csv_bytes",
    "csv_lines", "csv_records", "delivered", "divided", "fields_and_lists", "fields_and_no_lists", "finished",
    "granted", "later", "no_address", "no_difference", "no_lists", "no_opt_outs", "no_token", "nothing_known",
    "nothing_to_create", "nothing_wanted", "one_by_one", "opted_out", "rejected", "remembered", "rest_of", "secret_in",
    "secure_address", "skipped", "text", "unknown",
]  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """The vendor's limits: of one request (rows, bytes), of the account (requests per second, at once, a day)."""

    rows: int = 100
    bytes: int = 1_000_000
    per_second: float = 5.0
    parallel: int = 1
    per_day: int | None = None


Shape = Callable[[Member, Target], Part]
Push = Callable[[Session, Target, Sequence[Part]], Iterable[Answer]]


@dataclass(frozen=True, slots=True)
class Volume:
    """Another way to send, for plans that touch more than ``above`` customers."""

    above: int
    limits: Limits
    push: Push


def fields_and_no_lists(target: Target) -> tuple[Thing, ...]:
    """The things most platforms need: one field for each pushed attribute."""
    return tuple(Thing("field", f.theirs, f.kind) for f in target.fields)


def fields_and_lists(named: Callable[[str], str]) -> Callable[[Target], tuple[Thing, ...]]:
    """For platforms with lists: a field for each pushed attribute, and each list under the platform's name for it."""

    def wants(target: Target) -> tuple[Thing, ...]:
        return (*fields_and_no_lists(target), *(Thing("list", named(name)) for name in target.lists))

    return wants


def nothing_wanted(_target: Target) -> tuple[Thing, ...]:
    """For platforms whose attributes appear on first write."""
    return ()


def nothing_known(_session: Session, _target: Target) -> Known:
    """For platforms that have nothing to look up."""
    return {}


def nothing_to_create(_session: Session, target: Target, thing: Thing) -> str:
    """For platforms where a person must create what is missing."""
    raise ConfigurationError(f"{target.destination}: {thing} has to be created by hand on this platform")


def no_opt_outs(
    _session: Session, _target: Target, _since: datetime | None, _people: Iterable[Person]
) -> Iterable[OptOut]:
    """For platforms that know nothing of consent."""
    return ()


def no_token(_call: Session, _account: Any) -> Token | None:
    """For platforms whose secret is the credential itself."""
    return None


def no_difference(_response: httpx.Response) -> Exception | None:
    """For platforms that mean by a status what the shared table says."""
    return None


def as_is(name: str) -> str:
    """The configured default name of a field, for platforms that take any name."""
    return name


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything the engine, the tests and the documentation need to know about one platform."""

    slug: str
    title: str
    docs: str
    api_version: str
    keys: tuple[Key, ...]
    account: type[Account]
    limits: Limits
    shape: Shape
    push: Push
    check: Callable[[Session, Target], str]
    erase: Erase
    volume: Volume | None = None
    headers: Headers = lambda _account, _token: {}
    token: Callable[[Session, Any], Token | None] = no_token
    wants: Callable[[Target], tuple[Thing, ...]] = fields_and_no_lists
    known: Callable[[Session, Target], Known] = nothing_known
    create: Callable[[Session, Target, Thing], str] = nothing_to_create
    opt_outs: Callable[[Session, Target, datetime | None, Iterable[Person]], Iterable[OptOut]] = no_opt_outs
    fault: Callable[[httpx.Response], Exception | None] = no_difference
    rename: Callable[[str], str] = as_is
    identity_fields: Mapping[str, str] = field(default_factory=dict)
    uses_lists: bool = False
    splits_by_lists: bool = False  # customers with different lists need different requests
    embedded: bool = False  # ours: no first-push brake, nothing leaves the house
    addresses_people: bool = True  # consent counts; a file or a warehouse table addresses nobody
    reads_opt_outs: bool = True
    retires: date | None = None
    extra: str = ""
    modules: tuple[str, ...] = ()

    def sized(self, customers: int) -> "Platform":
        """The same platform with the way of sending that fits this many customers."""
        if self.volume is None or customers <= self.volume.above:
            return self
        return replace(self, limits=self.volume.limits, push=self.volume.push)


def chunks(items: Iterable[T], size: int) -> Iterable[list[T]]:
    """The items in lists of at most ``size``."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
