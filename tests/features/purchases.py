"""Purchase histories for the tests of predictions: a few written out, or many drawn from a known process."""

from datetime import UTC, date, datetime, time, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from tasks.lake.contracts import CONTRACTS

START = date(2024, 1, 1)

Purchase = tuple[str, date, float]


def database(purchases: list[Purchase]) -> duckdb.DuckDBPyConnection:
    """A connection with the view `orders`, one order per purchase; a negative amount is a return."""
    schema = CONTRACTS["orders"].schema
    rows = [_order(number, *purchase) for number, purchase in enumerate(purchases)]
    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    table = pa.table({f.name: pa.array(columns[f.name]).cast(f.type) for f in schema})
    db = duckdb.connect(config={"threads": 2})
    db.execute("SET TimeZone = 'UTC'")
    db.register("orders", table)
    return db


def _order(number: int, customer: str, day: date, amount: float) -> dict[str, object]:
    # The minute follows from the purchase, not from its place in the list.
    minute = round(abs(amount) * 100) % 600
    return {
        "order_id": f"{customer}-{day}-{number}",
        "customer_id": customer,
        "ordered_at": datetime.combine(day, time(9), UTC) + timedelta(minutes=minute),
        "order_date": day,
        "channel": "pos",
        "store_id": "high street",
        "items": 1.0,
        "distinct_products": 1,
        "amount": round(amount, 2),
        "discount": 0.0,
        "is_return": amount < 0,
        "weekend": day.weekday() >= 5,
    }


def drawn(customers: int, days: int, *, seed: int = 1, gap_days: float = 12.0, leave: float = 0.06) -> list[Purchase]:
    """Customers who buy at their own gamma-distributed rate, spend around their own mean, and leave after a purchase
    with the given chance."""
    random = np.random.default_rng(seed)
    purchases: list[Purchase] = []
    for number in range(customers):
        rate = random.gamma(1.2, 1 / (1.2 * gap_days)) + 0.004
        mean = float(random.lognormal(3.2, 0.6))
        day = float(random.uniform(0, days * 0.5))
        while day < days:
            amount = mean * float(random.lognormal(0, 0.4))
            purchases.append((f"c{number:05}", START + timedelta(days=int(day)), amount))
            if random.uniform() < leave:
                break
            day += float(random.exponential(1 / rate)) + 1
    return purchases
