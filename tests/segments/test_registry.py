"""Versions of the rules: the file leads, people's changes are kept with who and why, and comments survive."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.errors import ConfigurationError
from tasks.segments.registry import (
    SYSTEM,
    changes,
    current_rules,
    read_rules,
    spell_condition,
    version_of,
    version_row,
    with_audience,
    write_rules,
)
from tasks.segments.rule_file import default_text, load_rules, parse_rules
from tasks.segments.rules import Condition, Rule

TEXT = """\
# our rules
primary:
  - id: everyone_else   # for now
    label: Everyone
    when: everyone
audiences:
  - id: regulars
    label: Regulars
    when: {field: orders, op: ">=", value: 10}   # ten is a lot
  # those who love a gift
  - id: gifts
    label: Gifts
    when: {field: gift_orders, op: ">=", value: 2}
# the end
"""
PRIMARY = TEXT.partition("audiences:")[0]
WINE = Rule(
    id="wine",
    label="Wine lovers",
    when=Condition(
        all=(
            Condition(field="top_categories", op="contains", value="wine: red"),
            Condition(**{"not": Condition(field="gap_ratio", op="between", value=(3, 9))}),
        )
    ),
)


def row(version: str, day: int, saved_by: str, text: str = TEXT) -> dict[str, Any]:
    return {"version": version, "rules": text, "saved_at": datetime(2026, 6, day, tzinfo=UTC), "saved_by": saved_by}


def test_the_file_leads_then_what_a_person_saved_then_the_default(tmp_path: Path) -> None:
    file = tmp_path / "segments.yaml"
    file.write_text(TEXT)
    saved = [row("a", 1, "Maria", default_text()), row("b", 2, "Maria"), row("c", 3, SYSTEM, default_text())]
    assert current_rules(str(file), saved).address == str(file)
    assert current_rules("", saved).address == "rule_versions b"
    assert current_rules("", saved[2:]).file == load_rules()


def test_a_version_names_what_the_rules_say_not_how_they_are_laid_out() -> None:
    plain = yaml.safe_dump(yaml.safe_load(TEXT))
    assert read_rules(plain, "r.yaml").version == read_rules(TEXT, "r.yaml").version
    assert version_of(parse_rules(TEXT.replace("value: 10", "value: 11"), "r")) != version_of(parse_rules(TEXT, "r"))


def test_a_new_audience_is_added_and_no_other_line_changes() -> None:
    before = read_rules(TEXT, "r.yaml")
    after = with_audience(before, WINE)
    assert after.file.audiences[-1] == WINE
    assert after.file.rules[:-1] == before.file.rules
    assert [line for line in changes(before, after).splitlines()[2:] if line.startswith("-")] == []
    assert after.text.endswith("# the end\n")


def test_an_audience_of_the_same_id_is_replaced_in_its_place() -> None:
    before = read_rules(TEXT, "r.yaml")
    narrower = Rule(id="regulars", label="Regulars", when=Condition(field="orders", op=">=", value=20))
    after = with_audience(before, narrower)
    assert [rule.id for rule in after.file.audiences] == ["regulars", "gifts"]
    assert after.file.audiences[0] == narrower
    assert "# those who love a gift" in after.text


@pytest.mark.parametrize("text", [PRIMARY, PRIMARY + "audiences: []\n"])
def test_the_first_audience_of_a_file_can_be_added(text: str) -> None:
    assert with_audience(read_rules(text, "r.yaml"), WINE).file.audiences == (WINE,)


def test_adding_and_replacing_again_in_the_default_file_gives_the_same_text() -> None:
    once = with_audience(read_rules(default_text(), "d.yaml"), WINE)
    assert with_audience(once, WINE).text == once.text


def test_an_audience_cannot_take_the_id_of_a_primary_segment() -> None:
    clash = Rule(id="everyone_else", label="Clash", when=Condition(all=()))
    with pytest.raises(ConfigurationError, match="is a primary segment"):
        with_audience(read_rules(TEXT, "r.yaml"), clash)


def test_a_saved_version_says_who_and_why() -> None:
    rules = read_rules(TEXT, "r.yaml")
    at = datetime(2026, 6, 1, tzinfo=UTC)
    saved = version_row(rules, saved_at=at, saved_by="Maria", reason="autumn").to_pylist()
    assert saved == [{"version": rules.version, "rules": TEXT, "saved_at": at, "saved_by": "Maria", "reason": "autumn"}]
    with pytest.raises(ConfigurationError, match="who saves the rules and why"):
        version_row(rules, saved_at=at, saved_by="Maria", reason=" ")


def test_rules_are_written_back_to_their_file(tmp_path: Path) -> None:
    file = tmp_path / "segments.yaml"
    file.write_text(TEXT)
    write_rules(with_audience(current_rules(str(file)), WINE))
    assert current_rules(str(file)).file.audiences[-1] == WINE


def test_every_condition_of_the_default_rules_reads_back_as_it_was_spelled() -> None:
    for rule in load_rules().rules:
        assert Condition.model_validate(spell_condition(rule.when)) == rule.when
