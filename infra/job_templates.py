"""Base job templates of the work pools: what Prefect ships, completed by what this project needs."""

from typing import Any, Literal

from prefect.workers.process import ProcessWorker
from prefect_aws.workers.ecs_worker import ECSWorker

from tasks.errors import ConfigurationError

PoolType = Literal["process", "ecs"]

STOP_TIMEOUT_SECONDS = 120
"""Fargate's longest grace between SIGTERM and SIGKILL, the whole notice of a Spot interruption."""


def base_job_template(kind: PoolType, defaults: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the template of a pool; ``defaults`` become the default values of its job variables, empty ones do not."""
    template = _ecs_template() if kind == "ecs" else ProcessWorker.get_default_base_job_template()
    properties = template["variables"]["properties"]
    for name, value in (defaults or {}).items():
        if name not in properties:
            raise ConfigurationError(
                f"a work pool of type {kind} has no job variable {name}; it has {', '.join(sorted(properties))}"
            )
        if value != "":
            properties[name] = {**properties[name], "default": value}
    return template


def job_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of the job variables per kind of pool."""
    kinds: tuple[PoolType, ...] = ("process", "ecs")
    return {kind: base_job_template(kind)["variables"] for kind in kinds}


def _ecs_template() -> dict[str, Any]:
    template = ECSWorker.get_default_base_job_template()
    container = template["job_configuration"]["task_definition"]["containerDefinitions"][0]
    # The container gets what the task has: without limits of its own one container may starve a sidecar.
    container |= {"cpu": "{{ cpu }}", "memory": "{{ memory }}", "stopTimeout": STOP_TIMEOUT_SECONDS}
    return template
