"""The house: imports run one way, stages meet in tables, pure modules stay pure, public things are explained."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for folder in ("flows", "tasks", "infra")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in str(path)
)
STAGES = ("intake", "features", "segments", "recommendations", "campaigns", "destinations", "measurement", "alerts")
FOUNDATION = ("lake", "config", "errors", "stage")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def part(path: Path) -> tuple[str, ...]:
    """Path below the root without the ending."""
    return path.relative_to(ROOT).with_suffix("").parts


named = pytest.mark.parametrize("path", MODULES, ids=lambda path: ".".join(part(path)))


@named
def test_only_doors_and_flows_know_prefect(path):
    if part(path)[0] == "tasks" and path.name != "task.py":
        assert not {name for name in imports(path) if name.split(".")[0] == "prefect"}


@named
def test_stages_meet_in_tables_and_never_import_each_other(path):
    parts = part(path)
    if parts[0] != "tasks":
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("tasks.") and name.count(".")}
    here = parts[1]
    allowed = {*FOUNDATION, here} if here in STAGES else set(FOUNDATION)
    assert used <= allowed
    assert not {name for name in imports(path) if name.split(".")[0] in {"flows", "infra"}}


@named
def test_flows_enter_a_stage_through_its_door_or_its_values(path):
    if part(path)[0] == "infra":
        assert not {name for name in imports(path) if name.startswith("tasks.") and name.split(".")[1] in STAGES[:-1]}


@named
def test_everything_public_is_explained(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name != "__init__.py" or tree.body:
        assert ast.get_docstring(tree), "the module says what it is for"
    scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))]
    silent = [
        f"{node.lineno} {node.name}"
        for scope in scopes
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not silent


@named
def test_no_promise_is_left_in_a_comment(path):
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", path.read_text(encoding="utf-8"))


def test_measuring_needs_no_prefect():
    code = "import sys, tasks.features.rfm, tasks.segments.rules; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
