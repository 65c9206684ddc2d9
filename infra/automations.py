"""The automations: failed runs are reported and put back, silence is noticed, alerts reach the people they are for."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.automations import (
    AutomationCore,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    RunDeployment,
    SendNotification,
)
from prefect.client.schemas.objects import StateType

from infra.environment import Environment
from tasks.alerts.messages import DEFAULT_IMPACT, EVENT_PREFIX, IMPACTS, Kind, lines

PREFIX = "segmentation: "
"""An automation of this name is ours, and its failed actions raise an alert."""
QUIET_PREFIX = "segmentation (quiet) "
"""Ours as well, but its failed actions are no news: a heartbeat ends with its run, and an alarm cannot alarm itself."""

ENDED_BADLY = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
RAISED_BY_RUNS: frozenset[Kind] = frozenset(
    {
        "gave-up",
        "quarantine-above-limit",
        "destination-degraded",
        "grade-dropped",
        "brake-pulled",
        "dead-letters-waiting",
        "approval-awaited",
    }
)
LATE_SECONDS = 600
DAILY = "segment-customers"
_RUN = {"prefect.resource.id": "prefect.flow-run.*"}
_LINK = "Run: {{ flow_run|ui_url }}"


@dataclass(frozen=True, slots=True)
class Ids:
    """What automations point at: the alert block of each route, the supervisor's deployment."""

    blocks: Mapping[str, UUID]
    restart_run: UUID


def desired_automations(environment: Environment, ids: Ids) -> list[AutomationCore]:
    """Return every automation of an environment; those that would tell nobody are left out."""
    found = [_restart(ids), _lost_heartbeat(environment)]
    found += [told for told in _native(environment, ids) if told.actions]
    return found + list(_raised(environment, ids))


def _restart(ids: Ids) -> AutomationCore:
    which = {"flow_run_id": "{{ event.resource.id.split('.')[-1] }}"}
    action = RunDeployment(deployment_id=ids.restart_run, parameters=which)
    return AutomationCore(
        name=PREFIX + "restart a failed run",
        description="Starts restart-run, which decides by the state of the run; firing twice does no harm.",
        trigger=EventTrigger(
            expect=ENDED_BADLY, match=_RUN, match_related=_tag("restartable"), for_each={"prefect.resource.id"}
        ),
        actions=[action],
    )


def _lost_heartbeat(environment: Environment) -> AutomationCore:
    return AutomationCore(
        name=QUIET_PREFIX + "a run lost its heartbeat",
        description="Marks a run as crashed whose machine is gone; fires for runs that just ended too, without effect.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match=_RUN,
            match_related=_tag("segmentation"),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            within=timedelta(seconds=3 * environment.heartbeat_seconds),
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat: its machine or container is gone.")
        ],
    )


def _native(environment: Environment, ids: Ids) -> Iterator[AutomationCore]:
    """Alerts on what Prefect itself sees."""
    deployment, pool = "{{ deployment.name }}", "{{ work_pool.name }}"

    def told(kind: Kind, name: str, trigger: EventTrigger, where: str, link: str = _LINK) -> AutomationCore:
        actions = _notifications(kind, environment, ids, where, link)
        names = ", ".join(route.name for route in environment.alerts if route.takes(kind))
        description = f"Tells {names}. {lines(kind, 'it', DEFAULT_IMPACT)[2]}"
        return AutomationCore(name=name, description=description, trigger=trigger, actions=actions)

    failed = EventTrigger(
        expect=ENDED_BADLY, match=_RUN, match_related=_tag("restartable"), for_each={"prefect.resource.id"}
    )
    yield told("run-failed", PREFIX + "a run failed", failed, deployment)
    supervisor = EventTrigger(
        expect=ENDED_BADLY, match=_RUN, match_related=_tag("supervisor"), for_each={"prefect.resource.id"}
    )
    yield told("gave-up", PREFIX + "the supervisor failed", supervisor, deployment)
    fresh = EventTrigger(
        expect={"prefect.flow-run.Completed"},
        match=_RUN,
        match_related={"prefect.resource.name": DAILY, "prefect.resource.role": "deployment"},
        posture=Posture.Proactive,
        within=timedelta(hours=environment.fresh_within_hours),
    )
    yield told("stale-segments", PREFIX + "no fresh segments", fresh, DAILY, "")
    late = EventTrigger(
        after={"prefect.flow-run.Late"},
        expect={"prefect.flow-run.Pending", "prefect.flow-run.Running", "prefect.flow-run.Cancelled"},
        match=_RUN,
        match_related=_tag("segmentation"),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        within=timedelta(seconds=LATE_SECONDS),
    )
    yield told("late-run", PREFIX + "a run is late", late, deployment)
    silent = EventTrigger(
        expect={"prefect.work-pool.not-ready"},
        match={
            "prefect.resource.id": "prefect.work-pool.*",
            "prefect.resource.name": [each.name for each in environment.pools],
        },
        for_each={"prefect.resource.id"},
    )
    yield told("worker-down", PREFIX + "no worker answers", silent, pool, "")
    broken = EventTrigger(
        expect={"prefect.automation.action.failed"},
        match={"prefect.resource.id": "prefect.automation.*", "prefect.resource.name": PREFIX + "*"},
        for_each={"prefect.resource.id"},
        within=timedelta(minutes=10),
    )
    name = "{{ event.resource.name|replace('segmentation: ', '') }}"
    yield told("broken-alarm", QUIET_PREFIX + "an automation could not act", broken, name, "")


def _raised(environment: Environment, ids: Ids) -> Iterator[AutomationCore]:
    """One automation per route for the alerts that runs raise as events."""
    for route in environment.alerts:
        events = {EVENT_PREFIX + kind for kind in RAISED_BY_RUNS if route.takes(kind)}
        if events:
            body = "{{ event.payload.body }}\n" + _LINK
            kinds = ", ".join(sorted(kind.replace("-", " ") for kind in RAISED_BY_RUNS if route.takes(kind)))
            yield AutomationCore(
                name=f"{PREFIX}alerts to {route.name}",
                description=f"Tells {route.name} of what runs find out about data, destinations and models: {kinds}.",
                trigger=EventTrigger(expect=events, match=_RUN, for_each={"prefect.resource.id", "segmentation.where"}),
                actions=[
                    SendNotification(
                        block_document_id=ids.blocks[route.name], subject="{{ event.payload.subject }}", body=body
                    )
                ],
            )


def _notifications(kind: Kind, environment: Environment, ids: Ids, where: str, link: str) -> list[SendNotification]:
    # Neither the run's name nor its message is used: both may quote a customer or a key.
    body = "\n".join(line for line in (*lines(kind, where, _impact()), link) if line)
    subject = f"[segmentation] {where}: {kind.replace('-', ' ')}"
    return [
        SendNotification(block_document_id=ids.blocks[route.name], subject=subject, body=body)
        for route in environment.alerts
        if route.takes(kind)
    ]


def _impact() -> str:
    """A template that looks the deployment's impact up when the notification is sent."""
    return "{{ " + json.dumps(dict(IMPACTS)) + ".get(deployment.name, " + json.dumps(DEFAULT_IMPACT) + ") }}"


def _tag(tag: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}


def comparable(automation: AutomationCore) -> dict[str, Any]:
    """Return an automation as plain data in which order and spelling of equal things are the same."""
    return {
        key: _sorted(value)
        for key, value in automation.model_dump(mode="json", exclude={"id", "owner_resource"}).items()
    }


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: [inner] if isinstance(inner, str) and key.startswith("prefect.resource.") else _sorted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return sorted((_sorted(inner) for inner in value), key=str)
    return value
