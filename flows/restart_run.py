"""Bring one failed run back, a bounded number of times, with its finished tasks reused."""

from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

from prefect import flow, get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled

from tasks.alerts.messages import Alert
from tasks.alerts.task import raise_alert


class Decision(Enum):
    """What becomes of a run that was reported as failed."""

    MOVED_ON = "moved on"
    RESTART = "restart"
    GIVE_UP = "give up"
    GIVEN_UP = "given up before"


def decide(run: FlowRun, max_restarts: int) -> Decision:
    """Say what to do with ``run`` as it is now.

    The automation may fire several times for one failure, so what counts is the run's state, not the event: only a run
    that still is failed or crashed is touched, and the final alert is tied to the attempt by a tag.
    """
    if run.state is None or not (run.state.is_failed() or run.state.is_crashed()):
        return Decision.MOVED_ON
    if run.deployment_id is not None and run.run_count <= max_restarts:
        return Decision.RESTART
    return Decision.GIVEN_UP if given_up_tag(run) in run.tags else Decision.GIVE_UP


def given_up_tag(run: FlowRun) -> str:
    """Mark of a run that was given up at its present attempt (a person's retry makes a new attempt)."""
    return f"given-up-{run.run_count}"


@flow(name="restart-run", flow_run_name="restart {flow_run_id}", persist_result=False)
def restart_run(flow_run_id: str, max_restarts: int = 2, delay_seconds: int = 30) -> str:
    """Put a failed or crashed flow run back into its queue, or raise the final alert.

    Args:
        flow_run_id: The run that failed.
        max_restarts: How often one run is put back before a person is called.
        delay_seconds: Pause before the next attempt; at least the few seconds in which a second report of one crash
            may still arrive, for it would hit the new attempt.
    """
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(flow_run_id))
        decision = decide(run, max_restarts)
        get_run_logger().info("Run %s, attempt %s: %s", flow_run_id, run.run_count, decision.value)
        if decision is Decision.RESTART:
            put_back(client, run, delay_seconds)
        elif decision is Decision.GIVE_UP:
            raise_alert(Alert("gave-up", job_name(client, run), {"attempts": run.run_count}), str(run.id))
            client.update_flow_run(run.id, tags=[*run.tags, given_up_tag(run)])
    return decision.value


def put_back(client: SyncPrefectClient, run: FlowRun, delay_seconds: int) -> None:
    """Schedule the same run again: it keeps its id, so persisted results of finished tasks are found."""
    start = datetime.now(UTC) + timedelta(seconds=delay_seconds)
    client.set_flow_run_state(run.id, Scheduled(name="AwaitingRetry", scheduled_time=start))


def job_name(client: SyncPrefectClient, run: FlowRun) -> str:
    """Name under which people know what was running: its deployment, or its flow where there is none."""
    return (client.read_deployment(run.deployment_id) if run.deployment_id else client.read_flow(run.flow_id)).name
