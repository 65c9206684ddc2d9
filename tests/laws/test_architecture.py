"""The house: imports run one way, stages meet in tables, pure modules stay pure, public things are explained."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in ("flows", "tasks", "infra") for path in (ROOT / folder).rglob("*.py"))
STAGES = {
    "intake",
    "features",
    "segments",
    "recommendations",
    "campaigns",
    "destinations",
    "measurement",
    "alerts",
}
FOUNDATION = {"lake", "config", "errors", "stage", "secrets"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return frozenset(found)


def parts(path: Path) -> tuple[str, ...]:
    """Path below the root without the ending."""
    return path.relative_to(ROOT).with_suffix("").parts


def offenders(rule) -> list[str]:
    """Modules that break a rule, with what it says about them."""
    return [f"{'.'.join(parts(path))}: {fault}" for path in MODULES if (fault := rule(path))]


def test_only_doors_and_flows_know_prefect():
    def knows(path: Path) -> set[str]:
        if parts(path)[0] != "tasks" or path.name == "task.py" or parts(path) == ("tasks", "secrets"):
            return set()
        return {name for name in imports(path) if name.split(".")[0] == "prefect"}

    assert offenders(knows) == []


def test_stages_meet_in_tables_and_never_import_each_other():
    def reaches_out(path: Path) -> set[str]:
        if parts(path)[0] != "tasks":
            return set()
        used = {name.split(".")[1] for name in imports(path) if name.startswith("tasks.")}
        return used - FOUNDATION - ({parts(path)[1]} & STAGES)

    assert offenders(reaches_out) == []


def test_tasks_import_neither_flows_nor_infra():
    def looks_up(path: Path) -> set[str]:
        above = {"flows", "infra"} if parts(path)[0] == "tasks" else set()
        return {name for name in imports(path) if name.split(".")[0] in above}

    assert offenders(looks_up) == []


def test_everything_public_is_explained():
    def silent(path: Path) -> list[str]:
        if "rehearsal" in parts(path):
            return []  # stand-ins: their methods are the vendor's calls and bear the vendor's names
        module = tree(path)
        classes = [node for node in module.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        missing = [] if ast.get_docstring(module) or not module.body else ["the module"]
        return missing + [
            f"{node.name} (line {node.lineno})"
            for scope in (module, *classes)
            for node in scope.body
            if isinstance(node, functions) and not node.name.startswith("_") and not ast.get_docstring(node)
        ]

    assert offenders(silent) == []


def test_no_promise_is_left_in_a_comment():
    def promises(path: Path) -> list[str]:
        return re.findall(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", path.read_text(encoding="utf-8"))

    assert offenders(promises) == []


def test_measuring_needs_no_prefect():
    code = "import sys, tasks.features.rfm, tasks.segments.rules; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
