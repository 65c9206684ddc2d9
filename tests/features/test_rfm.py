"""Quintiles of recency, frequency and monetary value."""

import itertools
from decimal import Decimal

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.features.rfm import cuts_sql, scores_sql

customers = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(1, 900)), st.integers(1, 40), st.integers(-50, 5_000)),
    min_size=1,
    max_size=60,
)


def score(rows: list[tuple[int | None, int, int]]) -> list[dict[str, int | None]]:
    measured = pa.table(
        {
            "customer_id": [f"c{position:03}" for position in range(len(rows))],
            "recency_days": pa.array([row[0] for row in rows], pa.int64()),
            "orders": [row[1] if row[0] else 0 for row in rows],
            "monetary": pa.array([Decimal(row[2]) for row in rows], pa.decimal128(18, 4)),
        }
    )
    with duckdb.connect() as db:
        db.register("measured", measured)
        return (
            db.sql(f"SELECT * FROM measured JOIN ({scores_sql('measured')}) USING (customer_id) ORDER BY customer_id")
            .to_arrow_table()
            .to_pylist()
        )


@settings(max_examples=60, deadline=None)
@given(customers)
def test_equal_values_share_a_score_and_better_values_never_score_lower(rows):
    scored = [row for row in score(rows) if row["recency_days"] is not None]
    for value, name, sign in (("recency_days", "r_score", -1), ("orders", "f_score", 1), ("monetary", "m_score", 1)):
        ordered = sorted(scored, key=lambda row: sign * row[value])
        for before, after in itertools.pairwise(ordered):
            if before[value] == after[value]:
                assert before[name] == after[name]
            assert before[name] <= after[name]
        assert all(1 <= row[name] <= 5 for row in scored)


@settings(max_examples=30, deadline=None)
@given(customers)
def test_scores_depend_on_no_row_order(rows):
    by_values = {tuple(list(row.values())[1:4]): row["rfm_score"] for row in score(rows)}
    for row in score(list(reversed(rows))):
        assert by_values[tuple(list(row.values())[1:4])] == row["rfm_score"]


def test_a_customer_without_an_order_has_no_score():
    assert score([(None, 0, 0), (3, 2, 80)])[0]["rfm_score"] is None


def test_a_hundred_different_customers_fill_each_quintile_with_twenty():
    scored = score([(day, day, day) for day in range(1, 101)])
    for name in ("r_score", "f_score", "m_score"):
        assert [sum(row[name] == quintile for row in scored) for quintile in range(1, 6)] == [20] * 5


def test_the_cuts_name_the_borders_of_each_quintile():
    with duckdb.connect() as db:
        db.register("scored", pa.Table.from_pylist(score([(day, day, day) for day in range(1, 101)])))
        cuts = db.sql(f"SELECT * FROM ({cuts_sql('(SELECT *, 1 AS as_of FROM scored)')})")
        rows = {(row[1], row[2]): row[3:] for row in cuts.fetchall()}
    assert rows["m", 5] == (20, 81.0, 100.0)
    assert rows["r", 5] == (20, 1.0, 20.0)
