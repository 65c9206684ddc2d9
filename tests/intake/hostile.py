"""A small set of data in which everything goes wrong that goes wrong in shops, with the truth known in advance.

London, pounds. Ana, Ben, Cem, Dee, Eva and Finn buy in a store (``till``, Parquet), on the web (``web``, CSV) and in an
app (``app``, NDJSON). Rows say in ``why`` what they are there for.
"""

import gzip
import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.config import Config

WRITTEN = datetime(2024, 11, 1, 6, tzinfo=UTC)  # when the files were written; facts after 2 November are impossible

LONDON_TILL = [
    # order, customer (a float column, as pandas writes it), local time, product, quantity, price, discount, returned
    ("T1", 1.0, "2024-10-05T10:00", "tea", 2.0, 3.50, 1.00, False, "Ana buys two teas: 6.00"),
    ("T1", 1.0, "2024-10-05T10:00", "tea", 2.0, 3.50, 1.00, False, "and the same again on the same receipt: 6.00"),
    ("T2", None, "2024-10-05T11:00", "jam", 1.0, 4.00, 0.0, False, "a guest: 4.00"),
    ("T3", 2.0, "2024-10-27T01:30", "tea", 1.0, 3.50, 0.0, False, "Ben, in the hour that occurs twice: 3.50"),
    ("T4", 2.0, "2024-03-31T01:30", "tea", 1.0, 3.50, 0.0, False, "Ben, in the hour that never was: 3.50"),
    ("T5", 1.0, "2024-10-06T10:00", "tea", -1.0, 3.50, 0.5, False, "Ana brings a tea back, negative: -3.00"),
    ("T6", 1.0, "2024-10-06T11:00", "jam", 1.0, 4.00, 0.0, True, "Ana brings a jam back, flagged: -4.00"),
    ("T7", 3.0, "2024-10-07T10:00", "gift", 1.0, 0.0, 0.0, False, "Cem gets a present, price zero is fine: 0.00"),
    ("T8", 3.0, "2024-10-07T10:00", "tea", 0.0, 3.50, 0.0, False, "zero_quantity"),
    ("T9", 3.0, "2024-10-07T10:00", "tea", 5000.0, 3.50, 0.0, False, "absurd_quantity, absurd_amount"),
    ("T10", 3.0, "2024-10-07T10:00", "piano", 1.0, 90_000.0, 0.0, False, "absurd_amount"),
    ("T11", 3.0, "2024-10-07T10:00", "tea", 1.0, -3.50, 0.0, False, "negative_price"),
    ("T12", 3.0, "2024-10-07T10:00", None, 1.0, 3.50, 0.0, False, "missing_product"),
    (None, 3.0, "2024-10-07T10:00", "tea", 1.0, 3.50, 0.0, False, "missing_order_id"),
    ("T13", 3.0, "2031-01-01T10:00", "tea", 1.0, 3.50, 0.0, False, "future_time"),
    ("T14", 3.0, "1970-01-01T00:00", "tea", 1.0, 3.50, 0.0, False, "too_early"),
    ("T15", 3.0, None, "tea", 1.0, 3.50, 0.0, False, "bad_time"),
    ("T16", 3.0, "2024-10-08T10:00", "tea", None, 3.50, 0.0, False, "bad_number"),
    ("T17", 4.0, "2024-10-08T10:00", "tea", 1.0, 3.50, 0.0, False, "Dee: 3.50"),
    ("T17", None, "2024-10-08T10:00", "jam", 1.0, 4.00, 0.0, False, "same receipt, card not read: Dee's 4.00"),
    ("T17", 5.0, "2024-10-08T10:00", "jam", 1.0, 4.00, 0.0, False, "order_conflict"),
]

WEB = """\
order_no;line;client;email;bought;sku;qty;total;cur;state
0001;1;007;ANA@Example.com ;2024-10-09T10:00:00+02:00;tea;1;3,50;GBP;paid
0001;1;007;ANA@Example.com ;2024-10-09T10:00:00+02:00;tea;1;3,50;GBP;paid
0002;1;008;eva@example.com;2024-10-09T23:30:00Z;tea;2;10,00;EUR;paid
0003;1;008;eva@example.com;2024-10-10 12:00:00;jam;1;12,00;CHF;paid
0004;1;;finn@example.com;2024-10-10 12:00:00;jam;1;4,00;;paid
0005;1;009;nobody;2024-10-10 12:00:00;jam;1;4,00;GBP;cancelled
0006;1;009;nobody;2024-10-10 12:00:00;jam;one;4,00;GBP;paid
C0007;1;008;eva@example.com;2024-10-11 12:00:00;tea;1;3,50;GBP;paid
0008;1;008;eva@example.com;2024-10-11 12:00:00;jam;1;4,00;GBP;paid;what is this
0009;1;008
0010;1;008;eva@example.com;yesterday;jam;1;4,00;GBP;paid
T2;1;008;eva@example.com;2024-10-12 12:00:00;jam;1;4,00;GBP;test
"""

APP = [
    {"id": "A1", "who": {"card": "L-1"}, "at": "2024-10-12T08:00:00Z", "item": "tea", "n": 1, "paid": 3.5},
    {
        "id": "A1",
        "who": {"card": "L-1"},
        "at": "2024-10-12T08:00:00Z",
        "item": "jam",
        "n": 1,
        "paid": 4.0,
        "new": "field",
    },
    "this is no JSON",
    {"id": "A2", "who": {}, "at": "2024-10-12T09:00:00Z", "item": "jam", "n": "2", "paid": "8.00"},
]


TILL_REASONS = {
    "zero_quantity": 1,
    "absurd_quantity": 1,
    "absurd_amount": 2,
    "negative_price": 1,
    "missing_product": 1,
    "missing_order_id": 1,
    "future_time": 1,
    "too_early": 1,
    "bad_time": 1,
    "bad_number": 1,
    "order_conflict": 1,
}
WEB_REASONS = {"unknown_currency": 1, "bad_number": 1, "broken_line": 2, "bad_time": 1}
EXCHANGE = {"EUR": 0.8345}

# net value per order as it must stand in table orders, in pounds
AMOUNTS = {
    "T1": Decimal("12.00"),
    "T2": Decimal("4.00"),
    "T3": Decimal("3.50"),
    "T4": Decimal("3.50"),
    "T5": Decimal("-3.00"),
    "T6": Decimal("-4.00"),
    "T7": Decimal("0.00"),
    "T17": Decimal("7.50"),
    "web-0001": Decimal("3.50"),
    "web-0002": Decimal("8.345"),
    "web-0004": Decimal("4.00"),
    "web-C0007": Decimal("-3.50"),
    "A1": Decimal("7.50"),
    "A2": Decimal("8.00"),
}


def config(folder: Path, only: tuple[str, ...] = ("till", "web", "app", "crm")) -> Config:
    """The configuration of the shop, with all sources or some."""
    sources = [
        {
            "name": "till",
            "dataset": "orders",
            "channel": "pos",
            "files": f"{folder}/till/*.parquet",
            "columns": {
                "order_id": "receipt",
                "customer_id": "card",
                "ordered_at": "at",
                "product_id": "sku",
                "quantity": "n",
                "unit_price": "price",
                "discount": "off",
                "is_return": "returned",
            },
            "checks": {"max_quarantined": 1.0, "max_amount": 10_000},
        },
        {
            "name": "web",
            "dataset": "orders",
            "channel": "web",
            "files": f"{folder}/web/*.csv*",
            "id_space": "shop",
            "columns": {
                "order_id": "'web-' || order_no",
                "line": "line",
                "customer_id": "client",
                "email": "email",
                "ordered_at": "bought",
                "product_id": "sku",
                "quantity": "qty",
                "amount": "replace(total, ',', '.')",
                "currency": "cur",
                "cancelled": "state = 'cancelled'",
                "is_return": "starts_with(order_no, 'C')",
            },
            "where": "state IS DISTINCT FROM 'test'",
            "checks": {"max_quarantined": 1.0},
        },
        {
            "name": "app",
            "dataset": "orders",
            "channel": "app",
            "files": f"{folder}/app/*.ndjson.gz",
            "columns": {
                "order_id": "id",
                "loyalty_id": "who->>'card'",
                "ordered_at": "at",
                "product_id": "item",
                "quantity": "n",
                "amount": "paid",
            },
            "checks": {"max_quarantined": 1.0},
        },
        {
            "name": "crm",
            "dataset": "customers",
            "files": f"{folder}/crm/*.csv",
            "columns": {
                "customer_id": "no",
                "email": "mail",
                "phone": "tel",
                "loyalty_id": "card",
                "first_name": "name",
                "consent_email": "newsletter",
                "updated_at": "changed",
            },
            "checks": {"max_quarantined": 1.0},
        },
    ]
    values: dict[str, object] = {
        "lake": str(folder / "lake"),
        "timezone": "Europe/London",
        "currency": "GBP",
        "country": "GB",
        "exchange_rates": EXCHANGE,
        "buckets": 4,
        "identity": {"max_records_per_key": 3},
        "sources": sources,
    }
    return Config(**{**values, "sources": [source for source in sources if source["name"] in only]})


CRM = """\
no,name,mail,tel,card,newsletter,changed
1,Ana,ana@example.com,020 7946 0001,L-1,yes,2024-09-01T10:00:00Z
2,Ben,office@example.com,020 7946 0999,,no,2024-09-01T10:00:00Z
3,Cem,office@example.com,+44 20 7946 0999,,,2024-09-01T10:00:00Z
4,Dee,office@example.com,(020) 7946-0999,,,2024-09-01T10:00:00Z
5,Gus,office@example.com,02079460999,,maybe,2024-09-01T10:00:00Z
1,Anna,ana@example.com,020 7946 0001,L-1,yes,2024-08-01T10:00:00Z
,,,,,yes,2024-09-01T10:00:00Z
"""


def write(folder: Path) -> None:
    """Write the shop's files below ``folder``."""
    for name in ("till", "web", "app", "crm"):
        (folder / name).mkdir(parents=True)
    names = ("receipt", "card", "at", "sku", "n", "price", "off", "returned", "why")
    columns = dict(zip(names, zip(*LONDON_TILL, strict=True), strict=True))
    write_file(folder / "till" / "october.parquet", columns)
    write_text(folder / "web" / "october.csv", WEB)
    lines = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in APP)
    path = folder / "app" / "october.ndjson.gz"
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))
    _date(path)
    write_text(folder / "crm" / "people.csv", CRM)


def write_file(path: Path, columns: dict[str, object], at: datetime = WRITTEN) -> None:
    """Write one Parquet file that was last changed ``at``."""
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    _date(path, at)


def write_text(path: Path, text: str, at: datetime = WRITTEN) -> None:
    path.write_text(text, encoding="utf-8")
    _date(path, at)


def _date(path: Path, at: datetime = WRITTEN) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))
