"""What moto leaves out of ECS: a task that was asked for is really run, and its end is reported like EventBridge would.

A "container" is a process with all its children, with the environment that the worker sent. Its end goes as a state
change to the queue that the worker's observer reads, with the exit code that a container runtime would give.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.e2e.processes import Running

FLOW_RUN = "PREFECT__FLOW_RUN_ID"


@dataclass
class Container:
    """One ECS task that is being run."""

    task: dict[str, Any]
    flow_run_id: str
    command: list[str]
    running: Running
    reported: bool = True


@dataclass
class Bridge:
    """Runs what is asked for on one cluster; a test may kill, stop or lose a container by the id of its flow run."""

    ecs: Any
    sqs: Any
    cluster: str
    queue_url: str
    environment: Mapping[str, str]
    folder: Path
    containers: dict[str, Container] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)

    def step(self) -> None:
        """Start what is new, report what has ended."""
        arns = self.ecs.list_tasks(cluster=self.cluster)["taskArns"]
        new = [arn for arn in arns if arn not in self.containers and arn not in self.ended]
        for task in self.ecs.describe_tasks(cluster=self.cluster, tasks=new)["tasks"] if new else []:
            self.containers[task["taskArn"]] = self._start(task)
        for arn, container in list(self.containers.items()):
            code = container.running.process.poll()
            if code is not None:
                self._report(arn, container, 128 - code if code < 0 else code)

    def _start(self, task: dict[str, Any]) -> Container:
        described = self.ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])
        [definition] = described["taskDefinition"]["containerDefinitions"]
        [override] = task["overrides"]["containerOverrides"]
        variables = [*definition.get("environment", []), *override.get("environment", [])]
        environment = {**self.environment, **{each["name"]: each["value"] for each in variables}}
        command = override.get("command") or definition["command"]
        log = self.folder / f"container-{len(self.containers) + len(self.ended)}.log"
        return Container(task, environment[FLOW_RUN], command, Running(command, environment, log))

    def _report(self, arn: str, container: Container, code: int) -> None:
        del self.containers[arn]
        self.ended[arn] = code
        self.ecs.stop_task(cluster=self.cluster, task=arn)
        if not container.reported:
            return
        name = container.task["overrides"]["containerOverrides"][0]["name"]
        detail = {key: container.task[key] for key in ("taskArn", "clusterArn", "taskDefinitionArn")} | {
            "lastStatus": "STOPPED",
            "stopCode": "EssentialContainerExited",
            "containers": [{"name": name, "exitCode": code}],
        }
        message = {
            "id": str(uuid.uuid4()),
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "source": "aws.ecs",
            "detail-type": "ECS Task State Change",
            "detail": detail,
        }
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=json.dumps(message))

    def container(self, flow_run_id: str) -> Container | None:
        """Return the container of a flow run, if it is up."""
        return next((each for each in list(self.containers.values()) if each.flow_run_id == flow_run_id), None)

    def kill(self, flow_run_id: str) -> None:
        """Kill a container like the out-of-memory killer would."""
        container = self.container(flow_run_id)
        assert container
        container.running.kill()

    def lose(self, flow_run_id: str) -> None:
        """Kill a container together with everything that could report it."""
        container = self.container(flow_run_id)
        assert container
        container.reported = False
        container.running.kill()

    def interrupt(self, flow_run_id: str) -> None:
        """Give notice to a container like a Spot interruption does: SIGTERM to its first process only."""
        container = self.container(flow_run_id)
        assert container
        container.running.process.terminate()

    def close(self) -> None:
        """End every container that is still up."""
        for container in self.containers.values():
            container.running.kill()


@contextmanager
def bridging(bridge: Bridge, pause_seconds: float = 0.5) -> Iterator[Bridge]:
    """Let a bridge work in the background."""
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            bridge.step()
            time.sleep(pause_seconds)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield bridge
    finally:
        stop.set()
        thread.join(timeout=30)
        bridge.close()
