"""Sources are judged by their last batch; what stops a run keeps stopping it until something is done."""

from datetime import date, datetime, timedelta

import pytest

from tests.intake.conftest import TILL, WRITTEN

MONDAY = date(2024, 5, 20)


def _day(sale, number: int, orders: int) -> list[dict[str, object]]:
    at = datetime.fromisoformat("2024-05-20T10:00") + timedelta(days=number)
    return [sale(receipt=f"{number}-{position}", at=at) for position in range(orders)]


def _verdicts(report) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in report.findings if finding.subject == "pos-orders"}


def test_a_source_that_shrank_by_ninety_percent_stops_the_run_and_the_next_one_too(shop, sale):
    config = shop.config({**TILL, "files": "till/*.parquet"})
    shop.write("till/0.parquet", _day(sale, 0, 100))
    assert not shop.take(config, MONDAY + timedelta(days=1)).stopped
    shop.write("till/1.parquet", _day(sale, 1, 10))
    (stopped,) = shop.take(config, MONDAY + timedelta(days=2)).stopped
    assert (stopped.check, round(stopped.value, 6)) == ("shrinkage", 0.9)
    assert "10 rows" in stopped.message
    assert "100 expected" in stopped.message
    assert shop.take(config, MONDAY + timedelta(days=3)).stopped == (stopped,)
    shop.write("till/2.parquet", _day(sale, 2, 90))
    assert shop.take(config, MONDAY + timedelta(days=4)).stopped == ()


def test_a_till_that_fell_silent_is_told_of_and_stops_nothing(shop, sale):
    config = shop.config({**TILL, "files": "till/*.parquet"})
    shop.write("till/0.parquet", _day(sale, 0, 3))
    assert _verdicts(shop.take(config, MONDAY + timedelta(days=2)))["freshness"] == "passed"
    silent = shop.take(config, MONDAY + timedelta(days=3))
    assert _verdicts(silent)["freshness"] == "told"
    assert silent.stopped == ()
    (told,) = [finding for finding in silent.findings if finding.check == "freshness"]
    assert (told.value, told.limit) == (3, 2)


def test_the_day_after_the_first_load_of_a_year_is_no_collapse(shop, sale):
    config = shop.config({**TILL, "files": "till/*.parquet"})
    year = [row for number in range(-40, 0) for row in _day(sale, number, 5)]
    shop.write("till/year.parquet", year)
    shop.take(config, MONDAY)
    shop.write("till/0.parquet", _day(sale, 0, 4))
    report = shop.take(config, MONDAY + timedelta(days=1))
    assert report.stopped == ()
    (shrinkage,) = [finding for finding in report.findings if finding.check == "shrinkage"]
    assert shrinkage.value == pytest.approx(0.2)


def test_too_many_quarantined_rows_stop_or_tell_as_configured(shop, sale):
    rows = [sale(receipt=f"R{number}") for number in range(9)] + [sale(receipt="bad", n=0.0)]
    shop.write("till/1.parquet", rows)
    source = {**TILL, "files": "till/*.parquet"}
    (stopped,) = shop.take(shop.config(source)).stopped
    assert (stopped.check, stopped.value, stopped.limit) == ("quarantined", 0.1, 0.02)
    assert "zero_quantity (1)" in stopped.message
    assert _verdicts(shop.take(shop.config({**source, "checks": {"on_breach": "tell"}})))["quarantined"] == "told"
    assert _verdicts(shop.take(shop.config({**source, "checks": {"max_quarantined": 0.1}})))["quarantined"] == "passed"


def test_an_empty_file_stops_and_no_file_tells(shop, sale):
    source = {**TILL, "files": "till/*.csv"}
    assert _verdicts(shop.take(shop.config(source)))["files"] == "told"
    assert _verdicts(shop.take(shop.config({**source, "required": True})))["files"] == "stopped"
    shop.write("till/1.csv", "receipt,card,at,sku,n,paid\n")
    assert _verdicts(shop.take(shop.config(source)))["rows"] == "stopped"


def test_a_refused_file_stops_only_while_nothing_good_came_since(shop, sale):
    config = shop.config({**TILL, "files": "till/*.parquet"})
    shop.write("till/0.parquet", _day(sale, 0, 10))
    shop.take(config, MONDAY + timedelta(days=1))
    shop.write("till/1.parquet", "garbage", WRITTEN + timedelta(days=1))
    assert _verdicts(shop.take(config, MONDAY + timedelta(days=2)))["whole_files"] == "stopped"
    shop.write("till/2.parquet", _day(sale, 2, 10), WRITTEN + timedelta(days=2))
    assert _verdicts(shop.take(config, MONDAY + timedelta(days=3)))["whole_files"] == "told"
    (shop.folder / "till/1.parquet").unlink()
    assert _verdicts(shop.take(config, MONDAY + timedelta(days=4)))["whole_files"] == "passed"
