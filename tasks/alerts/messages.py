"""What an alert says: what happened, what it means for the business, what happens next.

A message is built from fixed sentences, names from the configuration and figures. There is no field for free text, so
neither an exception (which may quote a customer or a key) nor a record can end up in somebody's inbox.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "run-failed",
    "gave-up",
    "stale-segments",
    "late-run",
    "worker-down",
    "broken-alarm",
    "quarantine-above-limit",
    "destination-degraded",
    "grade-dropped",
    "brake-pulled",
    "dead-letters-waiting",
    "approval-awaited",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./ -]{0,79}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_./ -]+")

EVENT_PREFIX = "segmentation.alert."
"""An alert raised by a run is an event of this name followed by the kind; automations carry it to the routes."""


@dataclass(frozen=True, slots=True)
class Text:
    """The fixed sentences of one kind."""

    what: str
    impact: str
    next: str


TEXTS: Mapping[Kind, Text] = {
    "run-failed": Text(
        "A run of {where} ended before it was done.",
        "{impact}",
        "Finished stages are kept and the run is put back by itself; where that cannot help, a final alert follows.",
    ),
    "gave-up": Text(
        "A run of {where} failed and is not restarted any more.",
        "{impact}",
        "A person must act: open the run, mend the cause it names, then press Retry; finished stages are reused.",
    ),
    "stale-segments": Text(
        "No run of {where} was completed within its deadline.",
        "Campaigns, shops and sales staff work with segments that are older than promised.",
        "A person must look: is the schedule active, is a worker up, does the run hang?",
    ),
    "late-run": Text(
        "A run of {where} is due and no worker has picked it up.",
        "{impact}",
        "The run starts as soon as a worker polls its work pool; check the worker service.",
    ),
    "worker-down": Text(
        "Work pool {where} has no worker that answers.",
        "No run starts, scheduled or triggered, until one is back.",
        "The worker service restarts its container by itself; if this alert stays, open its log group.",
    ),
    "broken-alarm": Text(
        "Automation {where} could not carry out its action.",
        "A failure may have gone unnoticed or a run may not have been restarted.",
        "A person must look at the automation and at the block or deployment that it uses.",
    ),
    "quarantine-above-limit": Text(
        "Source {where} delivered more unusable rows than its limit allows.",
        "These rows are missing from every feature and segment computed since.",
        "They are kept in the quarantine table with their reasons; mend source or mapping and import the file again.",
    ),
    "destination-degraded": Text(
        "Destination {where} refuses or delays updates.",
        "Its audiences fall behind the segments; campaigns started there may reach the wrong people.",
        "Updates not accepted are kept and sent with the next run; rejected ones wait as dead letters for a replay.",
    ),
    "grade-dropped": Text(
        "Model {where} no longer beats its naive rival on the last closed window.",
        "Its predictions are replaced by the rival's until it earns its place again; ranking by value becomes coarser.",
        "Open the back-test report; look for a change of the data before changing the model.",
    ),
    "brake-pulled": Text(
        "The push to {where} was stopped because it would change more than is allowed.",
        "Nothing was sent; the destination keeps the last accepted audiences.",
        "A person must look at the plan: if the change is real, release the brake; if not, mend the source.",
    ),
    "dead-letters-waiting": Text(
        "Updates of {where} were refused and wait as dead letters.",
        "The customers concerned are not in the audiences they belong to.",
        "Mend what the reasons name, then replay.",
    ),
    "approval-awaited": Text(
        "A run of {where} has a plan and waits for somebody to approve it.",
        "Nothing is sent until then; without an approval in time the run ends with nothing sent.",
        "A person must look at the plan among the run's artifacts, then press Resume to send it or Cancel to refuse.",
    ),
}

IMPACTS: Mapping[str, str] = {
    "segment-customers": "Segments, recommendations and audiences stay as they were yesterday.",
    "refresh-customers": "Customers with purchases since the last refresh keep their old segment until the next one.",
    "sync-segments": "Marketing platforms keep the audiences they have; no customer moves.",
    "draft-campaigns": "Campaign managers find no new drafts today.",
    "collect-engagement": "Campaign figures miss the latest opens, clicks and orders.",
    "import-contacts": "The contacts of the new file cannot be addressed yet.",
    "define-segment": "The new audience is neither previewed nor saved.",
    "backtest-models": "Model grades are a week older than they should be; the last grades stay in force.",
    "forget-customer": "A person's erasure is not finished, and the law sets a term for it.",
    "tidy-lake": "The lake grows; nothing else is missing.",
    "restart-run": "Failed runs are not put back by themselves.",
}
DEFAULT_IMPACT = "What this run produces is missing or older than it should be."


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: its kind, the name of the thing concerned (never a person), and figures with units in their names."""

    kind: Kind
    where: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.where, *self.figures):
            if not _NAME.fullmatch(name):
                raise ValueError(
                    "an alert names things by letters, digits and . / _ - only, so that no address or key fits in"
                )
        if not all(math.isfinite(value) for value in self.figures.values()):
            raise ValueError("the figures of an alert are finite numbers")

    @property
    def event(self) -> str:
        """Name of the event that carries this alert."""
        return EVENT_PREFIX + self.kind

    @property
    def subject(self) -> str:
        """One line for a subject or a phone's screen."""
        return f"[segmentation] {self.where}: {self.kind.replace('-', ' ')}"

    @property
    def body(self) -> str:
        """What happened, what it means, what happens next, and the figures, one line each."""
        figures = [f"{name.replace('_', ' ')}: {value:g}" for name, value in self.figures.items()]
        return "\n".join([*lines(self.kind, self.where, IMPACTS.get(self.where, DEFAULT_IMPACT)), *figures])


def named(name: str) -> str:
    """Return a name of the configuration as alerts can carry it: what does not fit becomes a dash."""
    return _NOT_IN_NAMES.sub("-", name).lstrip("_./ -")[:80] or "unnamed"


def lines(kind: Kind, where: str, impact: str) -> list[str]:
    """Return the three lines of a kind with its blanks filled; where and impact may be templates filled in later."""
    text = TEXTS[kind]
    blanks = {"where": where, "impact": impact}
    return [
        f"What happened: {text.what.format(**blanks)}",
        f"What it means: {text.impact.format(**blanks)}",
        f"What happens next: {text.next.format(**blanks)}",
    ]
