"""The system runs by itself: schedules, triggers, restarts, alerts, on a process pool and as containers.

Real Prefect server, real workers, moto for AWS, and a bridge that runs the containers which moto only books. What takes
minutes by nature is started first; the rest one after the other, because SQLite has one writer. Pictures of the pages
that people use are kept in the folder that UI_SCREENSHOTS names.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import httpx
import pytest
import yaml
from botocore.config import Config

from tests.e2e.browser import CHROMIUM, browsing
from tests.e2e.ecs_bridge import Bridge, bridging
from tests.e2e.processes import (
    Running,
    bare_environment,
    moto_server,
    postgres,
    prefect_server,
    running,
    wait_for,
    webhook_receiver,
)
from tests.flows.small_shop import write_shop

pytestmark = [pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
APP = Path(__file__).parent / "app"
REGION = "eu-west-1"
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
MAX_RESTARTS = 1
HEARTBEAT_SECONDS = 30  # the least that Prefect allows
DOOMED = "e2e-doomed"


@dataclass
class System:
    """Everything that is up, and short ways to ask it."""

    api: httpx.Client
    alerts: list[dict[str, Any]]
    bridge: Bridge
    environment: dict[str, str]
    folder: Path
    stack: ExitStack

    def post(self, path: str, body: Any) -> Any:
        return self.ask("POST", path, json=body)

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """SQLite answers 503 while another process writes; like Prefect's own client, ask again."""
        answer = wait_for(lambda: _unless_busy(self.api, method, path, request), f"answer to {path}")
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        [found] = self.post("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        return found

    def start(self, name: str, traces: str, **parameters: Any) -> str:
        """Start a run the way curl would; return its id."""
        return self.start_with(name, traces, folder=str(self.folder / traces), **parameters)

    def start_with(self, name: str, key: str, **parameters: Any) -> str:
        """Start a run of a deployment that leaves no traces; return its id."""
        body = {"parameters": parameters, "idempotency_key": key}
        return self.post(f"/deployments/{self.deployment(name)['id']}/create_flow_run", body)["id"]

    def work(self, pool: str, kind: str = "process") -> Running:
        """Start a worker of a pool."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", kind]
        name = f"{pool}-{len(list(self.folder.glob(f'{pool}*.log')))}"
        environment = self.environment | bare_environment(
            self.folder / name, PREFECT_WORKER_QUERY_SECONDS="2", **OBSERVER
        )
        return self.stack.enter_context(running(command, environment, self.folder / f"{name}.log"))

    def wait_for_trace(self, traces: str, line: str) -> None:
        wait_for(lambda: any(line in each for each in self.trace(traces)), f"{line} of the {traces} run", 360)

    def run(self, run_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/flow_runs/{run_id}")

    def wait_for_state(self, run_id: str, state: str, seconds: float = 360, run_count: int = 1) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run["state_type"] == state and run["run_count"] >= run_count else None

        return wait_for(reached, f"state {state} of run {run_id}", seconds)

    def states(self, run_id: str) -> list[str]:
        states = self.ask("GET", "/flow_run_states/", params={"flow_run_id": run_id})
        return [state["name"] for state in sorted(states, key=lambda state: state["timestamp"])]

    def trace(self, traces: str) -> list[str]:
        file = self.folder / traces / "trace"
        return file.read_text().splitlines() if file.exists() else []

    def alerts_about(self, run_id: str) -> list[dict[str, Any]]:
        return [alert for alert in self.alerts if run_id in alert["body"]]

    def bootstrap(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "infra.bootstrap",
            "--environment",
            str(self.folder / "environment.yaml"),
            *options,
        ]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)


def _unless_busy(api: httpx.Client, method: str, path: str, request: dict[str, Any]) -> httpx.Response | None:
    try:
        answer = api.request(method, path, **request)
    except httpx.TimeoutException:
        return None
    return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("orchestration")
    with ExitStack() as stack:
        moto = stack.enter_context(moto_server(folder))
        database = stack.enter_context(postgres(folder))
        settings = {"PREFECT_API_DATABASE_CONNECTION_URL": database} if database else {}
        api = stack.enter_context(prefect_server(folder, **settings))
        address, alerts = stack.enter_context(webhook_receiver())
        aws = {**AWS, "AWS_ENDPOINT_URL": moto}
        environment = bare_environment(
            folder / "home",
            PREFECT_API_URL=api,
            ALERT_ADDRESS=address,
            NIGHTLY_APP=str(APP),
            NIGHTLY_TRACES=str(folder),
            **aws,
        )
        bridge = _cluster(moto, folder, aws)
        write_shop(folder / "shop")
        (folder / "environment.yaml").write_text(yaml.safe_dump(_environment(moto, folder)))
        client = stack.enter_context(httpx.Client(base_url=api, timeout=60))
        system = System(client, alerts, bridge, environment, folder, stack)
        first = system.bootstrap()
        assert first.returncode == 0, first.stderr
        like_process = system.ask("GET", "/work_pools/e2e-process")
        system.post(
            "/work_pools/", {each: like_process[each] for each in ("type", "base_job_template")} | {"name": DOOMED}
        )
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(deploy, cwd=APP, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        system.work("e2e-process")
        system.work("e2e-ecs", "ecs")
        stack.enter_context(bridging(bridge))
        yield system


OBSERVER = {
    "PREFECT_INTEGRATIONS_AWS_ECS_OBSERVER_SQS_QUEUE_NAME": "e2e-ecs-events",
    "PREFECT_INTEGRATIONS_AWS_ECS_OBSERVER_SQS_QUEUE_REGION": REGION,
}


def _cluster(moto: str, folder: Path, aws: dict[str, str]) -> Bridge:
    def client(service: str) -> Any:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(
            service, endpoint_url=moto, region_name=REGION, config=Config(retries={"max_attempts": 3}), **keys
        )

    ecs, sqs = client("ecs"), client("sqs")
    ecs.create_cluster(clusterName="e2e")
    client("s3").create_bucket(Bucket="e2e", CreateBucketConfiguration={"LocationConstraint": REGION})
    queue = sqs.create_queue(QueueName="e2e-ecs-events")["QueueUrl"]
    inside = bare_environment(
        folder / "container", **{name: value for name, value in aws.items() if name != "AWS_ENDPOINT_URL"}
    )
    return Bridge(ecs, sqs, "e2e", queue, inside, folder)


def _environment(moto: str, folder: Path) -> dict[str, Any]:
    """Like production: runs in containers, the supervisor in a process, results on S3."""
    defaults = {
        "image": "segmentation:e2e",
        "cluster": "e2e",
        "cpu": 1024,
        "memory": 2048,
        "env": {"PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": "reschedule"},
    }
    return {
        "name": "e2e",
        "timezone": "Europe/Amsterdam",
        "directory": str(ROOT),
        "config": str(folder / "shop" / "segmentation.yaml"),
        "work_pool": {"name": "e2e-ecs", "type": "ecs", "defaults": defaults},
        "supervisor_pool": {"name": "e2e-process", "type": "process"},
        "results": {"bucket": "e2e", "region": REGION, "endpoint": moto},
        "heartbeat_seconds": HEARTBEAT_SECONDS,
        "max_restarts": MAX_RESTARTS,
        "restart_delay_seconds": 5,
        "allow_private_alert_addresses": True,
        "alerts": [{"name": "data-team", "channel": "webhook", "secret": "ALERT_ADDRESS"}],
    }


@pytest.fixture(scope="module")
def runs(system: System) -> dict[str, str]:
    """Runs by name: those whose machine vanishes without a word, and one that waits for an approval."""
    doomed_worker = system.work(DOOMED)
    started = {
        "lost": system.start("nightly-ecs", "lost", hold=True),
        "doomed": system.start("nightly-doomed", "doomed", hold=True),
    }
    for name in started:
        system.wait_for_trace(name, "publish")
    time.sleep(HEARTBEAT_SECONDS / 10)
    doomed_worker.kill()
    system.bridge.lose(started["lost"])
    for name in started:
        (system.folder / name / "open").touch()
    system.work(DOOMED)
    parameters = {"as_of": "2025-07-01", "push": "apply", "approve": True}
    return started | {"approval": system.start_with("segment-customers", "approval", **parameters)}


@pytest.mark.usefixtures("runs")
def test_the_projects_own_deployments_are_there_and_a_change_made_by_hand_is_the_only_difference(
    system: System,
) -> None:
    wanted = {each["name"] for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}
    assert wanted <= {each["name"] for each in system.post("/deployments/filter", {})}
    by_hand = {"name": "segmentation_timezone", "value": "Asia/Tokyo"}
    system.ask("PATCH", "/variables/name/segmentation_timezone", json=by_hand)
    shown = system.bootstrap("--check")
    assert (shown.returncode, shown.stdout) == (1, DIFFERENCE)
    assert "1 differences" in shown.stderr
    assert system.bootstrap().stdout == f"{DIFFERENCE}1 changed\n"


DIFFERENCE = "~ variable segmentation_timezone\n    value: 'Asia/Tokyo' → 'Europe/Amsterdam'\n"


def test_a_cron_deployment_gets_its_runs(system: System) -> None:
    """The versions that are pinned work together: with others the server looks healthy and schedules nothing."""
    scheduled = {
        "deployments": {"name": {"any_": ["nightly"]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    runs = wait_for(lambda: system.post("/flow_runs/filter", scheduled), "scheduled runs")
    times = {
        datetime.fromisoformat(run["expected_start_time"]).astimezone(ZoneInfo("Europe/Amsterdam")) for run in runs
    }
    assert {(each.hour, each.minute) for each in times} == {(6, 0)}
    assert min(times) > datetime.now(UTC)


def test_a_triggered_and_a_manual_run_complete_on_the_process_pool_and_in_a_container(system: System) -> None:
    by_hand = {name: system.start(name, f"hand-{name}", source="hand") for name in ("nightly", "nightly-ecs")}
    event = {
        "id": "00000000-0000-4000-8000-000000000001",
        "occurred": datetime.now(UTC).isoformat(),
        "event": "shop.purchase",
        "resource": {"prefect.resource.id": "shop.order.1"},
        "payload": {"folder": str(system.folder / "event")},
    }
    system.post("/events", [event])
    for name, run_id in by_hand.items():
        system.wait_for_state(run_id, "COMPLETED")
        assert [line.split(" attempt")[0] for line in system.trace(f"hand-{name}")] == [
            "gather hand",
            "publish hand",
            "done hand",
        ]
    for traces in ("event", "event-ecs"):
        wait_for(lambda traces=traces: any("done event" in line for line in system.trace(traces)), "triggered run", 360)


def test_a_killed_container_is_reported_within_seconds_and_its_run_ends_with_finished_stages_reused(
    system: System, runs: dict[str, str]
) -> None:
    run_id = runs["killed"] = system.start("nightly-ecs", "killed", hold=True)
    system.wait_for_trace("killed", "publish")
    [arn, *_] = system.bridge.ecs.list_task_definitions()["taskDefinitionArns"]
    assert "/prefect_e2e-ecs_" in arn  # the family that the worker's role may start
    container = system.bridge.container(run_id)
    assert container is not None
    assert container.command == ["prefect", "flow-run", "execute"]  # which the image has
    system.bridge.kill(run_id)
    killed = time.time()
    (system.folder / "killed/open").touch()
    [alert] = wait_for(lambda: system.alerts_about(run_id)[:1], "alert about the killed run")
    assert alert["at"] - killed < 60
    assert alert["subject"] == "[segmentation] nightly-ecs: run failed"
    run = system.wait_for_state(run_id, "COMPLETED", run_count=2)
    assert run["run_count"] == 2
    assert [line.split(" pid")[0] for line in system.trace("killed")] == [
        "gather till attempt 1",
        "publish till attempt 1",
        "publish till attempt 2",
        "done till attempt 2",
    ]
    assert "Crashed" in system.states(run_id)


def test_a_spot_interruption_hands_the_run_back_without_an_alert(system: System, runs: dict[str, str]) -> None:
    run_id = runs["interrupted"] = system.start("nightly-ecs", "interrupted", hold=True)
    system.wait_for_trace("interrupted", "publish")
    system.bridge.interrupt(run_id)
    wait_for(lambda: "AwaitingRetry" in system.states(run_id), "rescheduled state")
    (system.folder / "interrupted/open").touch()
    system.wait_for_state(run_id, "COMPLETED", run_count=2)
    assert [line for line in system.trace("interrupted") if "gather" in line][1:] == []
    assert "Crashed" not in system.states(run_id)
    assert system.alerts_about(run_id) == []


def test_a_push_waits_until_somebody_has_approved_its_plan_and_then_sends_it(
    system: System, runs: dict[str, str]
) -> None:
    run_id, outbox = runs["approval"], system.folder / "shop" / "outbox"
    system.wait_for_state(run_id, "PAUSED")
    told = wait_for(lambda: system.alerts_about(run_id), "alert about the waiting plan")
    assert [alert["subject"] for alert in told] == ["[segmentation] segment-customers: approval awaited"]
    assert "customers to be sent: 62" in told[0]["body"]
    [plan] = [one for one in _artifacts(system, run_id) if one["key"] == "push-plan"]
    assert "| outbox | 62 |" in plan["data"]
    assert not outbox.exists()
    answer = system.post(f"/flow_runs/{run_id}/resume", {"run_input": {"approved_by": "Mira", "release": []}})
    assert answer["status"] == "ACCEPT"
    system.wait_for_state(run_id, "COMPLETED")
    assert list(outbox.rglob("*.csv"))
    assert system.states(run_id).count("Running") == 2
    assert len(system.alerts_about(run_id)) == 1, "a run that begins again does not repeat its alerts"


def _artifacts(system: System, run_id: str) -> list[dict[str, Any]]:
    found = system.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
    assert isinstance(found, list)
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
def test_a_marketer_finds_the_form_the_preview_and_what_watches_over_the_runs(
    system: System, runs: dict[str, str], tmp_path: Path
) -> None:
    system.wait_for_state(runs["approval"], "COMPLETED")
    wanted = {"field": "orders: Orders until the run, without returns (orders)", "value": "10"}
    form = system.deployment("define-segment")["parameter_openapi_schema"]["definitions"]
    [wanted["field"]] = [
        each for each in form["FormCondition"]["properties"]["field"]["enum"] if each.startswith("orders:")
    ]
    segment = {"name": "Often here", "groups": [{"conditions": [wanted]}]}
    run_id = system.start_with("define-segment", "define", segment=segment)
    folder = Path(os.environ.get("UI_SCREENSHOTS") or tmp_path).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    home = str(system.api.base_url).rstrip("/").removesuffix("/api")
    with browsing(folder) as page:
        page.open(
            f"{home}/deployments/deployment/{system.deployment('define-segment')['id']}/run", "Groups of conditions"
        )
        for shown in ("Conditions", "What we know about a customer"):
            page.press("Add item")
            page.wait(shown)
        assert "an audience of the same name is replaced" in page.text
        page.picture("form-of-define-segment")
        page.open(f"{home}/automations", "segmentation: no fresh segments")
        assert "Tells data-team." in page.text
        page.picture("automations")
        system.wait_for_state(run_id, "COMPLETED")
        page.open(f"{home}/runs/flow-run/{run_id}", "Press Artifacts to see who they are")
        page.press("Artifacts")
        page.wait("Often here: how many, what they spend, ten of them")
        page.picture("artifacts-of-a-run")
        [preview] = [one for one in _artifacts(system, run_id) if one["key"] == "preview-often-here"]
        page.open(f"{home}/artifacts/artifact/{preview['id']}", "customers (")
        assert "Copy to new run" in page.text
        page.picture("preview-of-an-audience")
        [plan] = [one for one in _artifacts(system, runs["approval"]) if one["key"] == "push-plan"]
        page.open(f"{home}/artifacts/artifact/{plan['id']}", "Applying sends exactly this")
        page.picture("plan-of-a-push")


def test_a_run_that_always_fails_stops_after_its_tries_with_one_final_alert(
    system: System, runs: dict[str, str]
) -> None:
    run_id = runs["failing"] = system.start("nightly", "failing", fail=True)
    final = wait_for(lambda: _final(system.alerts_about(run_id)), "final alert", 480)
    run = system.run(run_id)
    assert (run["state_type"], run["run_count"]) == ("FAILED", 1 + MAX_RESTARTS)
    assert len([line for line in system.trace("failing") if "gather" in line]) == 1
    assert final[0]["body"].splitlines()[:3] == [
        "What happened: A run of nightly failed and is not restarted any more.",
        "What it means: What this run produces is missing or older than it should be.",
        (
            "What happens next: A person must act: open the run, mend the cause it names, then press Retry; "
            "finished stages are reused."
        ),
    ]
    assert f"/runs/flow-run/{run_id}" in final[0]["body"]
    text = str(system.alerts)
    assert "ana@example.com" not in text
    assert "sk-live-123" not in text


def _final(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [alert for alert in alerts if alert["subject"].endswith(": gave up")]


@pytest.mark.parametrize("name", ["lost", "doomed"], ids=["a container", "worker and process together"])
def test_a_run_whose_machine_vanished_is_found_by_its_heartbeat_and_completed(
    system: System, runs: dict[str, str], name: str
) -> None:
    system.wait_for_state(runs[name], "COMPLETED", run_count=2)
    assert len([line for line in system.trace(name) if "gather" in line]) == 1
    assert "Crashed" in system.states(runs[name])


def test_each_run_is_given_up_at_most_once(system: System, runs: dict[str, str]) -> None:
    assert {name: len(_final(system.alerts_about(run_id))) for name, run_id in runs.items()} == {
        **dict.fromkeys(runs, 0),
        "failing": 1,
    }


def test_no_alert_is_broken(system: System) -> None:
    failed = {
        "filter": {
            "event": {"name": ["prefect.automation.action.failed"]},
            "occurred": {"since": "2020-01-01T00:00:00Z"},
        }
    }
    events = system.post("/events/filter", failed)["events"]
    loud = [each for each in events if not each["resource"]["prefect.resource.name"].startswith("segmentation (quiet)")]
    assert [(each["resource"]["prefect.resource.name"], each["payload"].get("reason")) for each in loud] == []


BROKEN = "[segmentation] broken on purpose: broken alarm"


def test_an_automation_that_cannot_act_raises_an_alert_about_itself(system: System) -> None:
    """Comes last: it breaks something on purpose."""
    unfit = {"__prefect_kind": "jinja", "template": "{{ 1 / 0 }}"}
    action = {"type": "run-deployment", "source": "selected", "deployment_id": system.deployment("nightly")["id"]}
    trigger = {
        "type": "event",
        "posture": "Reactive",
        "expect": ["test.break"],
        "match": {"prefect.resource.id": "test.*"},
    }
    broken = {
        "trigger": {**trigger, "threshold": 1, "within": 0},
        "actions": [{**action, "parameters": {"folder": unfit}}],
    }
    system.post("/automations/", {"name": "segmentation: broken on purpose", **broken})
    happened = {"id": "00000000-0000-4000-8000-000000000002", "occurred": datetime.now(UTC).isoformat()}
    resource = {"prefect.resource.id": "test.1"}
    wait_for(lambda: _heard_after(system, {**happened, "event": "test.break", "resource": resource}), "alert", 90)
    assert BROKEN in [alert["subject"] for alert in system.alerts]


def _heard_after(system: System, event: dict[str, Any]) -> bool:
    system.post("/events", [event | {"id": str(uuid.uuid4())}])  # again, until the server has learnt the new automation
    time.sleep(2)
    return any(alert["subject"] == BROKEN for alert in system.alerts)
