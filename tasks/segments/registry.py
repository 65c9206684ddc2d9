"""Versions of the rules: which are in use, who changed them and why, and how to change them without losing a comment.

The rule file is the source of truth. Where the configuration names none, the newest version that a person saved in the
lake is used, else the rules that come with the system.
"""

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import fsspec
import pyarrow as pa
import yaml

from tasks.config.load import read_text
from tasks.errors import ConfigurationError
from tasks.lake.contracts import CONTRACTS
from tasks.segments.rule_file import DEFAULT_NAME, default_text, parse_rules
from tasks.segments.rules import EVERYONE, Condition, Rule, RuleFile

SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules ready for use with their text, its ``address`` in messages, and the version that names them in tables."""

    file: RuleFile
    text: str
    address: str
    version: str


@lru_cache(maxsize=8)
def read_rules(text: str, address: str) -> Rules:
    """Rules from text; ``ConfigurationError`` lists every problem."""
    rules = parse_rules(text, address)
    return Rules(rules, text, address, version_of(rules))


def version_of(rules: RuleFile) -> str:
    """Digest of what the rules say; comments and layout do not count."""
    return hashlib.sha256(rules.model_dump_json(by_alias=True).encode()).hexdigest()[:12]


def current_rules(address: str, saved: Sequence[Mapping[str, Any]] = ()) -> Rules:
    """The rules in use: the file at ``address``, else the newest that a person saved (rows of ``rule_versions``)."""
    if address:
        return read_rules(read_text(address), address)
    people = [row for row in saved if row["saved_by"] != SYSTEM]
    if not people:
        return read_rules(default_text(), DEFAULT_NAME)
    newest = max(people, key=lambda row: (row["saved_at"], row["version"]))
    return read_rules(newest["rules"], f"rule_versions {newest['version']}")


def version_row(rules: Rules, *, saved_at: datetime, saved_by: str, reason: str) -> pa.Table:
    """The row of ``rule_versions`` for rules that were used (``saved_by`` is ``SYSTEM``) or saved by a person."""
    if not saved_by.strip() or not reason.strip():
        raise ConfigurationError("Say who saves the rules and why: others will read it next to every customer.")
    row = {
        "version": rules.version,
        "rules": rules.text,
        "saved_at": saved_at,
        "saved_by": saved_by.strip(),
        "reason": reason.strip(),
    }
    return pa.Table.from_pylist([row], schema=CONTRACTS["rule_versions"].schema)


def with_audience(rules: Rules, audience: Rule) -> Rules:
    """The rules with a new audience, or with the one of the same id replaced; all other lines stay as they are."""
    if any(rule.id == audience.id for rule in rules.file.primary):
        raise ConfigurationError(f"{audience.id} is a primary segment. Give the audience another id.")
    lines = rules.text.splitlines()
    start, end, indent = _place_of(rules.text, audience.id)
    block = [" " * indent + line if line else line for line in _spell(audience).splitlines()]
    head = [] if rules.file.audiences else ["", "audiences:"]
    text = "\n".join([*lines[:start], *head, *block, *lines[end:]]) + "\n"
    return read_rules(text, rules.address)


def _place_of(text: str, audience: str) -> tuple[int, int, int]:
    """First and last line to be replaced by the audience, and its indent; both lines are the same to insert."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    nodes = {key.value: value for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    group = nodes.get("audiences")
    if not isinstance(group, yaml.SequenceNode) or not group.value:
        end = len(text.rstrip().splitlines())
        return end, end, 2
    if group.flow_style:
        raise ConfigurationError(
            "audiences: write one audience per line, starting with a dash, so that one can be added."
        )
    indent = group.start_mark.column
    for item in group.value:
        names = {key.value: value.value for key, value in item.value}
        if names.get("id") == audience:
            return item.start_mark.line, _end_of(text, item), indent
    end = _end_of(text, group.value[-1])
    return end, end, indent


def _end_of(text: str, item: yaml.Node) -> int:
    """The line after the last one of an item that says something."""
    lines = text.splitlines()
    flow = isinstance(item, yaml.MappingNode) and item.flow_style
    end = min(item.end_mark.line + int(flow), len(lines))
    while end > item.start_mark.line + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _spell(rule: Rule) -> str:
    said = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if rule.like is None:
        said["when"] = spell_condition(rule.when)
    else:
        said.pop("when")
    return yaml.safe_dump([said], sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)


def spell_condition(condition: Condition) -> Any:
    """A condition as plain values, in the form of the rule file."""
    if condition.all == ():
        return EVERYONE
    if condition.field is not None:
        said = {"field": condition.field, "op": str(condition.op)}
        constants = condition.value
        value = list(constants) if isinstance(constants, tuple) else constants
        return said if value is None else {**said, "value": value}
    if condition.not_ is not None:
        return {"not": spell_condition(condition.not_)}
    word = "all" if condition.all is not None else "any"
    return {word: [spell_condition(part) for part in condition.parts]}


def changes(before: Rules, after: Rules) -> str:
    """The lines that differ, as a unified diff; empty when nothing does."""
    return "\n".join(
        difflib.unified_diff(before.text.splitlines(), after.text.splitlines(), "before", "after", lineterm="", n=2)
    )


def write_rules(rules: Rules) -> None:
    """Write the text back to the rule file it came from, at any fsspec address."""
    with fsspec.open(rules.address, "wt", encoding="utf-8") as handle:
        handle.write(rules.text)
