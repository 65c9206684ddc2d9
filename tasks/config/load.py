"""Reading the configuration: one YAML, environment on top, every problem listed at once with its line and remedy."""

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import fsspec
import yaml
from pydantic import BaseModel, ValidationError

from tasks.config.model import Config
from tasks.errors import ConfigurationError

Path = tuple[str | int, ...]


def load_config(address: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration at any fsspec address; relative paths inside it start at its own folder.

    ``SEGMENTATION_<KEY>`` (nested keys joined by ``__``) wins over the file, ``overrides`` over both.
    Raises ``ConfigurationError`` with one line per problem.
    """
    text = read_text(address)
    values, lines = parse_yaml(text, address)
    try:
        config = Config(**{**values, **(overrides or {})})
    except ValidationError as error:
        raise ConfigurationError(describe_problems(error, address, lines, Config)) from None
    return config.anchored(_folder(address))


def read_text(address: str) -> str:
    """Text at any fsspec address."""
    try:
        with fsspec.open(address, "rt", encoding="utf-8") as handle:
            return str(handle.read())
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigurationError(
            f"{address}: there is no such file. Create one with `segmentation init DIR`, or name yours with --config."
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{address}: not UTF-8 text. Save it as UTF-8.") from None


def parse_yaml(text: str, address: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The values of a YAML mapping and the line on which each path stands."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(
            f"{address} line {line}: not valid YAML ({error.problem}). Mend the indentation or quotes."
        ) from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{address}: the file must be a mapping of keys to values.")
    lines: dict[Path, int] = {}
    if node is not None:
        _collect_lines(node, (), lines)
    return values, lines


def _collect_lines(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            _collect_lines(value, (*path, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _collect_lines(value, (*path, position), lines)


def describe_problems(error: ValidationError, address: str, lines: Mapping[Path, int], model: type[BaseModel]) -> str:
    """One line per problem: file, line, key, what is wrong, what to do."""
    problems = [_describe(dict(problem), address, lines, model) for problem in error.errors()]
    return "\n".join(dict.fromkeys(problems))


def _describe(problem: dict[str, Any], address: str, lines: Mapping[Path, int], model: type[BaseModel]) -> str:
    path: Path = tuple(problem["loc"])
    where = f"{address}{_line_of(path, lines)}: {_spell(path)}"
    match problem["type"]:
        case "missing":
            return f"{where}: is missing. Add it."
        case "extra_forbidden":
            return f"{where}: unknown key.{_suggest(path, model)}"
        case "value_error":
            return f"{where}: {problem['ctx']['error']}"
        case _:
            return f"{where}: {problem['msg']} (found {problem['input']!r})."


def _line_of(path: Path, lines: Mapping[Path, int]) -> str:
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return f" line {lines[path[:end]]}"
    names = [f"SEGMENTATION_{path[0]}".upper()] if path else []
    return f" (from {names[0]})" if names and names[0] in os.environ else ""


def _spell(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "the file"


def _suggest(path: Path, model: type[BaseModel]) -> str:
    known = _fields_at(path[:-1], model)
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    if close:
        return f" Did you mean {close[0]}?"
    return f" Known keys here: {', '.join(sorted(known))}." if known else " Take it out."


def _fields_at(path: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    here: Any = model
    for part in path:
        if isinstance(part, int) or not (isinstance(here, type) and issubclass(here, BaseModel)):
            continue
        field = here.model_fields.get(str(part))
        here = _model_in(field.annotation) if field else None
    return sorted(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _model_in(part))), None)


def _folder(address: str) -> str:
    return address.rsplit("/", 1)[0] if "/" in address else "."
