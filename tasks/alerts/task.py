"""The door of the alerts: a run raises an alert, the automations bring it to whoever is to know."""

from prefect import get_run_logger, task
from prefect.events import emit_event
from prefect.runtime import flow_run

from tasks.alerts.messages import Alert


@task(name="raise alert", task_run_name="alert {alert.kind}", persist_result=False)
def raise_alert(alert: Alert, about_run: str | None = None) -> None:
    """Emit ``alert`` as an event on a flow run (``about_run``, this one by default) and log its subject."""
    get_run_logger().warning("%s", alert.subject)
    emit_event(
        event=alert.event,
        resource={
            "prefect.resource.id": f"prefect.flow-run.{about_run or flow_run.id}",
            "segmentation.where": alert.where,
        },
        payload={"subject": alert.subject, "body": alert.body},
    )
