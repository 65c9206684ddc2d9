"""Files are taken once; a run that is killed after any write and repeated ends where an undisturbed run ends."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ConfigurationError
from tasks.intake.intake import TABLES, take_in
from tasks.lake import Lake, Snapshot
from tests.intake import hostile
from tests.intake.conftest import AS_OF, TILL, WRITTEN

ALL = (*TABLES, "customer_records", "intake_log", "quarantine")


class PowerCut(BaseException):
    """The process is gone."""


class CuttingLake(Lake):
    """A lake whose process dies right after its n-th write."""

    writes: list[int]

    def _after(self, written: Snapshot) -> Snapshot:
        self.writes[0] -= 1
        if self.writes[0] == 0:
            raise PowerCut
        return written

    def append(self, *args: Any, **named: Any) -> Snapshot:
        return self._after(super().append(*args, **named))

    def replace(self, *args: Any, **named: Any) -> Snapshot:
        return self._after(super().replace(*args, **named))

    def merge(self, *args: Any, **named: Any) -> Snapshot:
        return self._after(super().merge(*args, **named))

    def delete(self, *args: Any, **named: Any) -> Snapshot:
        return self._after(super().delete(*args, **named))


def _second_day(folder: Path) -> None:
    """A file that corrects a line, repeats another and names Eva's second account, so that two customers merge."""
    head, first, _, second, *_ = hostile.WEB.splitlines()
    corrected = first.replace("tea;1;3,50", "tea;3;10,50")
    other = second.replace("0002;1;008", "0011;1;010")
    path = folder / "web" / "november.csv"
    hostile.write_text(path, f"{head}\n{corrected}\n{second}\n{other}", hostile.WRITTEN + timedelta(days=1))


def _contents(lake: Lake) -> dict[str, list[Any]]:
    """Everything that is in the lake."""
    with lake.database([lake.latest(table) for table in ALL]) as db:
        return {table: db.sql(f"SELECT * FROM {table} ORDER BY ALL").fetchall() for table in ALL}


@pytest.mark.e2e  # some fifteen runs, each cut somewhere else
def test_a_run_killed_after_any_write_and_repeated_ends_like_an_undisturbed_one(tmp_path):
    shop = tmp_path / "shop"
    hostile.write(shop)
    lake = Lake(root=str(shop / "lake"), memory_limit="1GB", threads=2)
    take_in(lake, hostile.config(shop, only=("crm", "web")), date(2024, 11, 1))
    config = hostile.config(shop, only=("web",))
    _second_day(shop)
    shutil.copytree(config.lake, tmp_path / "before")
    report = take_in(lake, config, date(2024, 11, 2))
    assert (report.sums.rows_kept, report.sums.rows_duplicate) == (2, 1)
    undisturbed = _contents(lake)

    survived = False
    writes = 0
    while not survived:
        writes += 1
        shutil.rmtree(config.lake)
        shutil.copytree(tmp_path / "before", config.lake)
        try:
            cutting = CuttingLake(root=config.lake, memory_limit="1GB", threads=2, writes=[writes])
            take_in(cutting, config, date(2024, 11, 2))
            survived = True
        except PowerCut:
            take_in(lake, config, date(2024, 11, 2))
        assert _contents(lake) == undisturbed, f"cut after write {writes}"
    assert writes > 8


def test_a_file_under_another_name_is_all_duplicates(shop, sale):
    rows = [sale(), sale(), sale(sku="jam", paid=4.0), sale(receipt="R2", card=None)]
    shop.write("till/monday.parquet", rows)
    config = shop.config({**TILL, "files": "till/*.parquet"})
    shop.take(config)
    before = shop.fingerprints("order_lines", "orders", "customers")
    shop.write("till/monday (copy).parquet", rows, WRITTEN + timedelta(hours=1))
    report = shop.take(config)
    assert (report.sums.rows_kept, report.sums.rows_duplicate, report.sums.amount_duplicate) == (0, 4, 14.5)
    assert shop.fingerprints("order_lines", "orders", "customers") == before


def test_an_order_split_over_files_keeps_all_its_lines(shop, sale):
    shop.write("till/part-0.parquet", [sale(sku="tea"), sale(sku="jam", paid=4.0)])
    shop.write("till/part-1.parquet", [sale(sku="milk", paid=1.0), sale(sku="bread", paid=2.0)])
    shop.take(shop.config({**TILL, "files": "till/*.parquet"}))
    assert shop.rows("order_lines", "line, product_id") == [(1, "tea"), (2, "jam"), (3, "milk"), (4, "bread")]


def test_the_same_item_twice_on_a_receipt_stays_twice_when_it_is_sent_again(shop, sale):
    shop.write("till/1.parquet", [sale(), sale()])
    config = shop.config({**TILL, "files": "till/*.parquet"})
    shop.take(config)
    shop.write("till/2.parquet", [sale(), sale(), sale()], WRITTEN + timedelta(hours=1))
    report = shop.take(config)
    assert (report.sums.rows_kept, report.sums.rows_duplicate) == (1, 2)
    assert shop.rows("orders", "lines, amount") == [(3, 10.5)]


NUMBERED = {**TILL, "files": "till/*.parquet", "columns": {**TILL["columns"], "line": "pos"}}


def test_a_numbered_line_sent_again_with_other_content_is_corrected(shop, sale):
    shop.write("till/1.parquet", [sale(pos=1), sale(pos=2, sku="jam", paid=4.0)])
    config = shop.config(NUMBERED)
    shop.take(config)
    shop.write("till/2.parquet", [sale(pos=1), sale(pos=2, sku="jam", n=2.0, paid=8.0)], WRITTEN + timedelta(hours=1))
    report = shop.take(config)
    assert (report.sums.rows_kept, report.sums.rows_duplicate) == (1, 1)
    assert shop.rows("order_lines", "line, product_id, quantity, amount") == [
        (1, "tea", 1.0, 3.5),
        (2, "jam", 2.0, 8.0),
    ]
    assert shop.rows("orders", "amount") == [(11.5,)]


def test_within_a_file_the_last_row_of_a_numbered_line_wins(shop, sale):
    shop.write("till/1.parquet", [sale(pos=1, paid=3.0), sale(pos=1, paid=3.5)])
    report = shop.take(shop.config(NUMBERED))
    assert (report.sums.rows_kept, report.sums.rows_duplicate) == (1, 1)
    assert shop.rows("order_lines", "amount") == [(3.5,)]


def test_a_guest_who_shows_the_card_later_takes_the_whole_order_along(shop, sale):
    shop.write("till/1.parquet", [sale(card=None), sale(card=None, sku="jam", paid=4.0)])
    config = shop.config({**TILL, "files": "till/*.parquet"})
    shop.take(config)
    assert shop.rows("orders", "customer_id") == [(None,)]
    shop.write("till/2.parquet", [sale(card="ana")], WRITTEN + timedelta(hours=1))
    shop.take(config)
    assert shop.rows("orders", "order_id, customer_id, lines") == [("R1", "ana", 2)]
    assert shop.rows("order_lines", "customer_key, product_id") == [("main:ana", "jam"), ("main:ana", "tea")]


def test_an_order_that_changes_hands_leaves_nothing_in_the_old_bucket(shop, sale):
    shop.write("till/1.parquet", [sale(card="ana"), sale(card="ana", sku="jam")])
    config = shop.config({**TILL, "files": "till/*.parquet"}, buckets=64)
    shop.take(config)
    shop.write("till/2.parquet", [sale(card="ben")], WRITTEN + timedelta(hours=1))
    shop.take(config)
    assert shop.rows("orders", "order_id, customer_id, lines") == [("R1", "ben", 2)]
    assert shop.rows("category_totals", "customer_id, lines") == [("ben", 2)]


def test_two_sources_with_the_same_order_number_do_not_mix_customers(shop, sale):
    shop.write("till/1.parquet", [sale(card="ana")])
    shop.write("web/1.parquet", [sale(card="ben", sku="jam", paid=4.0)])
    web = {**TILL, "channel": "web", "files": "web/*.parquet"}
    shop.take(shop.config({**TILL, "files": "till/*.parquet"}, web))
    assert shop.rows("orders", "order_id, customer_id, amount") == [("R1", "ana", 3.5)]
    assert shop.rows("quarantine", "source, reasons, amount_at_stake") == [("web-orders", ["order_conflict"], 4)]


def test_facts_later_than_as_of_are_kept_and_facts_later_than_the_file_are_not(shop, sale):
    shop.write("till/1.parquet", [sale(), sale(receipt="R2", at=datetime.fromisoformat("2024-06-04T10:00"))])
    shop.take(shop.config({**TILL, "files": "till/*.parquet"}), as_of=date(2024, 1, 1))
    assert shop.rows("orders", "order_id") == [("R1",)]
    assert shop.rows("quarantine", "reasons") == [(["future_time"],)]


def test_a_file_without_a_mapped_column_is_quarantined_whole_while_others_go_on(shop, sale):
    broken = sale(receipt="R2")
    del broken["paid"]
    shop.write("till/1.parquet", [broken])
    shop.write("till/2.parquet", [sale()])
    config = shop.config({**TILL, "files": "till/*.parquet"})
    report = shop.take(config)
    refused = [file for file in report.sources[0].files if file.status == "quarantined"]
    assert [Path(file.uri).name for file in refused] == ["1.parquet"]
    assert "columns.amount: there is no column 'paid' in the file" in refused[0].reason
    assert shop.rows("orders", "order_id") == [("R1",)]
    assert shop.rows("quarantine", "row, reasons") == [(0, ["unreadable_file"])]
    shop.write("till/1.parquet", [sale(receipt="R2")], WRITTEN + timedelta(hours=1))
    report = shop.take(config, date(2024, 6, 2))
    assert [file.status for file in report.sources[0].files] == ["taken"]
    assert shop.rows("orders", "order_id") == [("R1",), ("R2",)]


def test_a_file_refused_for_a_wrong_mapping_is_taken_when_the_mapping_is_mended(shop, sale):
    shop.write("till/1.parquet", [sale()])
    wrong = {**TILL, "files": "till/*.parquet", "columns": {**TILL["columns"], "amount": "piad"}}
    report = shop.take(shop.config(wrong))
    assert "Did you mean paid?" in report.sources[0].files[0].reason
    assert [finding.check for finding in report.stopped] == ["whole_files"]
    report = shop.take(shop.config({**TILL, "files": "till/*.parquet"}))
    assert report.sums.rows_kept == 1
    assert shop.rows("quarantine") == []
    assert report.stopped == ()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("till/1.parquet", b"PAR1 but not really", "cannot be read"),
        ("till/1.csv.gz", b"\x1f\x8b not gzip at all", "cannot be read"),
        ("till/1.csv", b"", "is empty"),
        ("till/1.ndjson", "[1, 2]\nnothing", "holds no line with a JSON object"),
        ("till/1.xlsx", b"PK", "its name ends in .xlsx"),
    ],
)
def test_a_file_that_cannot_be_read_is_quarantined_whole(shop, sale, name, content, reason):
    shop.write(name, content)
    report = shop.take(shop.config({**TILL, "files": "till/*"}))
    assert report.sources[0].files[0].status == "quarantined"
    assert reason in report.sources[0].files[0].reason


def test_new_columns_in_later_files_are_no_trouble(shop, sale):
    shop.write("till/1.parquet", [sale()])
    shop.write("till/2.parquet", [sale(receipt="R2", loyalty_points=7)], WRITTEN + timedelta(hours=1))
    report = shop.take(shop.config({**TILL, "files": "till/*.parquet"}))
    assert report.sums.rows_kept == 2


def test_a_mapping_that_no_file_can_satisfy_is_refused_before_anything_is_written(shop, sale):
    shop.write("till/1.parquet", [sale()])
    columns = {"order_id": "receipt", "costumer_id": "card", "ordered_at": "at"}
    with pytest.raises(ConfigurationError) as caught:
        shop.take(shop.config({**TILL, "files": "till/*.parquet", "columns": columns}))
    assert "columns.costumer_id: is no column of orders. Did you mean customer_id?" in str(caught.value)
    assert "product_id is missing" in str(caught.value)
    assert not Path(shop.lake.root).exists()


def test_another_number_of_buckets_is_refused_before_anything_is_written(shop, sale):
    shop.write("till/1.parquet", [sale(receipt=f"R{number}", card=str(number)) for number in range(20)])
    source = {**TILL, "files": "till/*.parquet"}
    shop.take(shop.config(source, buckets=4))
    before = shop.fingerprints("order_lines", "orders")
    with pytest.raises(ConfigurationError, match="buckets"):
        shop.take(shop.config(source, buckets=8))
    assert shop.fingerprints("order_lines", "orders") == before


def test_instants_of_the_log_name_the_oldest_and_newest_fact(shop, sale):
    shop.write("till/1.parquet", [sale(), sale(receipt="R2", at=datetime.fromisoformat("2024-05-25T10:00"))])
    shop.take(shop.config({**TILL, "files": "till/*.parquet"}))
    assert shop.rows("intake_log", "first_at, last_at, as_of") == [
        (datetime(2024, 5, 20, 9, tzinfo=UTC), datetime(2024, 5, 25, 9, tzinfo=UTC), AS_OF)
    ]
