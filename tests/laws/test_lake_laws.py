"""Laws of the lake: writes repeated change nothing, buckets are the same everywhere, a model by hand agrees."""

from datetime import date
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.lake import Lake
from tasks.lake.buckets import bucket_of, bucket_sql
from tasks.lake.contracts import CONTRACTS

DAY = date(2024, 6, 1)
SCHEMA = CONTRACTS["category_totals"].schema
Key = tuple[str, str]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1), st.integers(1, 4096))
def test_sql_and_python_put_a_key_into_the_same_bucket(keys, buckets):
    with duckdb.connect() as db:
        db.register("keys", pa.table({"key": pa.array(keys, pa.string())}))
        found = dict(db.sql(f"SELECT key, {bucket_sql('key', buckets)} FROM keys").fetchall())
    assert found == {key: bucket_of(key, buckets) for key in keys}
    assert all(0 <= bucket < buckets for bucket in found.values())


def test_buckets_never_change():
    assert [bucket_of(key, 16) for key in ("1", "ana", "shop:77")] == [8, 6, 2]  # md5 of "1" begins with c4ca4238


WRITE = st.tuples(
    st.sampled_from(["append", "replace", "merge"]),
    st.dictionaries(st.tuples(st.sampled_from("abcd"), st.sampled_from("xy")), st.integers(-99, 99), max_size=4),
    st.integers(0, 2),
)


def _rows(values: dict[Key, int], bucket: int) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "customer_id": customer,
                "category": category,
                "lines": 1,
                "amount": Decimal(amount),
                "first_on": DAY,
                "last_on": DAY,
                "bucket": bucket,
            }
            for (customer, category), amount in values.items()
        ],
        schema=SCHEMA,
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(WRITE, min_size=1, max_size=6))
def test_every_write_made_twice_is_made_once_and_agrees_with_a_model(writes):
    model: list[tuple[Any, ...]] = []
    with TemporaryDirectory() as root:
        lake = Lake(root=root, memory_limit="512MB", threads=1)
        for number, (kind, values, bucket) in enumerate(writes):
            fresh = [(*key, amount, bucket) for key, amount in values.items()]
            for _ in range(2):
                match kind:
                    case "append":
                        lake.append("category_totals", _rows(values, bucket), transaction=f"t{number}")
                    case "replace":
                        lake.replace("category_totals", _rows(values, bucket), where={"bucket": bucket})
                    case _ if len({row[:2] for row in model}) == len(model):
                        lake.merge("category_totals", _rows(values, bucket))
            if kind == "append":
                model += fresh
            elif kind == "replace":
                model = [row for row in model if row[3] != bucket] + fresh
            elif len({row[:2] for row in model}) == len(model):
                model = [row for row in model if row[:2] not in values] + fresh
        with lake.database([lake.latest("category_totals")]) as db:
            found = db.sql(
                "SELECT customer_id, category, amount::INTEGER, bucket FROM category_totals ORDER BY ALL"
            ).fetchall()
    assert found == sorted(model)
