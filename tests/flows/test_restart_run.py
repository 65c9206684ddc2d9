"""A failed run is put back a bounded number of times, however often its failure is reported."""

from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.restart_run import Decision, decide, given_up_tag

DEPLOYMENT = UUID(int=7)


def run(state, *, count=1, tags=(), deployment=DEPLOYMENT):
    name = "TimedOut" if state == "TIMEDOUT" else None
    kind = StateType.FAILED if state == "TIMEDOUT" else StateType(state)
    return FlowRun(
        flow_id=UUID(int=1),
        deployment_id=deployment,
        run_count=count,
        tags=list(tags),
        state=State(type=kind, name=name),
    )


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "TIMEDOUT"])
def test_a_run_that_ended_badly_is_put_back(state):
    assert decide(run(state), max_restarts=2) is Decision.RESTART


@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED", "CANCELLED", "CANCELLING", "PAUSED"])
def test_a_run_that_has_moved_on_is_left_alone(state):
    assert decide(run(state), max_restarts=2) is Decision.MOVED_ON


def test_the_third_failure_of_a_run_with_two_restarts_is_final():
    decisions = [decide(run("FAILED", count=count), max_restarts=2) for count in (1, 2, 3)]
    assert decisions == [Decision.RESTART, Decision.RESTART, Decision.GIVE_UP]


def test_the_final_alert_is_raised_once_per_attempt():
    final = run("FAILED", count=3)
    told = final.model_copy(update={"tags": [given_up_tag(final)]})
    assert decide(told, max_restarts=2) is Decision.GIVEN_UP
    retried_by_a_person = told.model_copy(update={"run_count": 4})
    assert decide(retried_by_a_person, max_restarts=2) is Decision.GIVE_UP


def test_without_restarts_the_first_failure_is_final():
    assert decide(run("CRASHED"), max_restarts=0) is Decision.GIVE_UP


def test_a_run_that_belongs_to_no_deployment_cannot_be_put_back():
    assert decide(run("FAILED", deployment=None), max_restarts=2) is Decision.GIVE_UP


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        ("CheckFailedError: outbox: 900 of 1,000 customers would leave", Decision.GIVE_UP),
        ("ConfigurationError: the secret was not found", Decision.GIVE_UP),
        ("TransientError: Klaviyo was not answered", Decision.RESTART),
        ("OSError: a ConfigurationError stands in this text only", Decision.RESTART),
    ],
)
def test_where_a_person_must_act_another_try_is_spared(error, decision):
    failed = run("FAILED")
    said = failed.state.model_copy(update={"message": f"Flow run encountered an exception: {error}"})
    assert decide(failed.model_copy(update={"state": said}), max_restarts=2) is decision
