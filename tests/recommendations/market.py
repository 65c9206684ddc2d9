"""A small market in memory: the views that the recommendation stage reads, filled from a few named purchases."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa

from tasks.lake.contracts import CONTRACTS
from tasks.recommendations.models import Champions
from tasks.recommendations.recommend import recommend
from tasks.recommendations.settings import RecommendationSettings

AS_OF = date(2024, 6, 1)
TABLES = ("order_lines", "products", "customer_segments")


@dataclass(frozen=True)
class Bought:
    """One product on one order."""

    customer_id: str | None
    product_id: str
    day: date
    quantity: float = 1
    amount: str = "2.00"


def every(
    customer_id: str, product_id: str, days: int, times: int, *, last: date = AS_OF - timedelta(1)
) -> list[Bought]:
    """A product bought again and again, the last time on ``last``."""
    return [Bought(customer_id, product_id, last - timedelta(days * number)) for number in range(times)]


@contextmanager
def market(
    purchases: list[Bought],
    products: list[dict[str, object]] | None = None,
    segments: dict[str, str] | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the three views; without ``products`` every product bought is listed as food."""
    listed = sorted({each.product_id for each in purchases})
    filled: dict[str, list[dict[str, object]]] = {
        "order_lines": [_line(number, each) for number, each in enumerate(purchases)],
        "products": [
            {"updated_at": datetime(2020, 1, 1, tzinfo=UTC), **row}
            for row in (
                [{"product_id": name, "name": name, "category": "food"} for name in listed]
                if products is None
                else products
            )
        ],
        "customer_segments": [
            {"customer_id": name, "as_of": AS_OF, "segment": segment} for name, segment in (segments or {}).items()
        ],
    }
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            schema = CONTRACTS[table].schema
            rows = [{name: row.get(name) for name in schema.names} for row in filled[table]]
            db.register(table, pa.Table.from_pylist(rows, pa.schema([field.with_nullable(True) for field in schema])))
        yield db


def lists(
    purchases: list[Bought],
    products: list[dict[str, object]] | None = None,
    segments: dict[str, str] | None = None,
    *,
    settings: RecommendationSettings | None = None,
    champions: Champions | None = None,
    as_of: date = AS_OF,
) -> list[dict[str, object]]:
    """All recommendations as rows."""
    with market(purchases, products, segments) as db:
        return list(recommend(db, as_of, settings or RecommendationSettings(), champions).read_all().to_pylist())


def shown(rows: list[dict[str, object]], customer_id: str, kind: str | None = None) -> list[object]:
    """Products recommended to a customer, best first."""
    return [row["product_id"] for row in rows if row["customer_id"] == customer_id and kind in {None, row["kind"]}]


def _line(number: int, bought: Bought) -> dict[str, object]:
    return {
        "order_id": f"{bought.customer_id or f'guest{number}'}-{bought.day}",
        "line": number,
        "customer_id": bought.customer_id,
        "ordered_at": datetime(bought.day.year, bought.day.month, bought.day.day, 12, tzinfo=UTC),
        "order_date": bought.day,
        "channel": "pos",
        "product_id": bought.product_id,
        "quantity": bought.quantity,
        "amount": Decimal(bought.amount),
        "discount": Decimal(0),
        "currency": "GBP",
        "gift": False,
        "source": "till",
        "bucket": 0,
    }
