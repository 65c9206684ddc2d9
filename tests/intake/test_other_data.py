"""Products, campaigns, visits, answers to messages, and people who asked to be forgotten."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from tasks.errors import ConfigurationError
from tasks.lake.contracts import CONTRACTS
from tests.intake.conftest import TILL, WRITTEN

PRODUCTS = {
    "dataset": "products",
    "files": "products/*.ndjson",
    "columns": {"product_id": "sku", "name": "name", "category": "kind", "price": "price", "stock_on_hand": "stock"},
}
MAIL = {
    "name": "mail",
    "dataset": "engagement",
    "channel": "email",
    "files": "mail/*.ndjson",
    "columns": {"email": "mail", "kind": "what", "at": "at", "campaign_id": "campaign", "machine_open": "proxy"},
}
VISITS = {
    "dataset": "sessions",
    "channel": "web",
    "files": "visits/*.ndjson",
    "columns": {
        "session_id": "id",
        "customer_id": "who",
        "started_at": "at",
        "pages": "pages",
        "products_viewed": "seen",
    },
}
LATER = WRITTEN + timedelta(days=1)


def test_a_category_told_later_reaches_old_orders_and_totals(shop, sale):
    shop.write("till/1.parquet", [sale(sku="tea"), sale(sku="jam")])
    config = shop.config({**TILL, "files": "till/*.parquet"}, PRODUCTS)
    shop.take(config)
    assert shop.rows("category_totals", "category, lines") == [("unknown", 2)]
    shop.write(
        "products/1.ndjson", [{"sku": "tea", "name": "Tea", "kind": "drinks", "price": "3.50", "stock": None}], LATER
    )
    shop.take(config, date(2024, 6, 2))
    assert shop.rows("category_totals", "category, lines") == [("drinks", 1), ("unknown", 1)]
    assert shop.rows("orders", "distinct_categories") == [(2,)]


def test_the_newest_row_of_a_product_counts(shop):
    first = {"sku": "tea", "name": "Tea", "kind": "drinks", "price": 3, "stock": 5}
    shop.write("products/1.ndjson", [first, {**first, "price": 4}])
    config = shop.config(PRODUCTS)
    report = shop.take(config)
    assert (report.sums.rows_kept, report.sums.rows_duplicate) == (1, 1)
    shop.write("products/2.ndjson", [{**first, "price": 5, "stock": 0}], LATER)
    shop.take(config)
    assert shop.rows("products", "price, stock_on_hand") == [(5, 0.0)]


def test_campaigns_that_end_before_they_begin_are_refused(shop):
    rows = [
        {"id": "1", "from": "2024-01-01", "to": "2024-02-01"},
        {"id": "2", "from": "2024-02-02", "to": "2024-02-01"},
    ]
    shop.write("campaigns/1.ndjson", rows)
    columns = {"campaign_id": "id", "starts_on": '"from"', "ends_on": "to"}
    shop.take(shop.config({"dataset": "campaigns", "files": "campaigns/*", "columns": columns}))
    assert shop.rows("campaign_calendar", "campaign_id, ends_on") == [("1", date(2024, 2, 1))]
    assert shop.rows("quarantine", "row, reasons") == [(2, ["ends_before_start"])]


def test_visits_are_kept_once_and_anonymous_ones_too(shop):
    rows = [
        {"id": "v1", "who": "ana", "at": "2024-05-20T23:30:00Z", "pages": 3, "seen": "tea, jam"},
        {"id": "v2", "who": None, "at": "2024-05-21T10:00:00Z", "pages": None, "seen": None},
    ]
    shop.write("visits/1.ndjson", rows)
    shop.write("visits/2.ndjson", rows, LATER)
    report = shop.take(shop.config(VISITS))
    assert (report.sums.rows_kept, report.sums.rows_duplicate) == (2, 2)
    assert shop.rows("sessions", "session_id, customer_id, session_date, pages, products_viewed") == [
        ("v1", "ana", date(2024, 5, 21), 3, ["tea", "jam"]),
        ("v2", None, date(2024, 5, 21), None, []),
    ]


def test_events_without_a_number_are_known_by_what_they_say(shop):
    click = {
        "mail": "ana@example.com",
        "what": "Click",
        "at": "2024-05-20T10:00:00Z",
        "campaign": "spring",
        "proxy": None,
    }
    shop.write("mail/1.ndjson", [click, click, {**click, "what": "dance"}])
    shop.write("mail/2.ndjson", [click], LATER)
    report = shop.take(shop.config({**MAIL, "checks": {"max_quarantined": 1.0}}))
    assert (report.sums.rows_kept, report.sums.rows_quarantined, report.sums.rows_duplicate) == (2, 1, 1)
    ((customer, kind, opened), _) = shop.rows("engagement", "customer_id, kind, machine_open")
    assert (customer.split(":")[0], kind, opened) == ("contact", "click", False)
    assert shop.rows("customers", "email") == [("ana@example.com",)]


KEY = "secret"


def _forget(shop, *handles: str) -> None:
    def hashed(handle: str) -> str:
        inner = hashlib.sha256((KEY + handle).encode()).hexdigest()
        return hashlib.sha256((KEY + inner).encode()).hexdigest()

    rows = [
        {"person_hash": hashed(handle), "kind": "email", "at": datetime(2024, 5, 1, tzinfo=UTC)} for handle in handles
    ]
    shop.lake.merge("forgotten", pa.Table.from_pylist(rows, schema=CONTRACTS["forgotten"].schema))


def test_the_forgotten_are_never_taken_in_again_but_their_money_counts(shop, sale):
    _forget(shop, "ana", "ben@example.com")
    people = {
        "dataset": "customers",
        "files": "crm/*.ndjson",
        "columns": {"customer_id": "no", "email": "mail"},
    }
    shop.write("crm/1.ndjson", [{"no": "7", "mail": "Ben@example.com"}, {"no": "8", "mail": "cem@example.com"}])
    shop.write("till/1.parquet", [sale(), sale(receipt="R2", card="8")])
    report = shop.take(shop.config(people, {**TILL, "files": "till/*.parquet"}), person_key=KEY)
    assert shop.rows("customers", "customer_id, email") == [("8", "cem@example.com")]
    assert shop.rows("orders", "order_id, customer_id, amount") == [("R1", None, 3.5), ("R2", "8", 3.5)]
    assert shop.rows("quarantine", "reasons, raw") == [(["forgotten"], "{}")]
    assert report.stopped == ()


def test_without_the_key_of_their_hashes_nothing_is_taken(shop, sale):
    _forget(shop, "ana")
    shop.write("till/1.parquet", [sale()])
    with pytest.raises(ConfigurationError, match="SEGMENTATION_PERSON_KEY"):
        shop.take(shop.config({**TILL, "files": "till/*.parquet"}))
    assert shop.rows("order_lines") == []
