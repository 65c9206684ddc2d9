"""Expressions become columns: typed, row by row, and unable to reach anything but the row."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from tasks.config import Source
from tasks.intake.mapping import MappingProblemError, find_type_problems, locked_database, mapped_sql, mapped_types


def _source(dataset: str = "orders", **named: Any) -> Source:
    return Source(dataset=dataset, files="x.csv", **named)


def _map(rows: dict[str, Any], zone: str = "UTC", dataset: str = "orders", **columns: str) -> list[dict[str, Any]]:
    table = pa.table(rows)
    table = table.add_column(0, "#row", [list(range(1, len(table) + 1))])
    source = _source(dataset, columns=columns)
    with locked_database("1GB") as db:
        types = mapped_types(db, source, table.schema)
        db.register("theirs", table)
        return db.sql(mapped_sql(source, table.schema, types, zone)).to_arrow_table().to_pylist()


@pytest.mark.parametrize(
    ("written", "zone", "instant"),
    [
        ("2024-07-01 12:00:00", "Europe/London", datetime(2024, 7, 1, 11, tzinfo=UTC)),
        ("2024-07-01T12:00", "America/New_York", datetime(2024, 7, 1, 16, tzinfo=UTC)),
        ("2024-07-01", "Europe/London", datetime(2024, 6, 30, 23, tzinfo=UTC)),
        ("2024-07-01T12:00:00Z", "Europe/London", datetime(2024, 7, 1, 12, tzinfo=UTC)),
        ("2024-07-01T12:00:00.25+05:30", "Europe/London", datetime(2024, 7, 1, 6, 30, 0, 250000, tzinfo=UTC)),
        ("2024-07-01 12:00:00-05", "Europe/London", datetime(2024, 7, 1, 17, tzinfo=UTC)),
        ("2024-11-03 01:30:00", "America/New_York", datetime(2024, 11, 3, 6, 30, tzinfo=UTC)),  # twice: the later
        ("2024-03-10 02:30:00", "America/New_York", datetime(2024, 3, 10, 7, 30, tzinfo=UTC)),  # never: moved on
        ("2024-07-01 12:00:00 UTC", "Europe/London", datetime(2024, 7, 1, 12, tzinfo=UTC)),
        ("soon", "UTC", None),
        ("", "UTC", None),
    ],
)
def test_times_with_an_offset_are_instants_and_others_are_wall_clock(written, zone, instant):
    (row,) = _map({"t": [written]}, zone, ordered_at="t")
    assert row["ordered_at"] == instant
    assert ("bad_time" in row["marks"]) == (instant is None)


def test_timestamps_of_parquet_keep_their_meaning():
    noon = datetime.fromisoformat("2024-07-01T12:00")
    naive = pa.array([noon], pa.timestamp("us"))
    aware = pa.array([noon.replace(tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    assert _map({"t": naive}, "Europe/London", ordered_at="t")[0]["ordered_at"] == datetime(2024, 7, 1, 11, tzinfo=UTC)
    assert _map({"t": naive}, "UTC", ordered_at="t")[0]["ordered_at"] == datetime(2024, 7, 1, 12, tzinfo=UTC)
    assert _map({"t": aware}, "Europe/London", ordered_at="t")[0]["ordered_at"] == datetime(2024, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(123.0, "123"), (123.5, "123.5"), (123, "123"), ("0123", "0123"), ("  x ", "x"), ("", None), (None, None)],
)
def test_numbers_that_are_names_are_written_as_the_source_means_them(value, text):
    assert _map({"id": [value]}, customer_id="id")[0]["customer_id"] == text


@pytest.mark.parametrize(
    ("value", "number", "bad"),
    [
        ("2", 2.0, False),
        ("2.5", 2.5, False),
        ("two", None, True),
        ("nan", None, True),
        ("", None, True),
        ("1e3", 1000.0, False),
    ],
)
def test_a_number_that_cannot_be_read_is_marked(value, number, bad):
    (row,) = _map({"n": [value]}, quantity="n")
    assert (row["quantity"], row["marks"] == "bad_number") == (number, bad)


@pytest.mark.parametrize(
    ("value", "flag"),
    [("yes", True), ("TRUE", True), ("0", False), ("n", False), ("perhaps", None), (1, True), (True, True)],
)
def test_flags_are_read_as_people_write_them(value, flag):
    assert _map({"f": [value]}, gift="f")[0]["gift"] is flag


@pytest.mark.parametrize("value", [["tea", " jam", ""], "tea, jam,"])
def test_lists_may_be_lists_or_text_with_commas(value):
    assert _map({"v": [value]}, dataset="sessions", products_viewed="v")[0]["products_viewed"] == ["tea", "jam"]


def test_an_expression_that_fails_on_one_row_leaves_the_others_alone():
    rows = _map({"a": ["10", "x", "30"]}, quantity="CAST(a AS INTEGER) / 10")
    assert [row["quantity"] for row in rows] == [1.0, None, 3.0]
    assert [row["marks"] for row in rows] == ["", "bad_number", ""]


def test_a_column_named_like_a_word_of_sql_needs_no_quotes():
    assert _map({"order": ["R1"]}, order_id="order")[0]["order_id"] == "R1"


@pytest.mark.parametrize(
    "expression",
    [
        "(SELECT content FROM read_text('/etc/hostname'))",
        "(SELECT count(*) FROM read_csv('/etc/hostname'))",
        "(SELECT 1 FROM glob('/*'))",
        "getenv('HOME')",
        "a FROM theirs; SET enable_external_access = true; SELECT a",
        "sum(a::INTEGER)",
    ],
)
def test_an_expression_reaches_nothing_but_its_row(expression):
    with pytest.raises(MappingProblemError):
        _map({"a": ["1"]}, quantity=expression)


def test_the_database_of_expressions_cannot_be_unlocked():
    import duckdb

    with locked_database("1GB") as db:
        for attempt in ("SET enable_external_access = true", "COPY (SELECT 1) TO '/tmp/x.csv'", "INSTALL httpfs"):
            with pytest.raises(duckdb.Error):
                db.execute(attempt)


SCHEMA = pa.schema(
    [("Basket", pa.string()), ("bought", pa.int64()), ("price", pa.string()), ("lines", pa.list_(pa.string()))]
)


@pytest.mark.parametrize(
    ("column", "expression", "key", "words"),
    [
        ("order_id", "baskett", "columns.order_id", "no column 'baskett' in the file. Did you mean Basket?"),
        ("ordered_at", "bought", "columns.ordered_at", "to_timestamp"),
        ("quantity", "price * lines", "columns.quantity", "CAST(… AS DOUBLE)"),
        ("order_id", "lines", "columns.order_id", "gives VARCHAR[] where a text is needed"),
        ("order_id", "upper(", "columns.order_id", "syntax error"),
    ],
)
def test_what_does_not_fit_is_named_with_key_and_remedy(column, expression, key, words):
    problems = find_type_problems(_source(columns={column: expression}), SCHEMA)
    assert [problem.key for problem in problems] == [key]
    assert words in problems[0].text


def test_all_problems_are_listed_at_once():
    source = _source(columns={"order_id": "nope", "product_id": "neither"}, where="also_not > 1")
    keys = [problem.key for problem in find_type_problems(source, SCHEMA)]
    assert keys == ["columns.order_id", "columns.product_id", "where"]
