"""Deployments as prefect.yaml wants them against deployments as they are."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.events.schemas.automations import Automation, EventTrigger
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema

from infra.prefect_yaml import VARIABLE, Deployment, PrefectYaml, Schedule
from infra.prefect_yaml import EventTrigger as WantedTrigger
from infra.reconcile import Item
from tasks.errors import SegmentationError


def read_prefect_yaml(file: Path, variables: Mapping[str, str | int]) -> PrefectYaml:
    """Return prefect.yaml with its variables filled in."""
    return PrefectYaml.model_validate(_fill(yaml.safe_load(file.read_text(encoding="utf-8")), variables))


def _fill(value: Any, variables: Mapping[str, str | int]) -> Any:
    if isinstance(value, str):
        whole = VARIABLE.fullmatch(value)  # alone it keeps its type, like in Prefect
        return variables[whole.group(1)] if whole else VARIABLE.sub(lambda part: str(variables[part.group(1)]), value)
    if isinstance(value, dict):
        return {key: _fill(inner, variables) for key, inner in value.items()}
    return [_fill(inner, variables) for inner in value] if isinstance(value, list) else value


def deployment_items(client: SyncPrefectClient, file: Path, parsed: PrefectYaml) -> Iterator[Item]:
    """Yield every deployment of prefect.yaml; writing one runs `prefect deploy`, so the file stays the only source."""
    for deployment in parsed.deployments:
        own = frozenset(trigger.name for trigger in deployment.triggers)
        present = find_deployment(client, deployment.name)
        yield Item(
            "deployment",
            deployment.name,
            _wanted(deployment, file.parent),
            _present(client, present, own) if present else None,
        )


def find_deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    """Return the deployment of this name, which is unique in prefect.yaml."""
    found = client.read_deployments(deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[name])))
    return found[0] if found else None


def deploy(file: Path, names: Sequence[str]) -> None:
    """Run `prefect deploy` once for all of these deployments: most of its time goes into starting."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(file)]
    command += [word for name in names for word in ("--name", name)]
    settings = get_current_settings().to_environment_variables(exclude_unset=True, include_secrets=True)
    environment = os.environ | settings
    # S603: the words come from this module and from a file that the linter has read
    done = subprocess.run(command, cwd=file.parent, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SegmentationError(f"a deployment was refused ({', '.join(names)}):\n{done.stdout}{done.stderr}")


def _wanted(deployment: Deployment, root: Path) -> dict[str, Any]:
    limit = deployment.concurrency_limit
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(root / deployment.entrypoint))
    return {
        "entrypoint": deployment.entrypoint,
        "description": deployment.description,
        "tags": sorted(deployment.tags),
        "parameters": deployment.parameters,
        "paused": deployment.paused,
        "concurrency": limit and {"limit": limit.limit, "strategy": limit.collision_strategy},
        "work_pool": deployment.work_pool.name,
        "job_variables": deployment.work_pool.job_variables,
        "schedules": {schedule.slug: _wanted_schedule(schedule) for schedule in deployment.schedules},
        "triggers": {trigger.name: _wanted_trigger(trigger) for trigger in deployment.triggers},
        "form": parameter_schema(flow).model_dump(mode="json", exclude_unset=True),
    }


def _wanted_schedule(schedule: Schedule) -> dict[str, Any]:
    when = schedule.cron or schedule.rrule or timedelta(seconds=schedule.interval or 0).total_seconds()
    return {
        "when": when,
        "timezone": schedule.timezone or "UTC",
        "parameters": schedule.parameters,
        "active": schedule.active,
    }


def _wanted_trigger(trigger: WantedTrigger) -> dict[str, Any]:
    return {
        "expect": sorted(trigger.expect),
        "match": _labels(trigger.match),
        "match_related": _labels(trigger.match_related or {}),
        "threshold": trigger.threshold,
        "within": trigger.within,
        "enabled": trigger.enabled,
        "parameters": trigger.parameters,
    }


def _labels(labels: Any) -> Any:
    """One value or several, written the same way."""
    if isinstance(labels, list):
        return [_labels(each) for each in labels]
    return {label: [value] if isinstance(value, str) else value for label, value in labels.items()}


def _present(client: SyncPrefectClient, found: DeploymentResponse, own: frozenset[str]) -> dict[str, Any]:
    limit, options = found.global_concurrency_limit, found.concurrency_options
    triggers = client.read_resource_related_automations(f"prefect.deployment.{found.id}")
    return {
        "entrypoint": found.entrypoint,
        "description": found.description,
        "tags": sorted(found.tags),
        "parameters": found.parameters,
        "paused": found.paused,
        "concurrency": limit and {"limit": limit.limit, "strategy": options and options.collision_strategy.value},
        "work_pool": found.work_pool_name,
        "job_variables": found.job_variables,
        "schedules": {schedule.slug: _present_schedule(schedule) for schedule in found.schedules},
        "triggers": {each.name: _present_trigger(each) for each in triggers if each.name in own},
        "form": found.parameter_openapi_schema,
    }


def _present_schedule(found: Any) -> dict[str, Any]:
    schedule = found.schedule
    if isinstance(schedule, CronSchedule):
        when: str | float = schedule.cron
    elif isinstance(schedule, IntervalSchedule):
        when = schedule.interval.total_seconds()
    else:
        when = schedule.rrule
    return {
        "when": when,
        "timezone": schedule.timezone or "UTC",
        "parameters": found.parameters,
        "active": found.active,
    }


def _present_trigger(automation: Automation) -> dict[str, Any]:
    trigger = automation.trigger
    if not isinstance(trigger, EventTrigger):
        return {"type": trigger.type}
    plain = trigger.model_dump(mode="json")
    return {
        "expect": sorted(trigger.expect),
        "match": _labels(plain["match"]),
        "match_related": _labels(plain["match_related"]),
        "threshold": trigger.threshold,
        "within": trigger.within.total_seconds(),
        "enabled": automation.enabled,
        "parameters": getattr(automation.actions[0], "parameters", None) or {},
    }
