"""What became of a customer: one verdict each, and the few ways to say it."""

from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tasks.destinations.people import Change, Member
from tasks.errors import RejectedError

NOT_ON_PLATFORM = "not_on_platform"
OPTED_OUT_THERE = "opted_out_there"


class Verdict(StrEnum):
    """What became of one customer: each planned customer gets exactly one."""

    DELIVERED = "delivered"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    LATER = "later"


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


def one_by_one(parts: Sequence[Part], send: Callable[[Part], Answer]) -> Iterable[Answer]:
    """For platforms that take one customer per call: a refusal concerns this customer only."""
    for part in parts:
        try:
            yield send(part)
        except RejectedError as error:
            yield rejected(part, "refused", str(error))


def all_but(
    parts: Iterable[Part], failed: Mapping[str, tuple[str, str]], ids: Mapping[str, str] | None = None
) -> Iterator[Answer]:
    """Everybody is accepted but those whom ``failed`` names by their key, with a code and the platform's words.

    ``ids`` holds the platform's own ids by key, where it told them.
    """
    for part in parts:
        key = part.member.key
        yield rejected(part, *failed[key]) if key in failed else delivered(part, (ids or {}).get(key, ""))


def admitted(parts: Iterable[Part], may_reach: Callable[[Part], bool | None]) -> tuple[list[Part], list[Answer]]:
    """Who may be written to, and the answers of the others: ``may_reach`` is False for opted out, None for not there.

    Whoever leaves and cannot be reached has left already.
    """
    go: list[Part] = []
    others: list[Answer] = []
    for part in parts:
        if reach := may_reach(part):
            go.append(part)
        elif part.member.change is Change.LEAVE:
            others.append(delivered(part))
        else:
            others.append(unknown(part) if reach is None else opted_out(part))
    return go, others


def remembered(parts: Iterable[Part]) -> dict[str, str]:
    """Customer id → the platform's own id, of those whom an earlier push has met there."""
    return {part.member.customer_id: part.member.native_id for part in parts if part.member.native_id}


def divided(parts: Iterable[Part], there: Container[str]) -> tuple[list[Part], list[Part]]:
    """The parts of customers who are on the platform, by customer id, and the others."""
    here: list[Part] = []
    absent: list[Part] = []
    for part in parts:
        (here if part.member.customer_id in there else absent).append(part)
    return here, absent


def rest_of(parts: Sequence[Part], answers: Iterable[Answer]) -> list[Part]:
    """The parts that no answer mentions."""
    mentioned = {answer.customer_id for answer in answers}
    return [part for part in parts if part.member.customer_id not in mentioned]
