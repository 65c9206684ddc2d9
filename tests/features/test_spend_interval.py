"""The 80 % interval of spend: in order, around the forecast, and graded by what customers really spent."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.features.backtest import backtest
from tasks.features.spend_interval import interval_grades, learn_bands
from tests.features.purchases import START, database, drawn

AMOUNTS = st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e6)), min_size=1, max_size=20)


def test_eight_of_ten_strangers_spend_within_it_also_where_many_buy_nothing():
    chance = np.random.default_rng(5)
    roots = chance.uniform(1, 30, 20_000)
    spend = np.maximum(chance.normal(roots, 1 + roots / 10), 0) ** 2 * (chance.uniform(size=20_000) > 2 / (roots + 2))
    taught, others = slice(0, 10_000), slice(10_000, None)
    low, high = learn_bands(roots[taught], spend[taught]).around(roots[others])
    graded = interval_grades(spend[others], low, high)
    # the forecast always lies inside, which widens the interval where it is far off
    assert 0.79 < graded["interval_80_coverage"] < 0.86
    assert graded["interval_80_width"] == pytest.approx((high - low).mean())


@given(AMOUNTS)
def test_the_ends_are_in_order_around_the_forecast_and_never_below_zero(amounts):
    roots, spend = np.array(amounts).T
    low, high = learn_bands(roots, spend).around(roots)
    assert (low >= 0).all()
    assert (low <= roots**2 * (1 + 1e-9)).all()
    assert (high >= roots**2 * (1 - 1e-9)).all()


def test_without_intervals_there_is_nothing_to_grade():
    unknown = np.full(2, np.nan)
    assert interval_grades(np.array([10.0, 20.0]), unknown, unknown) == {}
    assert interval_grades(unknown[:0], unknown[:0], unknown[:0]) == {}


def test_the_back_test_finds_it_honest_on_a_small_shop():
    with database(drawn(300, 160, leave=0.05)) as db:
        grades = backtest(db, START + timedelta(days=110), 42)
    found = {
        one.model: one for one in grades if one.target == "lifetime_value" and one.metric == "interval_80_coverage"
    }
    assert set(found) == {"linear"}
    assert 0.7 < found["linear"].value < 0.9
    assert not found["linear"].champion
