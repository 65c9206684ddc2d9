"""Every alert reaches whom it is for, nothing fires on everything, and no message can quote a customer or a key."""

import re
from pathlib import Path
from typing import get_args
from uuid import UUID, uuid5

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from prefect.automations import ChangeFlowRunState, RunDeployment, SendNotification

from infra.automations import PREFIX, QUIET_PREFIX, RAISED_BY_RUNS, Ids, comparable, desired_automations
from infra.environment import Environment
from tasks.alerts.messages import IMPACTS, Kind

NAMES = UUID(int=1)


def environment(*routes):
    return Environment.model_validate(
        {
            "name": "shop",
            "timezone": "Europe/Amsterdam",
            "directory": "/app",
            "config": "segmentation.yaml",
            "work_pool": {"name": "main", "type": "ecs"},
            "supervisor_pool": {"name": "beside", "type": "process"},
            "results": {},
            "fresh_within_hours": 26,
            "heartbeat_seconds": 40,
            "alerts": [{"name": name, "channel": "slack", "secret": "SLACK", "kinds": kinds} for name, kinds in routes],
        }
    )


def automations(*routes):
    ids = Ids({name: uuid5(NAMES, name) for name, _ in routes}, uuid5(NAMES, "restart-run"))
    return {each.name: each for each in desired_automations(environment(*routes), ids)}


EVERYBODY = automations(("data-team", []))


def notifications(found=EVERYBODY):
    return [action for each in found.values() for action in each.actions if isinstance(action, SendNotification)]


def test_with_nobody_to_tell_runs_are_still_restarted_and_lost_ones_found():
    assert list(automations()) == [PREFIX + "restart a failed run", QUIET_PREFIX + "a run lost its heartbeat"]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_route_gets_the_kinds_it_takes_and_no_other(kind):
    routed = [each for each in automations(("on-call", [kind])).values() if notifications({each.name: each})]
    assert routed
    for each in routed:
        [action] = each.actions
        assert action.block_document_id == uuid5(NAMES, "on-call")
        own_event = each.trigger.expect == {f"segmentation.alert.{kind}"}
        assert own_event or action.subject.endswith(": " + kind.replace("-", " "))


def test_every_kind_that_a_run_raises_is_carried_to_somebody():
    code = "".join(file.read_text() for file in (Path(__file__).parents[2] / "flows").rglob("*.py"))
    assert set(re.findall(r'Alert\(\s*"([a-z-]+)"', code)) == RAISED_BY_RUNS
    carried = {name for each in EVERYBODY.values() for name in each.trigger.expect if name.startswith("segmentation.")}
    assert carried == {f"segmentation.alert.{kind}" for kind in RAISED_BY_RUNS}


def test_no_automation_fires_on_every_event_or_every_resource():
    for each in EVERYBODY.values():
        assert each.trigger.expect, each.name
        assert "*" not in each.trigger.expect
        assert each.trigger.match.model_dump(), each.name


def test_the_supervisor_is_not_its_own_patient():
    restart = EVERYBODY[PREFIX + "restart a failed run"].trigger
    supervised = EVERYBODY[PREFIX + "the supervisor failed"].trigger
    assert restart.match_related.model_dump()["prefect.resource.id"] == "prefect.tag.restartable"
    assert supervised.match_related.model_dump()["prefect.resource.id"] == "prefect.tag.supervisor"


def test_a_restart_knows_which_run_and_leaves_the_bounds_to_the_deployment():
    [action] = EVERYBODY[PREFIX + "restart a failed run"].actions
    assert isinstance(action, RunDeployment)
    assert action.parameters == {"flow_run_id": "{{ event.resource.id.split('.')[-1] }}"}


def test_three_heartbeats_must_be_missing_before_a_run_counts_as_lost():
    automation = EVERYBODY[QUIET_PREFIX + "a run lost its heartbeat"]
    assert automation.trigger.within.total_seconds() == 120
    assert [type(action) for action in automation.actions] == [ChangeFlowRunState]


def test_an_alarm_about_alarms_does_not_hear_itself_nor_the_end_of_heartbeats():
    broken = EVERYBODY[QUIET_PREFIX + "an automation could not act"]
    pattern = broken.trigger.match.model_dump()["prefect.resource.name"]
    heard = [name for name in EVERYBODY if re.match(pattern.replace("*", ".*"), name)]
    assert sorted(heard) == sorted(name for name in EVERYBODY if name.startswith(PREFIX))


def test_no_message_uses_the_name_the_message_or_the_parameters_of_a_run():
    for action in notifications():
        for template in (action.subject, action.body):
            fields = re.findall(r"\{\{ ?([a-z_.]+)", template)
            allowed = {"deployment.name", "work_pool.name", "event.resource.name", "event.payload.subject"}
            assert set(fields) <= allowed | {"event.payload.body", "flow_run"}, template
            assert "flow_run." not in template


@pytest.mark.parametrize("name", ["segment-customers", "somebody-elses"])
def test_the_impact_is_looked_up_by_the_deployment_when_the_message_is_sent(name):
    [action] = EVERYBODY[PREFIX + "a run failed"].actions
    sandbox = ImmutableSandboxedEnvironment()
    sandbox.filters["ui_url"] = lambda run: f"https://prefect.example/{run}"
    body = sandbox.from_string(action.body).render(deployment={"name": name}, flow_run="r1")
    expected = IMPACTS.get(name, "What this run produces is missing or older than it should be.")
    assert body.splitlines() == [
        f"What happened: A run of {name} ended before it was done.",
        f"What it means: {expected}",
        (
            "What happens next: Finished stages are kept and the run is put back by itself; "
            "where that cannot help, a final alert follows."
        ),
        "Run: https://prefect.example/r1",
    ]


def test_order_and_spelling_of_equal_automations_do_not_matter():
    one = EVERYBODY[PREFIX + "no worker answers"]
    other = one.model_copy(deep=True)
    other.trigger = type(one.trigger).model_validate(
        one.trigger.model_dump()
        | {"match": {**one.trigger.match.model_dump(), "prefect.resource.name": ["main", "beside"]}}
    )
    assert comparable(one) == comparable(other)
