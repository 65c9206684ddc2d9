"""Stages whose outcome people are told of: taking in, and pushing."""

from collections.abc import Collection
from datetime import date
from typing import Any

from flows.alarms import brake_alarms, push_alarms, quarantine_alarms
from tasks.alerts.task import raise_alerts
from tasks.config import Config
from tasks.destinations.apply import PushSummary
from tasks.destinations.plan import Plan
from tasks.destinations.task import apply_push
from tasks.intake.task import take_in
from tasks.lake import Lake, Snapshots
from tasks.secrets import person_key


def take_in_and_tell(settings: Config, as_of: date, tables: Lake, *, partial: bool = False) -> Snapshots:
    """Take in every new file; a source above its quarantine limit is told of, whether it stops the run or not.

    ``partial``: the configuration names some of the sources only; the others are neither taken in nor told of.
    """
    try:
        return take_in(settings, as_of, person_key(tables), partial=partial)
    finally:
        names = {source.name for source in settings.sources}
        checks = [row for row in checks_of(tables, as_of) if not partial or row["subject"] in names]
        raise_alerts(quarantine_alarms(checks))


def push_and_tell(settings: Config, plan: Plan, released: Collection[str] = ()) -> PushSummary:
    """Send exactly the plan; a brake that holds it, and a destination that refuses or puts off updates, is told of."""
    raise_alerts(brake_alarms(plan, released))
    pushed = apply_push(settings, plan, tuple(released))
    raise_alerts(push_alarms(pushed, settings.alarms))
    return pushed


def checks_of(lake: Lake, as_of: date) -> list[dict[str, Any]]:
    """The rows of ``check_results`` that a run of ``as_of`` has written so far."""
    return list(lake.read(lake.latest("check_results"), where={"as_of": as_of}).to_pylist())
