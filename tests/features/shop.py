"""A small shop in memory: the views that the feature stage reads, filled from a few named orders."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from tasks.lake.contracts import CONTRACTS

TABLES = ("customers", "orders", "order_lines", "category_totals", "products", "sessions", "engagement", "consent")


@dataclass(frozen=True)
class Line:
    """One product on an order."""

    product_id: str = "tea"
    amount: str = "10.00"
    quantity: float = 1
    discount: str = "0"


@dataclass(frozen=True)
class Order:
    """One order of a named customer, at a local time of the shop."""

    customer_id: str | None
    at: str
    lines: tuple[Line, ...] = (Line(),)
    channel: str = "pos"
    store_id: str = "high street"
    gift: bool = False


@contextmanager
def shop(
    orders: list[Order], *, timezone: str = "Europe/London", **tables: list[dict[str, object]]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with all views; ``tables`` adds rows to others than orders."""
    order_rows = [_order(number, order, timezone) for number, order in enumerate(orders)]
    line_rows = [row for number, order in enumerate(orders) for row in _lines(number, order, timezone)]
    people = sorted({order.customer_id for order in orders if order.customer_id})
    listed = {row["customer_id"] for row in tables.get("customers", [])}
    customers = [{"customer_id": name, "sources": ["till"]} for name in people if name not in listed]
    filled = {
        "orders": order_rows,
        "order_lines": line_rows,
        "products": [
            {"product_id": name, "category": kind, "updated_at": datetime(2020, 1, 1, tzinfo=UTC)}
            for name, kind in KINDS.items()
        ],
        **tables,
        "customers": customers + tables.get("customers", []),
    }
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            schema = CONTRACTS[table].schema
            rows = [{name: row.get(name) for name in schema.names} for row in filled.get(table, [])]
            db.register(table, pa.Table.from_pylist(rows, pa.schema([field.with_nullable(True) for field in schema])))
        yield db


KINDS = {"tea": "drinks", "coffee": "drinks", "cake": "bakery", "soap": "bathroom"}


def _when(order: Order, timezone: str) -> tuple[datetime, date]:
    local = datetime.fromisoformat(order.at).replace(tzinfo=ZoneInfo(timezone))
    return local.astimezone(UTC), local.date()


def _order(number: int, order: Order, timezone: str) -> dict[str, object]:
    instant, day = _when(order, timezone)
    amount = sum(Decimal(line.amount) for line in order.lines)
    return {
        "order_id": f"o{number:04}",
        "customer_id": order.customer_id,
        "ordered_at": instant,
        "order_date": day,
        "channel": order.channel,
        "store_id": order.store_id,
        "lines": len(order.lines),
        "items": float(sum(line.quantity for line in order.lines)),
        "distinct_products": len({line.product_id for line in order.lines}),
        "distinct_categories": len({KINDS[line.product_id] for line in order.lines}),
        "amount": amount,
        "discount": sum(Decimal(line.discount) for line in order.lines),
        "returned_amount": -sum(min(Decimal(line.amount), Decimal(0)) for line in order.lines),
        "is_return": amount < 0,
        "is_gift": order.gift,
        "weekend": day.weekday() > 4,
        "currency": "GBP",
        "bucket": 0,
    }


def _lines(number: int, order: Order, timezone: str) -> list[dict[str, object]]:
    instant, day = _when(order, timezone)
    return [
        {
            "order_id": f"o{number:04}",
            "line": position,
            "customer_id": order.customer_id,
            "ordered_at": instant,
            "order_date": day,
            "channel": order.channel,
            "product_id": line.product_id,
            "quantity": float(line.quantity),
            "amount": Decimal(line.amount),
            "discount": Decimal(line.discount),
            "currency": "GBP",
            "gift": order.gift,
            "source": "till",
            "bucket": 0,
        }
        for position, line in enumerate(order.lines, start=1)
    ]
