"""Tables keep what was written, refuse what does not fit, and forget nothing until they are told to."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tasks.errors import CheckFailedError, ConfigurationError
from tasks.lake import Lake, Snapshot
from tasks.lake.changes import changed_buckets
from tasks.lake.contracts import CONTRACTS
from tasks.lake.maintain import compact, drop_days, tidy, vacuum

DAY = date(2024, 6, 1)


def total(customer: str, category: str = "tea", amount: str = "3.50", bucket: int = 0) -> dict[str, Any]:
    """What a customer spent on a category."""
    return {
        "customer_id": customer,
        "category": category,
        "lines": 1,
        "amount": Decimal(amount),
        "first_on": DAY,
        "last_on": DAY,
        "bucket": bucket,
    }


def rows(*values: dict[str, Any], table: str = "category_totals") -> pa.Table:
    """Rows in the columns of a table."""
    return pa.Table.from_pylist(list(values), schema=CONTRACTS[table].schema)


def told(lake: Lake, snapshot: Snapshot | None = None) -> list[tuple[Any, ...]]:
    """Customers and amounts of a snapshot, the newest by default."""
    found = lake.read(
        snapshot or lake.latest("category_totals"), columns=["customer_id", "category", "amount", "bucket"]
    )
    return [tuple(row.values()) for row in found.to_pylist()]


def test_a_table_never_written_reads_as_empty_with_all_its_columns(lake):
    found = lake.read(lake.latest("orders"))
    assert len(found) == 0
    assert tuple(found.schema.names) == CONTRACTS["orders"].names


def test_what_is_written_is_read_back_in_the_order_of_its_key(lake):
    lake.replace("category_totals", rows(total("ben"), total("ana", bucket=1)))
    assert told(lake) == [("ana", "tea", Decimal("3.5000"), 1), ("ben", "tea", Decimal("3.5000"), 0)]


def test_the_same_append_counts_once(lake):
    first = lake.append("category_totals", rows(total("ana")), transaction="intake:monday")
    again = lake.append("category_totals", rows(total("ana")), transaction="intake:monday")
    assert again == first
    lake.append("category_totals", rows(total("ben")), transaction="intake:tuesday")
    assert [row[0] for row in told(lake)] == ["ana", "ben"]


def test_replacing_partitions_leaves_the_others_alone_and_may_be_repeated(lake):
    lake.replace("category_totals", rows(total("ana", bucket=0), total("ben", bucket=1), total("cem", bucket=2)))
    for _ in range(2):
        lake.replace("category_totals", rows(total("dee", bucket=1)), where={"bucket": [0, 1]})
        assert [row[0] for row in told(lake)] == ["cem", "dee"]
    lake.replace("category_totals", rows(), where={"bucket": 1})
    assert [row[0] for row in told(lake)] == ["cem"]


def test_rows_outside_the_partitions_being_replaced_are_refused(lake):
    lake.replace("category_totals", rows(total("ana", bucket=0)))
    with pytest.raises(Exception, match="validation check"):
        lake.replace("category_totals", rows(total("ben", bucket=3)), where={"bucket": [0, 1]})
    assert [row[0] for row in told(lake)] == ["ana"]


def test_merging_inserts_new_keys_and_replaces_known_ones(lake):
    lake.merge("category_totals", rows(total("ana"), total("ben")))
    for _ in range(2):
        lake.merge("category_totals", rows(total("ben", amount="9"), total("cem")))
        assert [(row[0], row[2]) for row in told(lake)] == [
            ("ana", Decimal("3.5")),
            ("ben", 9),
            ("cem", Decimal("3.5")),
        ]


def test_deleting_leaves_older_snapshots_readable_until_vacuum(lake):
    before = lake.replace("category_totals", rows(total("ana"), total("ben")))
    lake.delete("category_totals", "customer_id = 'ana'")
    assert [row[0] for row in told(lake)] == ["ben"]
    assert [row[0] for row in told(lake, before)] == ["ana", "ben"]
    assert vacuum(lake, "category_totals", keep_hours=0) == 1
    assert [row[0] for row in told(lake)] == ["ben"]


def test_a_snapshot_stays_what_it_was(lake):
    before = lake.replace("category_totals", rows(total("ana")))
    after = lake.replace("category_totals", rows(total("ben")))
    assert (told(lake, before)[0][0], told(lake, after)[0][0]) == ("ana", "ben")
    assert str(after) == f"category_totals@{after.version}"


def test_changed_buckets_are_those_whose_files_differ(lake):
    old = lake.replace("category_totals", rows(total("ana", bucket=0), total("ben", bucket=1), total("cem", bucket=2)))
    lake.replace("category_totals", rows(total("dee", bucket=1)), where={"bucket": 1})
    new = lake.append("category_totals", rows(total("eva", bucket=3)), transaction="t")
    assert changed_buckets(lake, old, new) == [1, 3]
    assert changed_buckets(lake, new, new) == []
    assert changed_buckets(lake, Snapshot(table="category_totals"), new) == [0, 1, 2, 3]


def test_compacting_joins_files_and_changes_no_row(lake):
    for name in ("ana", "ben", "cem"):
        lake.append("category_totals", rows(total(name)), transaction=name)
    before = lake.fingerprint(lake.latest("category_totals"))
    assert compact(lake, "category_totals") == 3
    assert lake.fingerprint(lake.latest("category_totals")) == before


def test_tidying_changes_no_row_that_is_kept_and_finds_nothing_to_do_the_second_time(tmp_path):
    lake = Lake(root=str(tmp_path))
    for name in ("ana", "ben", "cem"):
        lake.append("category_totals", rows(total(name)), transaction=name)
    before = lake.fingerprint(lake.latest("category_totals"))
    (done,) = [one for one in tidy(lake, date(2024, 6, 30), 90, keep_hours=0) if one.table == "category_totals"]
    assert (done.old_days_dropped, done.files_joined, done.files_removed) == (False, 3, 3)
    assert lake.fingerprint(lake.latest("category_totals")) == before
    again = tidy(lake, date(2024, 6, 30), 90, keep_hours=0)
    assert not any(one.changed for one in again)


def test_days_past_their_retention_are_dropped(lake):
    score = {"score": "r", "quintile": 1, "customers": 1, "lowest": 0.0, "highest": 1.0}
    days = [{"as_of": date(2024, month, 1), **score} for month in (1, 6)]
    lake.replace("score_cuts", rows(*days, table="score_cuts"))
    assert drop_days(lake, date(2024, 6, 30), keep_days=90) == ["score_cuts"]
    assert [row["as_of"] for row in lake.read(lake.latest("score_cuts")).to_pylist()] == [date(2024, 6, 1)]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: table.drop_columns(["amount"]), "missing: ['amount']"),
        (lambda table: table.append_column("extra", pa.array([1])), "unknown: ['extra']"),
        (lambda table: table.set_column(0, "customer_id", pa.array([None], pa.string())), "have no value"),
        (lambda table: table.set_column(3, "amount", pa.array(["much"])), "does not fit"),
        (lambda table: pa.concat_tables([table, table]), "repeat the key customer_id, category"),
    ],
)
def test_rows_that_break_the_contract_are_refused_and_nothing_is_written(tmp_path, spoil, words):
    lake = Lake(root=str(tmp_path), memory_limit="1GB")
    with pytest.raises(CheckFailedError) as caught:
        lake.replace("category_totals", spoil(rows(total("ana"))))
    assert words in str(caught.value)
    assert lake.latest("category_totals").version is None


def test_tables_and_partitions_that_do_not_exist_are_named(tmp_path):
    lake = Lake(root=str(tmp_path))
    with pytest.raises(ConfigurationError, match="no table 'oders'"):
        lake.latest("oders")
    with pytest.raises(ConfigurationError, match="not partitioned by as_of"):
        lake.replace("orders", rows(table="orders"), where={"as_of": DAY})


def test_fingerprints_know_content_not_order(tmp_path):
    lake = Lake(root=str(tmp_path))
    one = lake.fingerprint(lake.replace("category_totals", rows(total("ana"), total("ben"))))
    other = lake.fingerprint(lake.replace("category_totals", rows(total("ben"), total("ana"))))
    changed = lake.fingerprint(lake.replace("category_totals", rows(total("ben"), total("ana", amount="3.51"))))
    assert one == other
    assert one != changed


def test_instants_are_utc_whatever_zone_they_come_in(tmp_path):
    lake = Lake(root=str(tmp_path))
    zoned = pa.array([datetime(2024, 6, 1, 12, tzinfo=UTC)], pa.timestamp("us", tz="America/New_York"))
    table = rows({"person_hash": "h", "kind": "email", "at": datetime(2024, 6, 1, tzinfo=UTC)}, table="forgotten")
    lake.replace("forgotten", table.set_column(2, "at", zoned))
    assert lake.read(lake.latest("forgotten")).to_pylist()[0]["at"] == datetime(2024, 6, 1, 12, tzinfo=UTC)
