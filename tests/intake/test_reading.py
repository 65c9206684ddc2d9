"""Files of every format give the same rows."""

import gzip
import json
from datetime import timedelta

import pytest

from tests.intake.conftest import TILL, WRITTEN

ROWS = [
    {"receipt": "001", "card": "ana", "at": "2024-05-20T10:00:00Z", "sku": "té verde", "n": "1", "paid": "3.50"},
    {"receipt": "002", "card": "", "at": "2024-05-20T11:00:00Z", "sku": 'jam "red"', "n": "2", "paid": "8.00"},
]
EXPECTED = [("001", "ana", "té verde", 3.5), ("002", None, 'jam "red"', 8)]


def _csv(separator: str = ",") -> str:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    lines = [list(ROWS[0]), *([str(value) for value in row.values()] for row in ROWS)]
    return "\n".join(separator.join(cell(text) for text in line) for line in lines) + "\n"


NDJSON = "\n".join(json.dumps(row) for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1.parquet", ROWS),
        ("1.csv", _csv()),
        ("1.tsv", _csv("\t")),
        ("1.CSV", "\ufeff" + _csv(";")),
        ("1.csv.gz", gzip.compress(_csv().encode())),
        ("1.ndjson", NDJSON),
        ("1.jsonl", NDJSON.replace("\n", "\r\n\r\n")),
        ("1.json.gz", gzip.compress(NDJSON.encode())),
    ],
)
def test_every_format_gives_the_same_lines(shop, name, content):
    shop.write(f"till/{name}", content)
    shop.take(shop.config({**TILL, "files": "till/*"}))
    assert shop.rows("order_lines", "order_id, customer_id, product_id, amount") == EXPECTED


def test_a_field_with_a_line_break_is_one_field(shop):
    shop.write("till/1.csv", 'receipt,card,at,sku,n,paid\nR1,ana,2024-05-20,"tea\nstrong",1,3.50\n')
    shop.take(shop.config({**TILL, "files": "till/*"}))
    assert shop.rows("order_lines", "product_id") == [("tea\nstrong",)]


def test_an_old_encoding_is_read_when_it_is_named(shop):
    text = "receipt;card;at;sku;n;paid\nR1;ana;2024-05-20;café;1;3.50\n"
    shop.write("till/1.csv", text.encode("latin-1"))
    source = {**TILL, "files": "till/*"}
    shop.take(shop.config(source))
    assert shop.rows("order_lines", "product_id") == []
    assert shop.rows("quarantine", "reasons") == [(["broken_line"],)]
    shop.write("till/1.csv", text.encode("latin-1"), WRITTEN + timedelta(hours=1))
    shop.take(shop.config({**source, "options": {"encoding": "latin-1"}}))
    assert shop.rows("order_lines", "product_id") == [("café",)]


def test_objects_and_lists_of_ndjson_are_reached_by_expressions(shop):
    order = {"id": 7, "buyer": {"id": 12, "mail": "ana@example.com"}, "at": "2024-05-20", "lines": [{"sku": "tea"}]}
    shop.write("web/1.ndjson", [order])
    columns = {
        "order_id": "id",
        "customer_id": "buyer->>'id'",
        "email": "buyer->>'mail'",
        "ordered_at": "at",
        "product_id": "lines->>'$[0].sku'",
        "amount": "3.5",
    }
    shop.take(shop.config({"dataset": "orders", "channel": "web", "files": "web/*", "columns": columns}))
    assert shop.rows("order_lines", "order_id, customer_id, product_id, quantity") == [("7", "12", "tea", 1.0)]
    assert shop.rows("customers", "customer_id, email") == [("12", "ana@example.com")]


def test_rows_that_do_not_belong_to_a_source_are_not_counted(shop):
    shop.write("till/1.ndjson", ROWS)
    report = shop.take(shop.config({**TILL, "files": "till/*", "where": "receipt = '001'"}))
    assert (report.sums.rows_read, report.sums.rows_kept) == (1, 1)
