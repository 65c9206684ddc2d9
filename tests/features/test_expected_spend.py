"""Expected spend: better than carrying the past forward, in any currency, for any number of customers."""

from datetime import timedelta

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tasks.errors import ConfigurationError
from tasks.features.backtest import training_rows
from tasks.features.expected_spend import fit_expected_spend
from tasks.features.grading import mean_absolute_error, spearman
from tasks.features.observation import default_horizon_days, first_day, observe, rhythm_days, training_cutoffs
from tasks.features.rivals import carried_spend
from tests.features.purchases import START, database, drawn

CUTOFF = START + timedelta(days=100)
HORIZON_DAYS = 42


@pytest.fixture(scope="module")
def many():
    with database(drawn(700, 150, leave=0.08)) as db:
        yield training_rows(db, CUTOFF, HORIZON_DAYS), observe(db, CUTOFF, HORIZON_DAYS, outcome=True)


@pytest.fixture(scope="module")
def forecast(many):
    rows, now = many
    model = fit_expected_spend(rows, HORIZON_DAYS)
    assert (model.family, model.note) == ("blend", "")
    return model.predict(now)


def test_the_blend_beats_past_spend(many, forecast):
    now = many[1]
    spend, carried = now.known_outcome().spend, carried_spend(now)
    assert spearman(spend, forecast.expected) > spearman(spend, carried) + 0.02
    assert mean_absolute_error(spend, forecast.median) < 0.95 * mean_absolute_error(spend, carried)


def test_the_mean_is_right_in_total_and_above_the_median(many, forecast):
    spend = many[1].known_outcome().spend
    assert forecast.expected.sum() == pytest.approx(spend.sum(), rel=0.15)
    assert forecast.expected.sum() > forecast.median.sum()
    assert (forecast.median >= 0).all()
    assert (forecast.expected >= 0).all()


def test_the_currency_is_only_a_unit(many):
    purchases = drawn(300, 150)
    with database(purchases) as dollars, database([(who, day, 128 * paid) for who, day, paid in purchases]) as rupees:
        said = [
            fit_expected_spend(training_rows(db, CUTOFF, HORIZON_DAYS), HORIZON_DAYS).predict(
                observe(db, CUTOFF, HORIZON_DAYS)
            )
            for db in (dollars, rupees)
        ]
    # Cents are rounded before the exchange, so the two agree to the cent and not to the bit.
    np.testing.assert_allclose(said[1].expected / 128, said[0].expected, rtol=2e-2, atol=0.2)


@pytest.mark.parametrize(("customers", "family"), [(60, "decayed"), (300, "linear")])
def test_few_customers_get_a_simpler_model_that_says_so(customers, family):
    with database(drawn(customers, 150)) as db:
        model = fit_expected_spend(training_rows(db, CUTOFF, HORIZON_DAYS), HORIZON_DAYS)
        said = model.predict(observe(db, CUTOFF, HORIZON_DAYS)).expected
    assert model.family == family
    assert "too few" in model.note
    assert np.isfinite(said).all()


def test_whoever_is_silent_longer_is_expected_to_spend_less():
    last = {"ana": 1, "ben": 30, "cleo": 80}
    purchases = [
        (who, CUTOFF - timedelta(days=gone + 7 * week), 25.0) for who, gone in last.items() for week in range(5)
    ]
    with database([*drawn(520, 150), *purchases]) as db:
        now = observe(db, CUTOFF, HORIZON_DAYS)
        said = fit_expected_spend(training_rows(db, CUTOFF, HORIZON_DAYS), HORIZON_DAYS).predict(now).expected
    by_name = dict(zip(now.customers, said, strict=True))
    assert by_name["ana"] > by_name["ben"] > by_name["cleo"]


def test_the_number_of_threads_changes_no_bit(many, forecast):
    rows, now = many
    with threadpool_limits(limits=2):
        again = fit_expected_spend(rows, HORIZON_DAYS).predict(now)
    assert again.expected.tobytes() == forecast.expected.tobytes()
    assert again.median.tobytes() == forecast.median.tobytes()


def test_grocery_and_furniture_get_their_own_horizon():
    random = np.random.default_rng(3)
    assert default_horizon_days(random.exponential(7.0, 5000)) in range(63, 106)
    assert default_horizon_days(random.exponential(120.0, 500)) == 364
    assert default_horizon_days([1.0, 1.0, 2.0]) == 28
    assert default_horizon_days([]) == 91
    assert default_horizon_days([float("nan"), 0.0]) == 91


def test_units_of_time_follow_the_horizon_and_never_split_a_week():
    assert [rhythm_days(days) for days in (7, 30, 92, 182, 364)] == [7, 7, 7, 14, 28]


def test_training_cutoffs_leave_a_history_before_and_a_whole_window_after():
    cutoffs = training_cutoffs(START, CUTOFF, HORIZON_DAYS)
    assert cutoffs == tuple(sorted(cutoffs))
    assert cutoffs[-1] == CUTOFF - timedelta(days=HORIZON_DAYS)
    assert cutoffs[0] >= START + timedelta(days=28)
    assert training_cutoffs(START, START + timedelta(days=60), HORIZON_DAYS) == ()


def test_the_first_day_is_that_of_a_purchase():
    with database([("ana", START, -5.0), ("ana", START + timedelta(days=2), 5.0)]) as db:
        assert first_day(db) == START + timedelta(days=2)
    with database([]) as db:
        assert first_day(db) is None


def test_a_horizon_of_nothing_is_refused():
    with database([]) as db, pytest.raises(ConfigurationError, match="one day or more"):
        observe(db, CUTOFF, 0)


def test_an_unobserved_window_cannot_be_read():
    with database([("ana", START, 5.0)]) as db, pytest.raises(ConfigurationError, match="outcome=True"):
        observe(db, CUTOFF, 28).known_outcome()
