"""`segmentation check` sees what is wrong with sources and writes nothing."""

from pathlib import Path

from tasks.intake.inspection import check_sources
from tests.intake.conftest import TILL, WRITTEN


def test_a_good_source_has_no_problems(shop, sale):
    shop.write("till/1.parquet", [sale()])
    assert check_sources(shop.config({**TILL, "files": "till/*.parquet"})) == []


def test_every_problem_names_source_key_and_remedy(shop, sale):
    shop.write("till/1.parquet", [sale()])
    columns = {"order_id": "receipt", "product_id": "skuu", "odered_at": "at", "quantity": "n", "ordered_at": "paid"}
    config = shop.config({**TILL, "files": "till/*.parquet", "columns": columns, "timezone": "Mars"}, country="XX")
    texts = [str(problem) for problem in check_sources(config)]
    assert [text.split(": ")[0] for text in texts] == [
        "source pos-orders, timezone",
        "source pos-orders, columns.odered_at",
        "source pos-orders, columns",
        "source pos-orders, columns.product_id",
        "source pos-orders, columns.ordered_at",
        "source all, country",
    ]
    assert "Did you mean sku?" in texts[3]
    assert "Did you mean ordered_at?" in texts[1]


def test_a_missing_file_is_severe_only_where_the_source_is_required(shop):
    config = shop.config(
        {**TILL, "files": "till/*.parquet", "required": True}, {**TILL, "channel": "web", "files": "web/*.csv"}
    )
    assert [(problem.source, problem.severe) for problem in check_sources(config)] == [
        ("pos-orders", True),
        ("web-orders", False),
    ]


def test_the_newest_file_is_judged(shop, sale):
    shop.write("till/1.parquet", "garbage", WRITTEN)
    shop.write("till/0.parquet", [sale()], WRITTEN.replace(hour=6))
    assert check_sources(shop.config({**TILL, "files": "till/*.parquet"})) == []


def test_checking_writes_nothing(shop, sale):
    shop.write("till/1.parquet", [sale()])
    before = sorted(Path(shop.folder).rglob("*"))
    check_sources(shop.config({**TILL, "files": "till/*.parquet"}))
    assert sorted(Path(shop.folder).rglob("*")) == before
