"""The 80 % interval of spend: in order, around the median, and graded by what customers really spent."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.features.backtest import backtest
from tasks.features.spend_interval import interval_grades, spend_interval
from tests.features.purchases import START, database, drawn

AMOUNTS = st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=20)


def test_eight_of_ten_spend_within_it_where_roots_are_even():
    chance = np.random.default_rng(5)
    root, deviation = chance.uniform(5, 30, 20_000), chance.uniform(0.5, 2, 20_000)
    spend = chance.normal(root, deviation) ** 2
    graded = interval_grades(spend, root**2 + deviation**2, root**2)
    assert graded["interval_80_coverage"] == pytest.approx(0.8, abs=0.01)
    low, high = spend_interval(root**2 + deviation**2, root**2)
    assert graded["interval_80_width"] == pytest.approx((high - low).mean())


@given(AMOUNTS)
def test_the_ends_are_in_order_around_the_median_and_never_below_zero(amounts):
    mean, median = np.array(amounts).T
    low, high = spend_interval(mean, median)
    if (mean > median).any():
        middle = np.minimum(mean, median)
        assert (low >= 0).all()
        assert (low <= middle * (1 + 1e-9)).all()
        assert (high >= middle * (1 - 1e-9)).all()


def test_a_model_that_says_one_number_has_no_interval():
    spend = np.array([10.0, 20.0])
    assert np.isnan(spend_interval(spend, spend)).all()
    assert interval_grades(spend, spend, spend) == {}
    assert interval_grades(spend[:0], spend[:0], spend[:0]) == {}


def test_the_back_test_grades_the_interval_of_models_that_have_one():
    with database(drawn(300, 160, leave=0.1)) as db:
        grades = backtest(db, START + timedelta(days=110), 42)
    found = {
        one.model: one for one in grades if one.target == "lifetime_value" and one.metric == "interval_80_coverage"
    }
    assert set(found) == {"linear"}
    assert 0 < found["linear"].value < 1
    assert found["linear"].customers > 250
    assert not found["linear"].champion
    widths = [one.value for one in grades if one.metric == "interval_80_width"]
    assert len(widths) == 1
    assert widths[0] > 0
