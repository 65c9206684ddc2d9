"""Bring failed runs back, a bounded number of times, with their finished tasks reused."""

import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

from prefect import flow, get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Scheduled

from flows.approval import end_unapproved
from tasks.alerts.messages import Alert
from tasks.alerts.task import raise_alert
from tasks.errors import CheckFailedError, ConfigurationError

FUTILE = re.compile(rf"encountered an exception: ({CheckFailedError.__name__}|{ConfigurationError.__name__})\b")
"""What Prefect says of a run that ended with an error after which a person must act: another try would end the same."""


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
    helps = run.deployment_id is not None and not FUTILE.search(run.state.message or "")
    if helps and run.run_count <= max_restarts:
        return Decision.RESTART
    return Decision.GIVEN_UP if given_up_tag(run) in run.tags else Decision.GIVE_UP


def given_up_tag(run: FlowRun) -> str:
    """Mark of a run that was given up at its present attempt (a person's retry makes a new attempt)."""
    return f"given-up-{run.run_count}"


@flow(name="restart-run", persist_result=False)
def restart_run(flow_run_id: str = "", max_restarts: int = 2, delay_seconds: int = 30) -> dict[str, str]:
    """Put failed or crashed flow runs back into their queue, or raise the final alert.

    A sweep over all runs also ends those that nobody approved in time.

    Args:
        flow_run_id: The run that failed; left out, every restartable run that failed within the last day is looked at,
            for an automation that meets a busy server does not fire a second time.
        max_restarts: How often one run is put back before a person is called.
        delay_seconds: Pause before the next attempt; at least the few seconds in which a second report of one crash
            may still arrive, for it would hit the new attempt.
    """
    with get_client(sync_client=True) as client:
        if not flow_run_id:
            for run in end_unapproved(client, datetime.now(UTC)):
                get_run_logger().info("Run %s was not approved in time and has ended", run.id)
        runs = [client.read_flow_run(UUID(flow_run_id))] if flow_run_id else failed_runs(client)
        return {str(run.id): treat(client, run, max_restarts, delay_seconds).value for run in runs}


def failed_runs(client: SyncPrefectClient) -> list[FlowRun]:
    """Restartable runs that failed within the last day, oldest first."""
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.FAILED, StateType.CRASHED])),
        tags=FlowRunFilterTags(all_=["restartable"]),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=datetime.now(UTC) - timedelta(days=1)),
    )
    return client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200)


def treat(client: SyncPrefectClient, run: FlowRun, max_restarts: int, delay_seconds: int) -> Decision:
    """Decide about one run and act on it."""
    decision = decide(run, max_restarts)
    get_run_logger().info("Run %s, attempt %s: %s", run.id, run.run_count, decision.value)
    if decision is Decision.RESTART:
        put_back(client, run, delay_seconds)
    elif decision is Decision.GIVE_UP:
        raise_alert(Alert("gave-up", job_name(client, run), {"attempts": run.run_count}), str(run.id))
        client.update_flow_run(run.id, tags=[*run.tags, given_up_tag(run)])
    return decision


def put_back(client: SyncPrefectClient, run: FlowRun, delay_seconds: int) -> None:
    """Schedule the same run again: it keeps its id, so persisted results of finished tasks are found."""
    start = datetime.now(UTC) + timedelta(seconds=delay_seconds)
    client.set_flow_run_state(run.id, Scheduled(name="AwaitingRetry", scheduled_time=start))


def job_name(client: SyncPrefectClient, run: FlowRun) -> str:
    """Name under which people know what was running: its deployment, or its flow where there is none."""
    return (client.read_deployment(run.deployment_id) if run.deployment_id else client.read_flow(run.flow_id)).name
