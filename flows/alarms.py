"""What people must be told of a run, read from what it wrote: checks, plan, push and grades in, alerts out."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from flows.grade_report import Window
from tasks.alerts.messages import Alert, named
from tasks.config import AlarmSettings
from tasks.destinations.apply import DestinationPush, PushSummary
from tasks.destinations.brake import held_findings
from tasks.destinations.plan import Plan

Row = Mapping[str, Any]


def quarantine_alarms(checks: Iterable[Row]) -> tuple[Alert, ...]:
    """One alert per source whose last batch held more unusable rows than allowed, or files nobody could read.

    ``checks``: rows of ``check_results`` (check, subject, verdict, value, limit).
    """
    figures: dict[str, dict[str, float]] = {}
    for row in checks:
        if row["check"] == "quarantined" and row["verdict"] != "passed":
            shares = {"percent_quarantined": 100 * row["value"], "percent_allowed": 100 * row["limit"]}
            figures.setdefault(row["subject"], {}).update(shares)
        elif row["check"] == "whole_files" and row["verdict"] == "stopped":  # later good files heal a bad one
            figures.setdefault(row["subject"], {})["files_refused"] = row["value"]
    return tuple(Alert("quarantine-above-limit", named(source), figures[source]) for source in sorted(figures))


def brake_alarms(plan: Plan, released: Collection[str] = ()) -> tuple[Alert, ...]:
    """One alert per destination whose plan is held, with what each check found and allows at most."""
    findings = [(one.destination, finding) for one in plan.destinations for finding in one.findings]
    figures: dict[str, dict[str, float]] = {}
    for destination, finding in held_findings(findings, released):
        found = figures.setdefault(destination, {})
        found[finding.check] = max(finding.found, found.get(finding.check, finding.found))
        found[f"{finding.check}_allowed"] = finding.allowed
    return tuple(Alert("brake-pulled", named(name), figures[name]) for name in sorted(figures))


def push_alarms(pushed: PushSummary, limits: AlarmSettings) -> tuple[Alert, ...]:
    """Alerts about destinations that stopped, put off or refused more of the updates than allowed."""
    return tuple(
        alert
        for one in sorted(pushed.destinations, key=lambda one: one.destination)
        for alert in _of_destination(one, limits)
    )


def _of_destination(one: DestinationPush, limits: AlarmSettings) -> Iterator[Alert]:
    sent = one.delivered + one.rejected + one.later
    if one.stopped or one.later > limits.max_later * sent:
        figures = {"updates_put_off": one.later, "updates_delivered": one.delivered}
        yield Alert("destination-degraded", named(one.destination), figures)
    if one.rejected > limits.max_rejected * sent:
        yield Alert("dead-letters-waiting", named(one.destination), {"updates_refused": one.rejected})


def refusal_alarms(queue: str, refused: int) -> tuple[Alert, ...]:
    """An alert about events of a queue that nobody could understand or finish; none without."""
    return (Alert("dead-letters-waiting", named(queue), {"events_refused": refused}),) if refused else ()


def grade_alarms(grades: Iterable[Row], graded: Mapping[str, Window]) -> tuple[Alert, ...]:
    """One alert per target whose model in use has lost its place to the naive rival on the window just graded.

    ``grades``: rows of ``model_grades``. What was in use before is the champion of the newest earlier window, not what
    stood there when this run began: a run that goes on after a failure says the same.
    """
    rows = list(grades)
    dropped = (
        (target, _dropped([row for row in rows if row["target"] == target], graded[target])) for target in graded
    )
    return tuple(Alert("grade-dropped", named(f"{target} {model}")) for target, model in sorted(dropped) if model)


def _dropped(rows: Collection[Row], window: Window) -> str:
    """The model that was in use before the window and is worth no more than its naive rival now; empty without."""
    now = [row for row in rows if _place(row) == (window.first, (window.end - window.first).days)]
    before = [row for row in rows if row["champion"] and row["cutoff"] < window.first]
    if not now or not before:
        return ""
    last = max(before, key=lambda row: (*_place(row), row["model"]))
    beaten = {row["model"] for row in now if row["champion"]} <= {row["model"] for row in now if row["naive"]}
    return str(last["model"]) if beaten and not last["naive"] else ""


def _place(row: Row) -> tuple[date, int]:
    return row["cutoff"], row["horizon_days"]
