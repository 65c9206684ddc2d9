"""One batch, one answer for each of its customers, whatever the platform does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tasks.destinations.limits import batches
from tasks.destinations.platform import (
    NOT_ON_PLATFORM,
    OPTED_OUT_THERE,
    Answer,
    Part,
    Platform,
    Session,
    Target,
    Verdict,
    later,
    rejected,
    rest_of,
)
from tasks.destinations.scrub import scrub, secrets_of
from tasks.destinations.understood import MALFORMED
from tasks.errors import ConfigurationError, RejectedError, TransientError

EXPECTED = frozenset({NOT_ON_PLATFORM, OPTED_OUT_THERE})


@dataclass(slots=True)
class Conversation:
    """Sends batches to one platform; ``stopped`` tells why nothing more should be sent."""

    platform: Platform
    session: Session
    target: Target
    stopped: str = ""
    refused_in_a_row: int = 0
    patience: int = field(default=200, kw_only=True)
    secrets: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.secrets = secrets_of(self.session.account)

    def deliver(self, parts: Sequence[Part]) -> list[Answer]:
        """Send one batch and return exactly one answer per customer, in order."""
        if not parts:
            return []
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

    def _send(self, parts: Sequence[Part]) -> list[Answer]:
        """What the platform says about the batch; what it said before a failure counts, the failure judges the rest."""
        answers: list[Answer] = []
        try:
            for one in self.platform.push(self.session, self.target, parts):
                answers.append(self._clean(one))  # noqa: PERF401 - answers before a failure must be kept
        except RejectedError as error:
            return answers + self._halve(rest_of(parts, answers), error)
        except TransientError as error:
            code, reason = "unavailable", str(error)
        except ConfigurationError as error:
            self.stopped = self.stopped or str(error)
            code, reason = "stopped", str(error)
        except MALFORMED as error:
            code = "malformed_answer"
            reason = f"{self.platform.title} answered in an unexpected shape ({type(error).__name__})"
        else:
            return answers
        return answers + [later(part, code, reason) for part in rest_of(parts, answers)]

    def _halve(self, parts: Sequence[Part], error: RejectedError) -> list[Answer]:
        """A batch refused as a whole hides a bad row: look for it by halves."""
        if len(parts) <= 1:
            return [self._clean(rejected(part, "refused", str(error))) for part in parts]
        if self.stopped:
            return [later(part, "stopped", self.stopped) for part in parts]
        middle = len(parts) // 2
        halves = (parts[:middle], parts[middle:])
        return [answer for half in halves for answer in complete(half, self._send(half))]

    def _clean(self, answer: Answer) -> Answer:
        """Take personal data out of the vendor's words, and stop when nobody is accepted any more."""
        if answer.verdict is not Verdict.REJECTED:
            self.refused_in_a_row = 0
        elif answer.code not in EXPECTED:
            self.refused_in_a_row += 1
            if self.refused_in_a_row >= self.patience and not self.stopped:
                words = scrub(answer.reason, self.secrets)
                self.stopped = f"{self.refused_in_a_row} customers in a row were refused ({words})"
        if not answer.reason:
            return answer
        return replace(answer, reason=scrub(answer.reason, self.secrets), code=scrub(answer.code, self.secrets)[:60])


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
