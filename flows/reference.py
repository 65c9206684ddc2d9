"""The generated parts of the README: configuration, tables, features, commands, platforms, deployments.

A test keeps them fresh; `python -m flows.reference` rewrites them in place.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import click
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flows.cli import main as command_line
from tasks.config import Config
from tasks.destinations.page import describe_platforms, read_laws
from tasks.intake.columns import DATASETS
from tasks.lake.contracts import CONTRACTS

README = Path(__file__).parents[1] / "README.md"


def table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(headers)} |", f"|{'|'.join(' --- ' for _ in headers)}|"]
    return "\n".join(lines + [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows])


def config_keys() -> str:
    """Every key of segmentation.yaml with its default and meaning."""
    return table(("key", "default", "meaning"), list(_keys(Config, "")))


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        several = str(field.annotation).startswith("tuple")
        path = f"{prefix}{name}{'[]' if inner and several else ''}"
        yield f"`{path}`", "" if inner and not several else _default(field), field.description or ""
        if inner:
            yield from _keys(inner, f"{path}.")


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_of(part))), None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True) if field.default_factory else field.default
    if value is PydanticUndefined or value in (None, "", (), {}):
        return ""
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def tables() -> str:
    """Every table of the lake."""
    return table(
        ("table", "one row per", "holds"),
        [(f"`{c.table}`", ", ".join(c.key), c.meaning) for c in CONTRACTS.values()],
    )


def features() -> str:
    """Every column of customer_features."""
    columns = CONTRACTS["customer_features"].columns
    return table(("column", "unit", "meaning"), [(f"`{c.name}`", c.unit, c.meaning) for c in columns])


def source_columns() -> str:
    """The columns that a source can map, per dataset."""
    rows = [
        (f"`{dataset.value}`", f"`{column.name}`" + (" (required)" if column.required else ""), column.meaning)
        for dataset, columns in DATASETS.items()
        for column in columns
    ]
    return table(("dataset", "column", "meaning"), rows)


def platforms() -> str:
    """Every platform: what it can do, and which laws of the suite it keeps."""
    rows = [
        (
            f"[{row.title}]({row.docs})", row.recognised_by, row.holds, row.sends, row.limits, row.opt_outs,
            row.version, f"{row.laws_kept} of {row.laws}",
        )
        for row in describe_platforms()
    ]  # fmt: skip
    headers = ("platform", "recognised by", "holds", "sends", "limits", "opt-outs", "version", "laws kept")
    laws = [
        f"- {law.replace('_', ' ')}"
        + (f" (not for {', '.join(where.without_meaning)})" if where.without_meaning else "")
        for law, where in read_laws().items()
    ]
    return "\n".join([table(headers, rows), "", "The laws:", "", *laws])


def commands() -> str:
    """Every command with its help."""
    rows = [
        (f"`segmentation {name}`", (command.help or "").split("\n")[0])
        for name, command in sorted(command_line.commands.items())
        if isinstance(command, click.Command)
    ]
    return table(("command", "what it does"), rows)


def deployments() -> str:
    """Every deployment of prefect.yaml: when it runs, and what it does."""
    written = yaml.safe_load((README.parent / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    rows = [
        (
            f"`{one['name']}`",
            ", ".join(
                [f"`{schedule['cron']}`" for schedule in one.get("schedules", ())]
                + [f"event `{name}`" for trigger in one.get("triggers", ()) for name in trigger["expect"]]
            )
            or "by hand",
            one["description"],
        )
        for one in written
    ]
    return table(("deployment", "runs", "what it does"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "configuration": config_keys,
    "columns": source_columns,
    "tables": tables,
    "features": features,
    "commands": commands,
    "platforms": platforms,
    "deployments": deployments,
}


def refreshed(text: str) -> str:
    """The README with every generated block as the code has it now."""
    for name, make in BLOCKS.items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        text = re.sub(pattern, lambda found, make=make: f"{found[1]}{make()}\n{found[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(refreshed(README.read_text(encoding="utf-8")), encoding="utf-8")
