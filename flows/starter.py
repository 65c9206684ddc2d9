"""A first folder for a new retailer: configuration, rules, playbook, and a few rows to try them on."""

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


def write_starter(directory: Path) -> list[Path]:
    """Write the starter files to a folder and return them; existing files are never overwritten."""
    present = [name for name in _CONTENT if (directory / name).exists()]
    if present:
        raise ConfigurationError(f"{directory} already holds {', '.join(present)}. Choose an empty folder.")
    written = []
    for name, (package, resource) in _CONTENT.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(files(package).joinpath(resource).read_text(encoding="utf-8"), encoding="utf-8")
        written.append(target)
    return written
