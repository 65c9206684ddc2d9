"""When people need a product again."""

import numpy as np

from tasks.recommendations.own_history import pairs_before
from tasks.recommendations.purchases import Purchases
from tasks.recommendations.replenishment import due_days, learn_rhythm


def sorted_purchases(rows):
    customer, item, day = (np.array(column, np.int64) for column in zip(*sorted(set(rows)), strict=True))
    return Purchases(customer, item, day)


def random_shop(*, customers=400, mean_gap=14.0, spread=0.5, days=400, stops=0.0):
    """Customers with log-normal gaps of their own mean; a share stops coming at a random day."""
    chance = np.random.default_rng(3)
    rows = []
    for customer in range(customers):
        own = np.log(mean_gap) + chance.normal(0, 0.4)
        end = days if chance.random() >= stops else chance.integers(1, days)
        day = float(chance.integers(0, 60))
        while day < end:
            rows.append((customer, customer % 5, int(day)))
            day += max(1.0, np.exp(own + chance.normal(0, spread)))
    return sorted_purchases(rows)


def next_days(bought, pairs):
    following = {}
    for customer, item, day in zip(bought.customer, bought.item, bought.day, strict=True):
        if day >= pairs.cutoff:
            following.setdefault((customer, item), day - pairs.cutoff)
    return np.array([following.get(key, np.inf) for key in zip(pairs.customer, pairs.item, strict=True)])


def test_eight_of_ten_next_purchases_fall_into_the_interval():
    bought = random_shop()
    pairs = pairs_before(bought, 300)
    due = due_days(pairs, learn_rhythm(bought, 300, 5))
    real = next_days(bought, pairs)
    assert 0.74 < np.mean((real >= due.first) & (real <= due.last)) < 0.92
    assert 0.42 < np.mean(real <= due.middle) < 0.62


def test_customers_who_stopped_widen_the_interval_instead_of_breaking_it():
    bought = random_shop(stops=0.6)
    pairs = pairs_before(bought, 300)
    due = due_days(pairs, learn_rhythm(bought, 300, 5))
    real = next_days(bought, pairs)
    known = ~np.isnan(due.middle) & (due.middle < 100)
    assert 0.4 < np.mean(real[known] <= due.middle[known]) < 0.65
    assert np.isnan(due.middle[pairs.last_age > 90]).mean() > 0.8  # perhaps never
    assert np.isnan(due.middle[pairs.last_age < 14]).mean() < 0.1


def test_later_purchases_do_not_change_what_was_due():
    bought = random_shop(customers=50)
    pairs = pairs_before(bought, 200)
    whole = due_days(pairs, learn_rhythm(bought, 200, 5))
    known = due_days(pairs, learn_rhythm(bought.before(200), 200, 5))
    for name in ("first", "middle", "last", "gap_days"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(known, name))


def test_the_interval_is_in_order_and_never_in_the_past():
    bought = random_shop(stops=0.3)
    pairs = pairs_before(bought, 250)
    due = due_days(pairs, learn_rhythm(bought, 250, 5))
    known = ~np.isnan(due.last)
    assert known.any()
    assert (due.first[known] >= 0).all()
    assert (due.first[known] <= due.middle[known]).all()
    assert (due.middle[known] <= due.last[known]).all()


def test_one_purchase_tells_no_rhythm():
    bought = sorted_purchases([(0, 0, 10), (1, 0, 20)])
    due = due_days(pairs_before(bought, 30), learn_rhythm(bought, 30, 1))
    assert np.isnan(due.middle).all()
    assert np.isnan(due.gap_days).all()
