"""Everything that goes wrong in shops lands where it should, and not a row or a penny is lost."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Source
from tasks.intake.casting import mark_sql
from tasks.intake.columns import DATASETS
from tasks.intake.intake import take_in
from tasks.intake.other_rows import other_rows_sql
from tasks.intake.reasons import REASONS
from tasks.intake.report import IntakeReport
from tasks.lake import Lake
from tests.intake import hostile

AS_OF = date(2024, 11, 1)


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lake, IntakeReport, Path]]:
    """The hostile shop after its first run."""
    folder = tmp_path_factory.mktemp("hostile")
    hostile.write(folder)
    config = hostile.config(folder)
    lake = Lake(root=config.lake, memory_limit="1GB", threads=2)
    return lake, take_in(lake, config, AS_OF), folder


def _rows(lake: Lake, table: str, sql: str) -> list[tuple[Any, ...]]:
    with lake.database([lake.latest(table)]) as db:
        return db.sql(f"SELECT {sql} FROM {table} ORDER BY ALL").fetchall()


def test_every_row_is_kept_quarantined_or_a_duplicate(taken):
    _, report, _ = taken
    counted = {
        s.source: (s.sums.rows_read, s.sums.rows_kept, s.sums.rows_quarantined, s.sums.rows_duplicate)
        for s in report.sources
    }
    assert counted == {"crm": (7, 5, 1, 1), "till": (21, 10, 11, 0), "web": (11, 5, 5, 1), "app": (4, 3, 1, 0)}


def test_amounts_reconcile_to_the_penny(taken):
    lake, report, _ = taken
    assert all(source.sums.balanced for source in report.sources)
    in_orders = dict(_rows(lake, "orders", "order_id, amount"))
    assert in_orders == hostile.AMOUNTS
    assert sum(in_orders.values(), Decimal(0)) == report.sums.amount_kept


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("till", hostile.TILL_REASONS),
        ("web", hostile.WEB_REASONS),
        ("app", {"broken_line": 1}),
        ("crm", {"missing_customer": 1}),
    ],
)
def test_each_refused_row_says_why(taken, source, expected):
    lake, _, _ = taken
    found = Counter(
        reason for name, reasons in _rows(lake, "quarantine", "source, reasons") if name == source for reason in reasons
    )
    assert found == expected


def test_every_reason_is_explained():
    told = {*hostile.TILL_REASONS, *hostile.WEB_REASONS}
    for dataset, columns in DATASETS.items():
        source = Source(dataset=dataset, files="x.csv")
        rows = other_rows_sql("rows", source, "2024-01-01")
        told |= set(re.findall(r"THEN '([a-z_]+)'", rows))
        told |= {code for column in columns for code in mark_sql(column, "VARCHAR", "UTC")}
    assert told <= set(REASONS)


def test_a_refused_row_is_kept_as_it_came_with_the_value_at_stake(taken):
    lake, _, _ = taken
    rows = {(s, r): (raw, stake) for s, r, raw, stake in _rows(lake, "quarantine", "source, row, raw, amount_at_stake")}
    assert rows["till", 11][1] == Decimal(90_000)
    assert '"sku":"piano"' in rows["till", 11][0]
    assert "0009;1;008" in rows["web", 11][0]
    assert rows["app", 3][0] == '{"line":"this is no JSON"}'


def test_times_become_instants_and_local_days(taken):
    lake, _, _ = taken
    times = {order: (at, day) for order, at, day in _rows(lake, "orders", "order_id, ordered_at, order_date")}
    assert times["T1"] == (datetime(2024, 10, 5, 9, tzinfo=UTC), date(2024, 10, 5))  # British summer time
    assert times["T3"] == (datetime(2024, 10, 27, 1, 30, tzinfo=UTC), date(2024, 10, 27))  # twice: the later
    assert times["T4"] == (datetime(2024, 3, 31, 1, 30, tzinfo=UTC), date(2024, 3, 31))  # never: moved on
    assert times["web-0001"] == (datetime(2024, 10, 9, 8, tzinfo=UTC), date(2024, 10, 9))  # offset +02:00
    assert times["web-0002"] == (datetime(2024, 10, 9, 23, 30, tzinfo=UTC), date(2024, 10, 10))  # Z, next day in London


def test_returns_are_netted_and_cancelled_orders_are_none(taken):
    lake, _, _ = taken
    returns = {order for order, flag in _rows(lake, "orders", "order_id, is_return") if flag}
    assert returns == {"T5", "T6", "web-C0007"}
    assert "web-0005" not in hostile.AMOUNTS
    assert _rows(lake, "order_lines", "order_id, quantity, amount").count(("web-0005", 0.0, Decimal(0))) == 1


def test_guests_count_in_revenue_but_are_no_customers(taken):
    lake, _, _ = taken
    guests = [order for order, customer in _rows(lake, "orders", "order_id, customer_id") if customer is None]
    assert guests == ["A2", "T2"]


def test_ana_is_one_customer_through_card_app_and_web(taken):
    lake, _, _ = taken
    keys = dict(_rows(lake, "identity", "customer_key, customer_id"))
    assert {key for key, customer in keys.items() if customer == "1"} == {"main:1", "loyalty:L-1", "shop:007"}
    assert _rows(lake, "customers", "customer_id, email, phone, first_name")[0] == (
        "1",
        "ana@example.com",
        "+442079460001",
        "Ana",
    )


def test_an_office_number_joins_nobody(taken):
    lake, _, _ = taken
    keys = dict(_rows(lake, "identity", "customer_key, customer_id"))
    assert [keys[f"main:{number}"] for number in (2, 3, 4, 5)] == ["2", "3", "4", "5"]


def test_a_currency_without_rate_stops_the_run(taken):
    _, report, _ = taken
    assert [(finding.check, finding.subject) for finding in report.stopped] == [("currencies", "web")]
    assert "exchange_rates" in report.stopped[0].message


def test_the_second_run_changes_nothing(taken):
    lake, first, folder = taken
    again = take_in(lake, hostile.config(folder), AS_OF)
    assert again.snapshots == first.snapshots
    assert again.sums.rows_read == 0
    assert again.findings == first.findings
