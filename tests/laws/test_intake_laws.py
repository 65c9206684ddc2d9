"""Laws of intake over arbitrary data."""

import os
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.config import Config, IdentitySettings, Source
from tasks.intake.columns import DATASETS
from tasks.intake.contacts import customer_key_sql, normal_email_sql, normal_phone, plain_id_sql
from tasks.intake.identity import resolve
from tasks.intake.intake import take_in
from tasks.intake.mapping import locked_database, mapped_sql, mapped_types
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS

WRITTEN = datetime(2024, 6, 1, tzinfo=UTC)
BEFORE = date(2024, 5, 1)
AS_OF = date(2024, 6, 1)

RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from([f"{space}:{number}" for space in ("main", "shop") for number in range(6)]),
            "email": st.sampled_from([None, "a@x.org", "b@x.org", "c@x.org"]),
            "phone": st.sampled_from([None, None, "+441", "+442"]),
            "loyalty_id": st.sampled_from([None, None, "L1", "L2"]),
        }
    ),
    max_size=14,
)


_DATABASE = duckdb.connect()


@contextmanager
def _scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in which nothing stays."""
    _DATABASE.begin()
    try:
        yield _DATABASE
    finally:
        _DATABASE.rollback()


def _resolve(
    records: list[dict[str, Any]], known: list[tuple[Any, ...]], as_of: date, shared: int
) -> list[tuple[Any, ...]]:
    rows = [
        {
            "source": f"s{position}",
            "customer_key": record["key"],
            "email": record["email"],
            "phone": record["phone"],
            "loyalty_id": record["loyalty_id"],
            "updated_at": WRITTEN,
        }
        for position, record in enumerate(records)
    ]
    identity = [dict(zip(CONTRACTS["identity"].names, row, strict=True)) for row in known]
    with _scratch() as db:
        db.register("customer_records", pa.Table.from_pylist(rows, schema=CONTRACTS["customer_records"].schema))
        db.register("identity", pa.Table.from_pylist(identity, schema=CONTRACTS["identity"].schema))
        resolve(db, IdentitySettings(max_records_per_key=shared), as_of)
        names = ", ".join(CONTRACTS["identity"].names)
        return db.sql(f"SELECT {names} FROM resolved ORDER BY customer_key").fetchall()


def _components(records: list[dict[str, Any]], shared: int) -> set[frozenset[str]]:
    """The same by hand: merge groups that share a key until nothing changes."""
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        for name in ("email", "phone", "loyalty_id"):
            if record[name]:
                holders[name, record[name]].add(record["key"])
    groups = [{record["key"]} for record in records]
    groups += [keys for keys in holders.values() if 2 <= len(keys) <= shared]
    joined: list[set[str]] = []
    for group in groups:
        touching = [other for other in joined if other & group]
        joined = [other for other in joined if not other & group] + [group.union(*touching)]
    return {frozenset(group) for group in joined}


@settings(max_examples=25, deadline=None)
@given(RECORDS, st.integers(2, 4), st.randoms(use_true_random=False))
def test_customers_are_the_connected_components_whatever_the_order_of_records(records, shared, chance):
    resolved = _resolve(records, [], AS_OF, shared)
    by_customer: dict[str, set[str]] = defaultdict(set)
    for key, customer, *_ in resolved:
        by_customer[customer].add(key)
    assert {frozenset(keys) for keys in by_customer.values()} == _components(records, shared)
    shuffled = records.copy()
    chance.shuffle(shuffled)
    assert [row[:2] for row in _resolve(shuffled, [], AS_OF, shared)] == [row[:2] for row in resolved]


@settings(max_examples=25, deadline=None)
@given(RECORDS, RECORDS)
def test_an_id_once_given_names_the_same_record_for_ever(first, more):
    before = _resolve(first, [], BEFORE, 100)
    after = {key: customer for key, customer, *_ in _resolve(first + more, before, AS_OF, 100)}
    owners = {customer: key for key, customer, *_ in before if customer in {key, key.removeprefix("main:")}}
    given_before = {customer for _, customer, *_ in before}
    for customer in given_before & set(after.values()):
        assert after[owners[customer]] == customer
    kept = [customer for _, customer, *_ in before if customer in set(after.values())]
    merged_away = given_before - set(after.values())
    assert all(after[owners[customer]] in given_before for customer in merged_away)
    assert bool(kept) == bool(before)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=25), st.sampled_from(["", "GB", "DE"]))
def test_any_text_is_a_number_in_one_spelling_or_none(text, country):
    spelled = normal_phone(text, country)
    assert spelled is None or (
        spelled[0] == "+" and spelled[1:].isdigit() and normal_phone(spelled, country) == spelled
    )


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["main", "shop", "main2"]), st.text("ab1:", min_size=1, max_size=4)), unique=True
    )
)
def test_different_people_never_share_a_plain_id(people):
    with _scratch() as db:
        keys = [f"{space}:{name}" for space, name in people]
        db.register("keys", pa.table({"key": pa.array(keys, pa.string())}))
        assert db.sql(f"SELECT count(DISTINCT key), count(DISTINCT {plain_id_sql('key')}) FROM keys").fetchall()[0] == (
            len(set(keys)),
            len(set(keys)),
        )


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=30))
def test_addresses_in_one_spelling_stay_as_they_are(text):
    with _scratch() as db:
        once = db.execute(f"SELECT {normal_email_sql('$text')}", {"text": text}).fetchall()[0][0]
        if once is not None:
            assert db.execute(f"SELECT {normal_email_sql('$text')}", {"text": once}).fetchall()[0][0] == once
            key = customer_key_sql("main")
            found = db.execute(
                f"SELECT {key} FROM (SELECT NULL AS customer_id, NULL AS loyalty_id, $text AS email, NULL AS phone)",
                {"text": once},
            ).fetchall()[0][0]
            assert found.startswith("contact:")
            assert once not in found


@pytest.mark.parametrize("dataset", sorted(DATASETS))
@settings(max_examples=8, deadline=None)
@given(cells=st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_no_text_in_any_column_breaks_the_mapping(dataset, cells):
    names = [column.name for column in DATASETS[dataset]]
    table = pa.table({"#row": list(range(len(cells))), "cell": pa.array(cells, pa.string())})
    source = Source(dataset=dataset, files="x.csv", columns=dict.fromkeys(names, "cell"))
    with locked_database("1GB") as db:
        types = mapped_types(db, source, table.schema)
        db.register("theirs", table)
        assert len(db.sql(mapped_sql(source, table.schema, types, "Europe/London")).fetchall()) == len(cells)


SALES = st.lists(
    st.fixed_dictionaries(
        {
            "receipt": st.sampled_from(["R1", "R2", "R3", None]),
            "sku": st.sampled_from(["tea", "jam", None]),
            "n": st.sampled_from([1.0, 2.0, -1.0, 0.0, 1e9]),
            "paid": st.decimals(-20, 50, places=2, allow_nan=False).map(float),
        }
    ),
    min_size=1,
    max_size=12,
)
_OWNERS = {"R1": "ana", "R2": "ben", "R3": None, None: None}


def _take(folder: Path, parts: list[list[dict[str, Any]]], lake: str) -> tuple[Any, dict[str, Any]]:
    for number, part in enumerate(parts):
        rows = [
            {**row, "card": _OWNERS[row["receipt"]], "at": datetime.fromisoformat("2024-05-01T10:00")} for row in part
        ]
        path = folder / f"{number:03}.parquet"
        fields = [("receipt", pa.string()), ("sku", pa.string()), ("n", pa.float64()), ("paid", pa.float64())]
        shape = pa.schema([*fields, ("card", pa.string()), ("at", pa.timestamp("us"))])
        pq.write_table(pa.Table.from_pylist(rows, schema=shape), path)
        at = (WRITTEN + timedelta(seconds=number)).timestamp()
        os.utime(path, (at, at))
    columns = {
        "order_id": "receipt",
        "customer_id": "card",
        "ordered_at": "at",
        "product_id": "sku",
        "quantity": "n",
        "amount": "paid",
    }
    source = {"dataset": "orders", "files": f"{folder}/*.parquet", "columns": columns, "checks": {"on_breach": "tell"}}
    config = Config(lake=lake, buckets=2, sources=[source])
    report = take_in(Lake(root=lake, memory_limit="1GB", threads=1), config, AS_OF)
    tables = Lake(root=lake, memory_limit="1GB", threads=1)
    with tables.database([tables.latest("orders"), tables.latest("order_lines")]) as db:
        order = "order_id, customer_id, lines, items, amount, returned_amount"
        content = {
            "orders": db.sql(f"SELECT {order} FROM orders ORDER BY ALL").fetchall(),
            "lines": db.sql("SELECT order_id, product_id, quantity, amount FROM order_lines ORDER BY ALL").fetchall(),
        }
    return report, content


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SALES, st.integers(1, 3), st.integers(0, 1000))
def test_nothing_is_lost_or_doubled_however_rows_are_spread_over_files(sales, files, seed):
    """The same rows in other files and order; identical rows stay in one file, for nothing tells them apart."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("one", "many"):
            (folder / name).mkdir()
        report, whole = _take(folder / "one", [sales], str(folder / "lake1"))
        assert report.sums.balanced
        assert report.sums.rows_read == len(sales)
        assert report.sums.amount_kept == sum((amount for *_, amount in whole["lines"]), Decimal(0))
        assert sum((order[4] for order in whole["orders"]), Decimal(0)) == report.sums.amount_kept
        chance = random.Random(seed)
        parts: list[list[dict[str, Any]]] = [[] for _ in range(files)]
        places: dict[str, int] = {}
        for row in chance.sample(sales, len(sales)):
            parts[places.setdefault(repr(row), chance.randrange(files))].append(row)
        spread_report, spread = _take(folder / "many", parts, str(folder / "lake2"))
        assert spread == whole
        assert spread_report.sums.amount_quarantined == report.sums.amount_quarantined
        again, repeated = _take(folder / "many", [sales], str(folder / "lake2"))
        assert repeated == whole
        assert again.sums.rows_kept == 0
