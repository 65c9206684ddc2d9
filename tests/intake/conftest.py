"""Small shops for the tests of intake."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.config import Config
from tasks.intake.intake import take_in
from tasks.intake.report import IntakeReport
from tasks.lake import Lake

WRITTEN = datetime(2024, 6, 1, 5, tzinfo=UTC)
AS_OF = date(2024, 6, 1)
TILL = {
    "dataset": "orders",
    "channel": "pos",
    "columns": {
        "order_id": "receipt",
        "customer_id": "card",
        "ordered_at": "at",
        "product_id": "sku",
        "quantity": "n",
        "amount": "paid",
    },
}


@dataclass(frozen=True)
class Shop:
    """A folder of files, a lake, and a configuration that names both."""

    folder: Path
    lake: Lake

    def config(self, *sources: dict[str, Any], **changes: Any) -> Config:
        """A configuration with these sources; file patterns start in the shop's folder."""
        placed = [{**source, "files": f"{self.folder}/{source['files']}"} for source in sources]
        values = {
            "lake": self.lake.root,
            "timezone": "Europe/London",
            "currency": "GBP",
            "buckets": 4,
            "sources": placed,
        }
        return Config(**{**values, **changes})

    def write(self, name: str, content: list[dict[str, Any]] | str | bytes, at: datetime = WRITTEN) -> Path:
        """Write a file as its ending says and date it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(content), path)
        else:
            path.write_text("\n".join(json.dumps(row) for row in content), encoding="utf-8")
        os.utime(path, (at.timestamp(), at.timestamp()))
        return path

    def take(self, config: Config, as_of: date = AS_OF, person_key: str = "") -> IntakeReport:
        """One run of intake."""
        return take_in(self.lake, config, as_of, person_key)

    def rows(self, table: str, sql: str = "*") -> list[tuple[Any, ...]]:
        """Rows of a table in the order of their columns."""
        with self.lake.database([self.lake.latest(table)]) as db:
            return db.sql(f"SELECT {sql} FROM {table} ORDER BY ALL").fetchall()

    def fingerprints(self, *tables: str) -> dict[str, str]:
        """Digests of whole tables."""
        return {table: self.lake.fingerprint(self.lake.latest(table)) for table in tables}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty shop."""
    return Shop(tmp_path, Lake(root=str(tmp_path / "lake"), memory_limit="1GB", threads=2))


@pytest.fixture
def sale() -> Callable[..., dict[str, Any]]:
    """A row of the till: Ana buys one tea for 3.50 unless told otherwise."""

    def row(**changes: Any) -> dict[str, Any]:
        usual = {
            "receipt": "R1",
            "card": "ana",
            "at": datetime.fromisoformat("2024-05-20T10:00"),
            "sku": "tea",
            "n": 1.0,
            "paid": 3.5,
        }
        return {**usual, **changes}

    return row
