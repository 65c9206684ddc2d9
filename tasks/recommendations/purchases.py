"""Facts for the models: who bought what on which day, as sorted arrays of numbers, a chunk of customers at a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

import duckdb
import numpy as np
from numpy.typing import NDArray

from tasks.recommendations.settings import RecommendationSettings

Level = Literal["product", "category"]
Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

EPOCH = date(1970, 1, 1)

_CATALOGUE = """
    CREATE OR REPLACE TEMP TABLE known_products AS
    WITH shelves AS (
        SELECT category, department FROM (SELECT DISTINCT category, department FROM products)
        WHERE NOT regexp_matches(lower(concat_ws(' | ', category, department)), $leave_out)
    )
    SELECT (row_number() OVER (ORDER BY product_id) - 1)::INT AS product, *,
           CASE WHEN category IS NOT NULL THEN dense_rank() OVER (ORDER BY category NULLS LAST) - 1 END::INT AS kind
    FROM (
        SELECT * FROM products SEMI JOIN shelves ON products.category IS NOT DISTINCT FROM shelves.category
            AND products.department IS NOT DISTINCT FROM shelves.department
        UNION ALL BY NAME
        SELECT DISTINCT product_id FROM order_lines ANTI JOIN products USING (product_id) WHERE order_date < $until
    )
"""
_PEOPLE = """
    CREATE OR REPLACE TEMP TABLE known_customers AS
    SELECT (row_number() OVER (ORDER BY customer_id) - 1)::INT AS customer, customer_id, segment,
           (row_number() OVER (ORDER BY md5(customer_id), customer_id) <= $fit_customers) AS teaches
    FROM (
        SELECT customer_id FROM order_lines WHERE order_date < $until AND customer_id IS NOT NULL
        UNION SELECT customer_id FROM customer_segments WHERE as_of <= $until
    ) LEFT JOIN (
        SELECT customer_id, arg_max(segment, as_of) AS segment
        FROM customer_segments WHERE as_of <= $until GROUP BY customer_id
    ) USING (customer_id)
"""
# Guests have no list of their own; they count when popularity is measured.
_BOUGHT = """
    CREATE OR REPLACE TEMP TABLE bought AS
    SELECT DISTINCT c.customer, p.product, p.kind, order_date - DATE '1970-01-01' AS day,
           CASE WHEN c.customer IS NULL THEN order_id END AS guest
    FROM order_lines JOIN known_products p USING (product_id) LEFT JOIN known_customers c USING (customer_id)
    WHERE order_date < $until AND quantity > 0 AND amount > 0
"""


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """One row per customer and day on which anything was bought, sorted by both; ``day`` counts from 1970-01-01."""

    customer: Codes
    day: Codes


@dataclass(frozen=True, slots=True, eq=False)
class Purchases:
    """One row per customer, item and day it was bought on, sorted by the three; ``day`` counts from 1970-01-01."""

    customer: Codes
    item: Codes
    day: Codes

    def __len__(self) -> int:
        return len(self.customer)

    def before(self, day: int) -> "Purchases":
        """What was known on the morning of ``day``."""
        return self.only(self.day < day)

    def between(self, first: int, end: int) -> "Purchases":
        """What happened from day ``first`` on, and before day ``end``."""
        return self.only((self.day >= first) & (self.day < end))

    def regrouped(self, groups: Codes) -> "Purchases":
        """The same purchases by the group of their item (``groups`` per item code), each day once."""
        kinds, days = int(groups.max(initial=0)) + 1, int(self.day.max(initial=0)) + 1
        keys = distinct((self.customer * kinds + groups[self.item]) * days + self.day)
        return Purchases(keys // (kinds * days), keys // days % kinds, keys % days)

    def visits(self) -> Visits:
        """The days on which each customer bought anything."""
        scale = int(self.day.max(initial=0)) + 1
        keys = distinct(self.customer * scale + self.day)
        return Visits(keys // scale, keys % scale)

    def only(self, rows: Flags) -> "Purchases":
        """The marked rows."""
        return Purchases(self.customer[rows], self.item[rows], self.day[rows])


@dataclass(frozen=True, slots=True)
class Universe:
    """Sizes of the coded world: codes run from 0; products without a category have the group ``groups - 1``."""

    customers: int
    items: int
    groups: int


def distinct(keys: Codes) -> Codes:
    """The different keys, sorted; several times faster on millions of codes than a hash table."""
    ordered = np.sort(keys)
    first: Flags = np.diff(ordered, prepend=-1) != 0
    return np.asarray(ordered[first], np.int64)


def found_in(ordered: Codes, wanted: Codes) -> Flags:
    """Marks the ``wanted`` keys that are among the sorted ``ordered``."""
    if not len(ordered):
        return np.zeros(len(wanted), np.bool_)
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)] == wanted, np.bool_)


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def collect(db: duckdb.DuckDBPyConnection, until: date, settings: RecommendationSettings) -> None:
    """Number customers and products and gather what was bought before ``until`` in temporary tables.

    Reads order_lines, products and customer_segments. Returns and free goods are no purchases; products whose category
    or department holds one of the words ``settings.leave_out`` are left out.
    """
    words = "|".join(re.escape(word.lower()) for word in settings.leave_out) or "(?!)"
    leave_out = words if settings.leave_out else "^$a"
    db.execute(_CATALOGUE, {"until": until, "leave_out": leave_out})
    db.execute(_PEOPLE, {"until": until, "fit_customers": settings.fit_customers})
    db.execute(_BOUGHT, {"until": until})


def universe(db: duckdb.DuckDBPyConnection, level: Level) -> Universe:
    """How many customers, items and groups were numbered by :func:`collect`."""
    row = db.execute(
        "SELECT (SELECT count(*) FROM known_customers), (SELECT count(*) FROM known_products), "
        "(SELECT coalesce(max(kind), -1) + 1 FROM known_products)"
    ).fetchone()
    customers, products, kinds = row or (0, 0, 0)
    return Universe(customers, products if level == "product" else kinds, kinds + 1)


def groups_of_items(db: duckdb.DuckDBPyConnection, level: Level) -> Codes:
    """The category code of each item; categories are their own group."""
    column = "product" if level == "product" else "kind"
    if level == "category":
        return np.arange(universe(db, level).items, dtype=np.int64)
    unknown = universe(db, level).groups - 1
    return _column(db, f"SELECT coalesce(kind, {unknown}) AS kind FROM known_products ORDER BY {column}", "kind")


def purchases(db: duckdb.DuckDBPyConnection, level: Level, where: str) -> Purchases:
    """Purchases of the customers that fit the SQL condition ``where`` on known_customers."""
    item = "product" if level == "product" else "kind"
    rows = db.execute(
        f"SELECT DISTINCT customer, {item} AS item, day FROM bought "
        f"WHERE {item} IS NOT NULL AND customer IN (SELECT customer FROM known_customers WHERE {where}) "
        "ORDER BY customer, item, day"
    ).fetchnumpy()
    return Purchases(*(np.asarray(rows[name], np.int64) for name in ("customer", "item", "day")))


def chunks(customers: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of customer codes, each at most ``size`` long."""
    for first in range(0, customers, size):
        yield first, min(first + size, customers)


def buyers(db: duckdb.DuckDBPyConnection, level: Level, first: int, end: int) -> Floats:
    """Different customers (and orders of guests) per item from day ``first`` on and before day ``end``."""
    item = "product" if level == "product" else "kind"
    counts = np.zeros(universe(db, level).items)
    rows = db.execute(
        f"SELECT {item} AS item, count(DISTINCT customer) + count(DISTINCT guest) AS buyers FROM bought "
        f"WHERE {item} IS NOT NULL AND day >= {first} AND day < {end} GROUP BY ALL"
    ).fetchnumpy()
    counts[np.asarray(rows["item"], np.int64)] = np.asarray(rows["buyers"], np.float64)
    return counts


def _column(db: duckdb.DuckDBPyConnection, sql: str, name: str) -> Codes:
    return np.asarray(db.execute(sql).fetchnumpy()[name], np.int64)
