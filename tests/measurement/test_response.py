"""Rates and ratios of campaign response, with their intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measurement.response import Rate, Ratio

groups = st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def test_wilsons_interval_of_ten_in_a_hundred():
    low, high = Rate(100, 10).interval
    assert (low, high) == (pytest.approx(0.0606, abs=5e-4), pytest.approx(0.1605, abs=5e-4))


def test_katz_interval_of_a_doubled_rate():
    doubled = Ratio(Rate(200, 40), Rate(200, 20))
    assert doubled.value == 2
    low, high = doubled.interval
    assert low == pytest.approx(2 / math.exp(1.6449 * math.sqrt(1 / 40 - 1 / 200 + 1 / 20 - 1 / 200)), rel=1e-3)
    assert low * high == pytest.approx(4)


@given(groups)
def test_an_interval_holds_its_rate_and_stays_between_zero_and_one(group):
    rate = Rate(*group)
    low, high = rate.interval
    assert 0 <= low <= rate.value + 1e-12
    assert rate.value - 1e-12 <= high <= 1


@given(groups, groups)
def test_swapping_the_groups_turns_the_ratio_over(one, other):
    if not (one[1] and other[1]):
        return
    forth, back = Ratio(Rate(*one), Rate(*other)), Ratio(Rate(*other), Rate(*one))
    assert forth.value * back.value == pytest.approx(1)
    assert forth.interval[0] * back.interval[1] == pytest.approx(1)


def test_nobody_reached_is_not_a_rate_of_zero():
    assert math.isnan(Rate(0, 0).value)
    assert math.isnan(Ratio(Rate(10, 1), Rate(10, 0)).value)
