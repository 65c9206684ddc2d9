"""`python -m infra.stacks`: create or update the CloudFormation stacks, and print what they made for the shell."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import click
import yaml
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from tasks.errors import ConfigurationError, SegmentationError

TEMPLATES = Path(__file__).parent / "cloudformation"
STACKS = ("foundation", "workers", "monitoring")
"""In the order in which they need each other."""


class _TemplateLoader(yaml.SafeLoader):
    """Reads a template as plain data: the short forms (!Ref, !Sub, …) become their long forms."""


def _long_form(loader: _TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_object(node, deep=True)}


_TemplateLoader.add_multi_constructor("!", _long_form)


def read_template(stack: str) -> dict[str, Any]:
    """Return the template of a stack as plain data with long-form functions."""
    # a SafeLoader with data-only constructors
    parsed: dict[str, Any] = yaml.load((TEMPLATES / f"{stack}.yaml").read_text("utf-8"), Loader=_TemplateLoader)  # noqa: S506
    return parsed


def stack_name(environment: str, stack: str) -> str:
    """Name of a stack in the account."""
    return f"{environment}-segmentation-{stack}"


def deploy(client: Any, stack: str, parameters: dict[str, str]) -> bool:
    """Create or update one stack and wait for it; False if there was nothing to change.

    ``parameters`` must hold Environment. Parameters not given keep their present value, or the default of the template.
    """
    template = read_template(stack)
    unknown = sorted(parameters.keys() - template["Parameters"].keys())
    if unknown:
        raise ConfigurationError(f"stack {stack} has no parameter {', '.join(unknown)}")
    name = stack_name(parameters["Environment"], stack)
    kept = _present_parameters(client, name)
    if kept is None:
        client.create_stack(
            **_request(name, stack, _complete(stack, template, parameters)),
            EnableTerminationProtection=stack == "foundation",
        )
        client.get_waiter("stack_create_complete").wait(StackName=name)
        return True
    try:
        client.update_stack(**_request(name, stack, dict.fromkeys(kept) | parameters))
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    client.get_waiter("stack_update_complete").wait(StackName=name)
    return True


def _complete(stack: str, template: dict[str, Any], parameters: dict[str, str]) -> dict[str, str]:
    defaults = {key: str(entry["Default"]) for key, entry in template["Parameters"].items() if "Default" in entry}
    missing = sorted(template["Parameters"].keys() - defaults.keys() - parameters.keys())
    if missing:
        raise ConfigurationError(f"stack {stack} needs the parameters {', '.join(missing)}")
    return defaults | parameters


def _request(name: str, stack: str, parameters: Mapping[str, str | None]) -> dict[str, Any]:
    """A parameter that is None keeps its present value."""
    given = [
        {"ParameterKey": key, "UsePreviousValue": True}
        if value is None
        else {"ParameterKey": key, "ParameterValue": value}
        for key, value in sorted(parameters.items())
    ]
    body = (TEMPLATES / f"{stack}.yaml").read_text("utf-8")
    return {"StackName": name, "TemplateBody": body, "Parameters": given, "Capabilities": ["CAPABILITY_IAM"]}


def outputs(client: Any, environment: str) -> dict[str, str]:
    """Return the outputs of all stacks that exist, named as the environment variables of `infra.environment`."""
    found = {}
    for stack in STACKS:
        description = _describe(client, stack_name(environment, stack))
        for output in (description or {}).get("Outputs", []):
            found[_variable(output["OutputKey"])] = output["OutputValue"]
    return found


def _variable(key: str) -> str:
    return "SEGMENTATION_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).upper()


def _present_parameters(client: Any, name: str) -> set[str] | None:
    description = _describe(client, name)
    return (
        None if description is None else {parameter["ParameterKey"] for parameter in description.get("Parameters", [])}
    )


def _describe(client: Any, name: str) -> dict[str, Any] | None:
    try:
        described: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return described


@click.group()
def main() -> None:
    """CloudFormation stacks of the segmentation, in the account and region of your AWS credentials."""


@main.command("deploy")
@click.argument("stack", type=click.Choice(STACKS))
@click.argument("parameters", nargs=-1)
@click.option("--environment", default="production", show_default=True)
def deploy_command(stack: str, parameters: tuple[str, ...], environment: str) -> None:
    """Create or update STACK with PARAMETERS given as Name=value."""
    try:
        pairs = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if len(pairs) != len(parameters):
            raise ConfigurationError("write each parameter as Name=value, and only once")
        changed = deploy(boto3.client("cloudformation"), stack, {"Environment": environment, **pairs})
    except (SegmentationError, ClientError, BotoCoreError, WaiterError) as error:
        click.echo(f"{stack}: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    click.echo(f"{stack}: {'deployed' if changed else 'nothing to change'}")


@main.command("outputs")
@click.option("--environment", default="production", show_default=True)
def outputs_command(environment: str) -> None:
    """Print the outputs of the stacks as `export NAME=value` lines for a shell."""
    for name, value in outputs(boto3.client("cloudformation"), environment).items():
        click.echo(f"export {name}='{value}'")


if __name__ == "__main__":
    main()
