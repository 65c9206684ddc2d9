"""Jobs that a platform works on after it has answered."""

from collections.abc import Callable, Collection
from typing import Any

from tasks.destinations.faults import say
from tasks.destinations.scrub import scrub
from tasks.destinations.session import Session
from tasks.errors import TransientError


def finished(
    session: Session,
    look: Callable[[], Any],
    *,
    what: str,
    good: Collection[str],
    bad: Collection[str] = (),
    state: str = "status",
    every_seconds: float = 5.0,
) -> dict[str, Any]:
    """Look at a job until its ``state`` is a good one, and return what was seen last.

    TransientError: the state is a bad one, or the job takes longer than the account allows; the batch is sent again.
    """

    def ask() -> dict[str, Any] | None:
        seen = look()
        return seen if seen[state] in good or seen[state] in bad else None

    seen = session.poll(ask, what=what, every_seconds=every_seconds)
    if seen[state] in bad:
        raise TransientError(f"The {what} ended as {seen[state]} {scrub(say(seen))}".rstrip())
    return seen
