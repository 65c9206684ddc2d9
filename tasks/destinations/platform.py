"""What a platform is: one frozen value, and the small values that travel between it and the engine.

A platform file states the shape of one customer, the conversation for one batch, and the vendor's limits. Everything
else (planning, batching, pacing, retries, ledger, dead letters, consent) is done once, by the engine.
"""

import ipaddress
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict

from tasks.errors import ConfigurationError, RejectedError

T = TypeVar("T")

NOT_ON_PLATFORM = "not_on_platform"
OPTED_OUT_THERE = "opted_out_there"


class Verdict(StrEnum):
    """What became of one customer: each planned customer gets exactly one."""

    DELIVERED = "delivered"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    LATER = "later"


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


@dataclass(frozen=True, slots=True)
class Part:
    """One customer's share of a request; parts of different ``group`` are never sent together."""

    member: Member
    body: Any
    group: tuple[Hashable, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one customer, with a countable code and the vendor's words free of personal data."""

    customer_id: str
    verdict: Verdict
    code: str = ""
    reason: str = ""
    native_id: str = ""


def delivered(part: Part, native_id: str = "") -> Answer:
    """The platform has accepted this customer."""
    return Answer(part.member.customer_id, Verdict.DELIVERED, native_id=native_id or part.member.native_id)


def rejected(part: Part, code: str, reason: str = "") -> Answer:
    """The platform refused this customer for good; it becomes a dead letter."""
    return Answer(part.member.customer_id, Verdict.REJECTED, code, reason, part.member.native_id)


def unknown(part: Part) -> Answer:
    """The platform does not know this customer and we do not create people there; tried again when values change."""
    return rejected(part, NOT_ON_PLATFORM, "The platform does not know this customer")


def opted_out(part: Part) -> Answer:
    """The platform knows that this customer does not want to be addressed; nothing was written."""
    return rejected(part, OPTED_OUT_THERE, "The customer has opted out on the platform")


def later(part: Part, code: str, reason: str = "") -> Answer:
    """Not decided yet; the next push includes this customer again."""
    return Answer(part.member.customer_id, Verdict.LATER, code, reason, part.member.native_id)


def skipped(part: Part, code: str, reason: str = "") -> Answer:
    """Left alone on purpose, with the reason."""
    return Answer(part.member.customer_id, Verdict.SKIPPED, code, reason, part.member.native_id)


@dataclass(frozen=True, slots=True)
class Limits:
    """The vendor's limits: of one request (rows, bytes), of the account (requests per second, at once, a day)."""

    rows: int = 100
    bytes: int = 1_000_000
    per_second: float = 5.0
    parallel: int = 1
    per_day: int | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """Another way to send, for plans that touch more than ``above`` customers."""

    above: int
    limits: Limits
    push: "Push"


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


def secure_address(address: str) -> str:
    """Accept https everywhere and http on loopback only; raises ValueError otherwise."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    loopback = host == "localhost" or (host.replace(":", "").replace(".", "").isdigit() and _is_loopback(host))
    if parts.username or parts.password:
        raise ValueError("must not carry credentials")
    if not host or parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not loopback):
        raise ValueError("must be an https address (http only on loopback)")
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Address = Annotated[str, AfterValidator(secure_address)]


class Account(BaseModel):
    """Settings and secrets of one account; every secret is a SecretStr field, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base: Address = "https://localhost"
    key: Key | None = None  # what customers are recognised by; the platform's first choice when left out


class Session(Protocol):
    """One account's conversation; paced, retried, authorised and scrubbed by the shared client."""

    account: Any
    requests: int
    budget: int | None

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        data: Mapping[str, str] | None = None,
        files: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
        authorized: bool = True,
    ) -> httpx.Response:
        """Send one request; 2xx and the statuses in ``accept`` return, everything else raises one of our errors."""

    def poll(self, ask: Callable[[], T | None], *, what: str, every_seconds: float = 2.0) -> T:
        """Ask until the answer is not None; TransientError when the job takes longer than the account allows."""

    def attempt(self, action: Callable[[], T]) -> T:
        """Do something through a vendor's own client with this account's pace and patience."""

    def once(self) -> AbstractContextManager[None]:
        """Inside, a request whose outcome is unknown is not repeated."""

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """Make a value once per push and share it between threads."""


Shape = Callable[[Member, Target], Part]
Push = Callable[[Session, Target, Sequence[Part]], Iterable[Answer]]


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and how long it lives."""

    value: str = field(repr=False)
    lives_seconds: float
    base: str = ""


def fields_and_no_lists(target: Target) -> tuple[Thing, ...]:
    """The things most platforms need: one field for each pushed attribute."""
    return tuple(Thing("field", f.theirs, f.kind) for f in target.fields)


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
    erase: Callable[[Session, Target, Sequence[Person]], Iterable[Receipt]]
    volume: Volume | None = None
    headers: Callable[[Any, Token | None], Mapping[str, str]] = lambda _account, _token: {}
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


def text(value: Any, separator: str = ";") -> str:
    """A value as text: None is empty, lists are joined, numbers have no exponent and no trailing zeros."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
        case list() | tuple():
            return separator.join(text(one) for one in value)
        case _:
            return str(value)


def no_lists(values: Mapping[str, Any], separator: str = ";") -> dict[str, Any]:
    """The same values with lists written as one text, for platforms without a list type."""
    return {name: text(value, separator) if isinstance(value, list) else value for name, value in values.items()}


def one_by_one(parts: Sequence[Part], send: Callable[[Part], Answer]) -> Iterable[Answer]:
    """For platforms that take one customer per call: a refusal concerns this customer only."""
    for part in parts:
        try:
            yield send(part)
        except RejectedError as error:
            yield rejected(part, "refused", str(error))


def rest_of(parts: Sequence[Part], answers: Iterable[Answer]) -> list[Part]:
    """The parts that no answer mentions."""
    mentioned = {answer.customer_id for answer in answers}
    return [part for part in parts if part.member.customer_id not in mentioned]


def chunks(items: Iterable[T], size: int) -> Iterable[list[T]]:
    """The items in lists of at most ``size``."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
