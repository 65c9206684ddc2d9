"""What a flow file says about its flows, read without importing it: an import would need all its dependencies."""

import ast
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of one flow function: all names, and those without a default."""

    names: frozenset[str]
    required: frozenset[str]
    accepts_any: bool


def read_signature(root: Path, entrypoint: str) -> Signature:
    """Return the signature behind ``path/to/file.py:function``; ConfigurationError if there is none."""
    path, _, function = entrypoint.rpartition(":")
    file = root / path
    if not path.endswith(".py") or not file.is_file():
        raise ConfigurationError(
            f"entrypoint {entrypoint}: there is no file {path or entrypoint}; write path/to/file.py:function"
        )
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            if not any(_names_flow(decorator) for decorator in node.decorator_list):
                raise ConfigurationError(f"entrypoint {entrypoint}: {function} is not decorated with @flow")
            return _signature(node.args)
    raise ConfigurationError(f"entrypoint {entrypoint}: {path} defines no function {function}")


def _names_flow(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(target, ast.Name) and target.id == "flow") or (
        isinstance(target, ast.Attribute) and target.attr == "flow"
    )


def _signature(arguments: ast.arguments) -> Signature:
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    keyword = [argument.arg for argument in arguments.kwonlyargs]
    required = positional[: len(positional) - len(arguments.defaults)]
    required += [name for name, default in zip(keyword, arguments.kw_defaults, strict=True) if default is None]
    return Signature(frozenset(positional + keyword), frozenset(required), arguments.kwarg is not None)
