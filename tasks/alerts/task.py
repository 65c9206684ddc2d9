"""The door of the alerts: a run raises an alert, the automations bring it to whoever is to know."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect import get_run_logger, task
from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks.alerts.messages import Alert


def event_id(alert: Alert, run: str) -> UUID:
    """The id of the event of an alert: the same alert about the same run is the same event."""
    figures = sorted(alert.figures.items())
    return uuid5(NAMESPACE_URL, f"{alert.event}/{alert.where}/{figures}/{run}")


def _once_per_run(_context: Any, arguments: Mapping[str, Any]) -> str:
    return f"alert-{event_id(arguments['alert'], arguments['about_run'] or str(flow_run.id))}"


@task(
    name="raise alert",
    task_run_name="alert {alert.kind}",
    cache_key_fn=_once_per_run,
    persist_result=True,
    result_serializer="json",
)
def raise_alert(alert: Alert, about_run: str | None = None) -> str:
    """Emit ``alert`` as an event on a flow run (``about_run``, this one by default), log and return its subject.

    A run that goes on after a failure finds that it has told already; should the result have been lost with its
    machine, the server still knows the event by its id.
    """
    run = about_run or str(flow_run.id)
    get_run_logger().warning("%s", alert.subject)
    emit_event(
        id=event_id(alert, run),
        event=alert.event,
        resource={"prefect.resource.id": f"prefect.flow-run.{run}", "segmentation.where": alert.where},
        payload={"subject": alert.subject, "body": alert.body},
    )
    return alert.subject


def raise_alerts(alerts: Iterable[Alert]) -> None:
    """Raise each of them on the present run."""
    for alert in alerts:
        raise_alert(alert)
