"""Customers as small maps become rows of customer_features in an open database."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from tasks.lake.contracts import CONTRACTS
from tasks.lake.contracts.column import MONEY
from tasks.segments.fields import FIELDS, Kind, neutral

AS_OF = date(2026, 6, 1)


def feature_rows(customers: Sequence[Mapping[str, Any]], as_of: date = AS_OF) -> pa.Table:
    """One row per customer; a field that is left out is missing, zero or false; dates are days after ``as_of``."""
    schema = CONTRACTS["customer_features"].schema
    rows = []
    for number, customer in enumerate(customers):
        row: dict[str, Any] = {"customer_id": f"c{number:04}", "as_of": as_of}
        for name, field in FIELDS.items():
            value = customer.get(name, neutral(field))
            if field.kind is Kind.DATE and value is not None:
                value = as_of + timedelta(days=value)
            elif schema.field(name).type == MONEY:
                value = Decimal(str(value))
            row[name] = list(value) if isinstance(value, tuple) else value
        rows.append({**row, **{key: customer[key] for key in ("customer_id",) if key in customer}})
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.fixture
def open_database() -> Iterator[Callable[..., duckdb.DuckDBPyConnection]]:
    """Opens a database with the given customers today and the given earlier segments."""
    connections: list[duckdb.DuckDBPyConnection] = []

    def opened(
        customers: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]] = (), as_of: date = AS_OF
    ) -> duckdb.DuckDBPyConnection:
        db = duckdb.connect()
        connections.append(db)
        db.register("customer_features", feature_rows(customers, as_of))
        db.register("customer_segments", pa.Table.from_pylist(earlier, schema=CONTRACTS["customer_segments"].schema))
        return db

    yield opened
    for connection in connections:
        connection.close()
