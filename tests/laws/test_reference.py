"""Documentation is tested like code: generated parts are fresh, and every command of the README exists."""

import re

from flows.cli import main
from flows.reference import BLOCKS, README, refreshed


def test_generated_parts_of_the_readme_are_fresh():
    text = README.read_text(encoding="utf-8")
    assert refreshed(text) == text, "run: python -m flows.reference"


def test_every_block_stands_in_the_readme():
    text = README.read_text(encoding="utf-8")
    assert all(f"<!-- begin {name} -->" in text for name in BLOCKS)


def test_every_command_the_readme_names_exists():
    named = set(re.findall(r"^segmentation ([a-z-]+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named <= set(main.commands)
