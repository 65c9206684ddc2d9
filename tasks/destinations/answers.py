"""One batch, one answer for each of its customers, whatever the platform does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tasks.destinations.limits import batches
from tasks.destinations.platform import (
    NOT_ON_PLATFORM,
    Answer,
    Part,
    Platform,
    Session,
    Target,
    Verdict,
    later,
    rejected,
)
from tasks.errors import ConfigurationError, RejectedError, TransientError

Malformed = (LookupError, TypeError, ValueError, AttributeError)
"""What reading an answer of unexpected shape raises."""


@dataclass(slots=True)
class Conversation:
    """Sends batches to one platform; ``stopped`` tells why nothing more should be sent."""

    platform: Platform
    session: Session
    target: Target
    stopped: str = ""
    refused_in_a_row: int = 0
    patience: int = field(default=200, kw_only=True)

    def deliver(self, parts: Sequence[Part]) -> list[Answer]:
        """Send one batch and return exactly one answer per customer, in order."""
        if self.stopped:
            return [later(part, "stopped", self.stopped) for part in parts]
        former = [part for part in parts if part.member.former is not None]
        if former:
            return self._move(parts)
        return complete(parts, self._send(parts))

    def _move(self, parts: Sequence[Part]) -> list[Answer]:
        """Take customers out under the old key first; only those who are out are sent under the new one."""
        leaving = [self.platform.shape(part.member.former, self.target) for part in parts if part.member.former]
        left: dict[str, Answer] = {}
        for batch in batches(leaving, self.platform.limits):
            left.update((one.customer_id, one) for one in complete(batch, self._send(batch)))
        ready = [
            replace(part, member=replace(part.member, former=None))
            for part in parts
            if left[part.member.customer_id].verdict is Verdict.DELIVERED
        ]
        sent = {one.customer_id: one for one in (self.deliver(ready) if ready else [])}
        return [sent.get(part.member.customer_id, left[part.member.customer_id]) for part in parts]

    def _send(self, parts: Sequence[Part]) -> Iterable[Answer]:
        try:
            return self._watch(list(self.platform.push(self.session, self.target, parts)))
        except RejectedError as error:
            return self._halve(parts, error)
        except TransientError as error:
            return [later(part, "unavailable", str(error)) for part in parts]
        except ConfigurationError as error:
            self.stopped = self.stopped or str(error)
            return [later(part, "stopped", str(error)) for part in parts]
        except Malformed as error:
            reason = f"{self.platform.title} answered in an unexpected shape ({type(error).__name__})"
            return [later(part, "malformed_answer", reason) for part in parts]

    def _halve(self, parts: Sequence[Part], error: RejectedError) -> Iterable[Answer]:
        """A batch refused as a whole hides a bad row: look for it by halves."""
        if len(parts) == 1:
            return self._watch([rejected(parts[0], "refused", str(error))])
        if self.stopped:
            return [later(part, "stopped", self.stopped) for part in parts]
        middle = len(parts) // 2
        halves = (parts[:middle], parts[middle:])
        return [answer for half in halves for answer in complete(half, self._send(half))]

    def _watch(self, answers: list[Answer]) -> list[Answer]:
        """Stop when nobody is accepted any more: then the request is wrong, not the rows."""
        for one in answers:
            refused = one.verdict is Verdict.REJECTED and one.code != NOT_ON_PLATFORM
            self.refused_in_a_row = self.refused_in_a_row + 1 if refused else 0
        if self.refused_in_a_row >= self.patience and not self.stopped:
            self.stopped = f"{self.refused_in_a_row} customers in a row were refused ({answers[-1].reason})"
        return answers


def complete(parts: Sequence[Part], answers: Iterable[Answer]) -> list[Answer]:
    """Exactly one answer per part: strangers are dropped, doubles resolved against delivery, silence means later."""
    found: dict[str, Answer] = {}
    for answer in answers:
        known = found.get(answer.customer_id)
        if known is None or known.verdict is Verdict.DELIVERED:
            found[answer.customer_id] = answer
    return [
        found.get(part.member.customer_id) or later(part, "no_answer", "The platform did not mention this customer")
        for part in parts
    ]
