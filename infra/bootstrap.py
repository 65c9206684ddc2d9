"""`python -m infra.bootstrap`: make the configured Prefect API hold exactly what this project says it should."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import click
import httpx
from prefect import get_client
from prefect.automations import AutomationCore
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation
from prefect.exceptions import ObjectNotFound

from infra.automations import PREFIX, QUIET_PREFIX, Ids, comparable, desired_automations
from infra.deployments import deploy, deployment_items, find_deployment, read_prefect_yaml
from infra.environment import VARIABLES, Environment, load_environment
from infra.job_templates import job_schemas
from infra.objects import alert_block_name, base_items
from infra.prefect_yaml import find_mistakes
from infra.reconcile import Change, Item, changes
from tasks.errors import CheckFailedError, ConfigurationError, SegmentationError

SUPERVISOR = "restart-run"
NOT_YET = UUID(int=0)
"""Stands for an object that a dry run would have created."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Objects that are compared and written together, once the stages before are done."""

    items: Callable[[], Iterator[Item]]
    write: Callable[[Sequence[Change]], None]


def stages(
    client: SyncPrefectClient, environment: Environment, file: Path, values: Mapping[str, str]
) -> tuple[Stage, ...]:
    """Return the three stages in the order in which they need each other."""
    secrets = environment.secrets(values)
    parsed = read_prefect_yaml(file, environment.variables)
    triggers = frozenset(trigger.name for deployment in parsed.deployments for trigger in deployment.triggers)
    return (
        Stage(lambda: base_items(client, environment, secrets), _one_by_one),
        Stage(
            lambda: deployment_items(client, file, parsed),
            lambda found: deploy(file, [each.item.name for each in found]),
        ),
        Stage(lambda: automation_items(client, environment, triggers), _one_by_one),
    )


def _one_by_one(found: Sequence[Change]) -> None:
    for change in found:
        if change.item.write:
            change.item.write()


def automation_items(client: SyncPrefectClient, environment: Environment, triggers: frozenset[str]) -> Iterator[Item]:
    """Yield our automations: wanted, changed, and those that nobody wants any more.

    ``triggers``: names of the automations that `prefect deploy` makes and removes itself.
    """
    present = {each.name: each for each in client.read_automations() if each.name.startswith((PREFIX, QUIET_PREFIX))}
    wanted = {each.name: each for each in desired_automations(environment, _ids(client, environment))}
    for name, automation in wanted.items():
        yield _automation_item(client, automation, present.get(name))
    for name in sorted(present.keys() - wanted.keys() - triggers):
        yield _stale_item(client, present[name])


def _automation_item(client: SyncPrefectClient, wanted: AutomationCore, present: Automation | None) -> Item:
    def write() -> None:
        if present is None:
            client.create_automation(wanted)
        else:
            client.update_automation(present.id, wanted)

    return Item("automation", wanted.name, comparable(wanted), comparable(present) if present else None, write)


def _stale_item(client: SyncPrefectClient, present: Automation) -> Item:
    return Item("automation", present.name, None, comparable(present), lambda: client.delete_automation(present.id))


def _ids(client: SyncPrefectClient, environment: Environment) -> Ids:
    supervisor = find_deployment(client, SUPERVISOR)
    return Ids(
        {route.name: _block_id(client, alert_block_name(route)) for route in environment.alerts},
        supervisor.id if supervisor else NOT_YET,
    )


def _block_id(client: SyncPrefectClient, name: str) -> UUID:
    try:
        return client.read_block_document_by_name(name, CustomWebhookNotificationBlock.get_block_type_slug()).id
    except ObjectNotFound:
        return NOT_YET


def apply(staged: tuple[Stage, ...], tell: Callable[[Change], None]) -> int:
    """Carry out every change stage by stage; return how many there were."""
    done = 0
    for stage in staged:
        found = changes(stage.items())
        for change in found:
            tell(change)
        if found:
            stage.write(found)
        done += len(found)
    return done


def plan(staged: tuple[Stage, ...], tell: Callable[[Change], None]) -> int:
    """Show every change without carrying it out; return how many there are."""
    found = [change for stage in staged for change in changes(stage.items())]
    for change in found:
        tell(change)
    return len(found)


@click.command()
@click.option(
    "--environment",
    "name",
    default="local",
    show_default=True,
    help="Name in infra/environments, or the path of a file.",
)
@click.option(
    "--prefect-file",
    default="prefect.yaml",
    show_default=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--dry-run", is_flag=True, help="Show what would change.")
@click.option("--check", is_flag=True, help="Show what would change and exit 1 if anything would.")
def main(name: str, prefect_file: Path, dry_run: bool, check: bool) -> None:
    """Apply variables, blocks, work pools, limits, deployments and automations; running it again changes nothing."""
    try:
        mistakes = find_mistakes(prefect_file, variables=frozenset(VARIABLES), job_schemas=job_schemas())
        if mistakes:
            raise ConfigurationError("\n".join(mistakes))
        environment = load_environment(name)
        with get_client(sync_client=True) as client:
            staged = stages(client, environment, prefect_file.resolve(), os.environ)
            count = (plan if dry_run or check else apply)(staged, click.echo)
        if check and count:
            raise CheckFailedError(
                f"{count} differences; run `python -m infra.bootstrap --environment {name}` to remove them"
            )
        click.echo(f"{count or 'nothing'} {'to change' if dry_run or not count else 'changed'}")
    except httpx.HTTPError as error:
        click.echo(f"the Prefect API does not answer as it should: {error}", err=True)
        sys.exit(1)
    except SegmentationError as error:
        click.echo(str(error), err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
