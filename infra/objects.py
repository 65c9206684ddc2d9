"""Variables, blocks, work pools and limits: what deployments and automations stand on."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    VariableCreate,
    VariableUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.exceptions import ObjectNotFound
from prefect.filesystems import LocalFileSystem
from prefect.types import SecretDict
from prefect_aws import AwsClientParameters, AwsCredentials, S3Bucket
from pydantic import SecretStr

from infra.environment import Environment, Limit, Pool
from infra.job_templates import base_job_template
from infra.reconcile import Item
from tasks.alerts.routes import Route, shape

RESULTS = "segmentation-results"


def base_items(client: SyncPrefectClient, environment: Environment, secrets: Mapping[str, SecretStr]) -> Iterator[Item]:
    """Yield every variable, block, work pool and limit of an environment."""
    for name, value in environment.variables.items():
        yield _variable_item(client, name, value)
    yield _block_item(RESULTS, _results_block(environment))
    for route in environment.alerts:
        block = _alert_block(route, secrets[route.name], environment)
        yield _block_item(alert_block_name(route), block, secret=True)
    for pool in environment.pools:
        yield _pool_item(client, pool, environment)
    for name, limit in environment.limits.items():
        yield _limit_item(client, name, limit)


def alert_block_name(route: Route) -> str:
    """Name of the block that carries alerts to a route."""
    return f"segmentation-alert-{route.name}"


def _variable_item(client: SyncPrefectClient, name: str, value: str | int) -> Item:
    present = client.read_variable_by_name(name)

    def write() -> None:
        if present is None:
            client.create_variable(VariableCreate(name=name, value=value))
        else:
            client.update_variable(VariableUpdate(name=name, value=value))

    return Item("variable", name, {"value": value}, {"value": present.value} if present else None, write)


def _block_item(name: str, block: Block, *, secret: bool = False) -> Item:
    try:
        present: dict[str, Any] | None = _plain(cast(Block, type(block).load(name)))
    except ValueError:  # what load raises for a block that does not exist
        present = None
    kind = f"block {type(block).get_block_type_slug()}"
    return Item(kind, name, _plain(block), present, lambda: block.save(name, overwrite=True), secret=secret)


def _plain(block: Block) -> dict[str, Any]:
    data = block.model_dump(mode="json", context={"include_secrets": True})
    return {key: value for key, value in data.items() if not key.startswith("_")}


def _results_block(environment: Environment) -> Block:
    results = environment.results
    if results.bucket is None:
        return LocalFileSystem(basepath=str(Path(environment.directory) / results.folder))
    parameters = AwsClientParameters(endpoint_url=results.endpoint)
    credentials = AwsCredentials(region_name=results.region, aws_client_parameters=parameters)
    return S3Bucket(bucket_name=results.bucket, bucket_folder=results.folder, credentials=credentials)


def _results_reference(environment: Environment) -> str:
    return f"{_results_block(environment).get_block_type_slug()}/{RESULTS}"


def _alert_block(route: Route, secret: SecretStr, environment: Environment) -> Block:
    request = shape(route)
    return CustomWebhookNotificationBlock(
        name=route.name,
        url=request.url,
        headers=request.headers,
        json_data=request.payload,
        secrets=SecretDict({"key": secret.get_secret_value()}),
        allow_private_urls=environment.allow_private_alert_addresses,
    )


def _pool_item(client: SyncPrefectClient, pool: Pool, environment: Environment) -> Item:
    defaults = pool.defaults | {"env": run_variables(environment) | pool.defaults.get("env", {})}
    wanted = {"type": pool.type, "base_job_template": base_job_template(pool.type, defaults)}
    try:
        found = client.read_work_pool(pool.name)
        present = {"type": found.type, "base_job_template": found.base_job_template}
    except ObjectNotFound:
        present = None

    def write() -> None:
        if present is None:
            client.create_work_pool(WorkPoolCreate(name=pool.name, **wanted))
        else:
            client.update_work_pool(pool.name, WorkPoolUpdate(base_job_template=wanted["base_job_template"]))

    return Item("work pool", pool.name, wanted, present, write)


def run_variables(environment: Environment) -> dict[str, str]:
    """Environment variables of every run: results outlive the container, and a run that dies in silence is missed."""
    return {
        "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": _results_reference(environment),
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(environment.heartbeat_seconds),
    }


def _limit_item(client: SyncPrefectClient, name: str, limit: Limit) -> Item:
    wanted = {"limit": limit.limit, "slot_decay_per_second": limit.per_second}
    try:
        found = client.read_global_concurrency_limit_by_name(name)
        present = {"limit": found.limit, "slot_decay_per_second": found.slot_decay_per_second}
    except ObjectNotFound:
        present = None

    def write() -> None:
        if present is None:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, **wanted))
        else:
            client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(**wanted))

    return Item("limit", name, wanted, present, write)
