"""The supervisor on a real server: puts back, gives up once, and finds what an automation has missed."""

from contextlib import suppress
from uuid import uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import StateType
from prefect.flow_engine import run_flow_sync
from prefect.states import Crashed, Failed, Running

from flows.restart_run import restart_run
from tasks.errors import CheckFailedError, TransientError

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("prefect_server")]


@flow
def nightly() -> None:
    """Stands for a job; it is never run here, only its states are."""


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def failed(client):
    """A restartable run that has failed in its first attempt."""
    deployment = client.create_deployment(client.create_flow(nightly), f"nightly-{uuid4()}", tags=["restartable"])
    run = client.create_flow_run_from_deployment(deployment, tags=["restartable"])
    fail(client, run.id)
    return run.id


def fail(client, run_id, state=None):
    client.set_flow_run_state(run_id, Running(), force=True)
    client.set_flow_run_state(run_id, state or Failed(message="ana@example.com"), force=True)


def test_a_failed_run_waits_for_its_next_attempt_and_a_second_report_changes_nothing(client, failed):
    assert restart_run(str(failed)) == {str(failed): "restart"}
    run = client.read_flow_run(failed)
    assert (run.state.type, run.state.name, run.run_count) == (StateType.SCHEDULED, "AwaitingRetry", 1)
    assert restart_run(str(failed)) == {str(failed): "moved on"}


def test_after_the_last_try_a_run_is_given_up_once(client, failed):
    restart_run(str(failed), max_restarts=1)
    fail(client, failed, Crashed())
    assert restart_run(str(failed), max_restarts=1) == {str(failed): "give up"}
    assert "given-up-2" in client.read_flow_run(failed).tags
    assert restart_run(str(failed), max_restarts=1) == {str(failed): "given up before"}
    assert client.read_flow_run(failed).state.type is StateType.CRASHED


def test_a_sweep_finds_the_failures_that_no_automation_brought(client, failed):
    other = client.create_flow_run(nightly)
    fail(client, other.id)
    found = restart_run()
    assert found[str(failed)] == "restart"
    assert str(other.id) not in found
    assert str(failed) not in restart_run()


@flow
def stubborn(error: str) -> None:
    """Ends with one of our errors."""
    raise {"held": CheckFailedError, "down": TransientError}[error]("ended on purpose")


def test_a_run_held_by_a_check_is_given_up_at_once_and_one_that_met_an_outage_is_put_back(client):
    deployment = client.create_deployment(client.create_flow(stubborn), f"stubborn-{uuid4()}", tags=["restartable"])
    decisions = {}
    for error in ("held", "down"):
        run = client.create_flow_run_from_deployment(deployment, parameters={"error": error})
        with suppress(CheckFailedError, TransientError):
            run_flow_sync(stubborn, flow_run=run, parameters={"error": error})
        decisions |= {error: restart_run(str(run.id))[str(run.id)]}
    assert decisions == {"held": "give up", "down": "restart"}
