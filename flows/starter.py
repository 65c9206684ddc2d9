"""A first folder for a new retailer: configuration, rules, playbook, and a few rows to try them on."""

import re
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path

from tasks.errors import ConfigurationError

_CONTENT = {
    "segmentation.yaml": ("flows", "templates/segmentation.yaml"),
    "segments.yaml": ("tasks.segments", "segments.yaml"),
    "playbook.yaml": ("tasks.campaigns", "playbook.yaml"),
    "data/orders.csv": ("flows", "templates/orders.csv"),
    "data/customers.csv": ("flows", "templates/customers.csv"),
    "data/products.csv": ("flows", "templates/products.csv"),
}
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")


def write_starter(directory: Path, today: date) -> list[Path]:
    """Write the starter files to a folder and return them; existing files are never overwritten.

    The sample rows are moved by whole weeks, so that the newest lies within the week before ``today``.
    """
    present = [name for name in _CONTENT if (directory / name).exists()]
    if present:
        raise ConfigurationError(f"{directory} already holds {', '.join(present)}. Choose an empty folder.")
    samples = {name: _read(name) for name in _CONTENT if name.startswith("data/")}
    newest = max(date.fromisoformat(day) for text in samples.values() for day in _DAY.findall(text))
    later = timedelta(weeks=(today - timedelta(days=1) - newest).days // 7)
    written = []
    for name in _CONTENT:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        text = samples[name] if name in samples else _read(name)
        moved = _DAY.sub(lambda day: str(date.fromisoformat(day[0]) + later), text) if name in samples else text
        target.write_text(moved, encoding="utf-8")
        written.append(target)
    return written


def _read(name: str) -> str:
    package, resource = _CONTENT[name]
    return files(package).joinpath(resource).read_text(encoding="utf-8")
