"""Laws of the lifetime models that hold for every parameter and every history."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from tasks.features import bg_nbd, gamma_gamma, pareto_nbd
from tasks.features.lifetime_value import (
    BgNbd,
    GammaGamma,
    MbgNbd,
    ParetoNbd,
    fit_bg_nbd,
    fit_gamma_gamma,
    fit_mbg_nbd,
    fit_pareto_nbd,
)
from tasks.features.purchase_histories import distinct_histories

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
FITS = settings(max_examples=3, deadline=None, derandomize=True)

positive = st.floats(-2.5, 2.5).map(lambda power: 10.0**power)
parameters = st.tuples(positive, positive, positive, positive)


@st.composite
def histories(draw):
    """A few customers: one-time, loyal and heavy buyers, new today, last seen long ago or just now."""
    rows = []
    for _ in range(draw(st.integers(1, 8))):
        age = draw(st.one_of(st.just(0.0), st.floats(0.1, 500)))
        frequency = draw(st.sampled_from([0, 0, 1, 2, 7, 40, 3000])) if age else 0
        seen = draw(st.one_of(st.just(1.0), st.floats(0.001, 1))) if frequency else 0.0
        rows.append((frequency, age * seen, age))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def models(values):
    first, second, third, fourth = values
    rest = {"log_likelihood": 0.0, "standard_errors": {}}
    return (
        BgNbd(r=first, alpha=second, a=third, b=fourth, **rest),
        MbgNbd(r=first, alpha=second, a=third, b=fourth, **rest),
        ParetoNbd(r=first, alpha=second, s=third, beta=fourth, **rest),
    )


def assert_gradient(likelihood, values):
    """Central differences in the logarithm of each parameter agree with the analytic gradient."""
    values = np.array(values)
    value, gradient = likelihood(values)
    step = 1e-5
    for index in range(len(values)):
        factor = np.exp(step * (np.arange(len(values)) == index))
        difference = (likelihood(values * factor)[0] - likelihood(values / factor)[0]) / (2 * step)
        slack = 1e-6 * abs(difference) + 1e-9 * abs(value) + 1e-5
        assert gradient[index] * values[index] == pytest.approx(difference, rel=1e-5, abs=slack)


@LAWS
@given(parameters, st.lists(st.integers(1, 5), min_size=8, max_size=8), histories())
def test_analytic_gradients_of_purchase_models_equal_differences(values, weights, rows):
    if not np.any(rows[0]):
        rows = (np.append(rows[0], 2), np.append(rows[1], 3.0), np.append(rows[2], 9.0))
    known = distinct_histories(*rows, np.resize(weights, len(rows[0])))
    assert_gradient(lambda at: bg_nbd.log_likelihood(at, known, 0), values)
    assert_gradient(lambda at: bg_nbd.log_likelihood(at, known, 1), values)
    assert_gradient(lambda at: pareto_nbd.log_likelihood(at, known), values)


@LAWS
@given(
    st.tuples(positive, positive, positive), st.lists(st.tuples(st.integers(1, 3000), positive), min_size=1, max_size=6)
)
def test_analytic_gradient_of_gamma_gamma_equals_differences(values, rows):
    spend = gamma_gamma.distinct_spend(*zip(*rows, strict=True))
    assert_gradient(lambda at: gamma_gamma.log_likelihood(at, spend), values)


@LAWS
@given(parameters, histories(), st.floats(0, 1000))
def test_probabilities_stay_within_0_and_1(values, rows, horizon):
    for model in models(values):
        for probability in (model.alive_probability(*rows), model.no_purchase_probability(horizon, *rows)):
            assert np.all((probability >= 0) & (probability <= 1))


@LAWS
@given(parameters, histories())
def test_without_a_repeat_purchase_everyone_is_alive_in_bg_nbd_and_a_known_share_in_mbg_nbd(values, rows):
    nobody_returned = np.zeros_like(rows[0]), np.zeros_like(rows[1]), rows[2]
    bg, mbg, _ = models(values)
    assert np.all(bg.alive_probability(*nobody_returned) == 1)
    share = expit(np.log(mbg.b / mbg.a) - mbg.r * np.log1p(rows[2] / mbg.alpha))
    np.testing.assert_allclose(mbg.alive_probability(*nobody_returned), share, rtol=1e-9)


@LAWS
@given(parameters, histories(), st.floats(0.01, 300), st.floats(1.01, 5))
def test_a_longer_horizon_brings_more_purchases_and_less_silence(values, rows, horizon, times):
    for model in models(values):
        short, long = (model.expected_purchases(length, *rows) for length in (horizon, horizon * times))
        assert np.all(np.isfinite(long))
        assert np.all(short >= 0)
        assert np.all(long >= short * (1 - 1e-6))
        quiet, quieter = (model.no_purchase_probability(length, *rows) for length in (horizon, horizon * times))
        assert np.all(quieter <= quiet + 1e-9)
        # Whoever buys at all buys at least once.
        assert np.all(long * (1 + 1e-6) + 1e-9 >= 1 - quieter)


@LAWS
@given(parameters, st.floats(0.1, 100), st.integers(0, 50), st.floats(0.1, 300))
def test_longer_silence_means_less_alive(values, recency, frequency, silence):
    recency = recency if frequency else 0.0
    for model in models(values):
        alive = model.alive_probability([frequency] * 2, [recency] * 2, [recency + silence, recency + 2 * silence])
        assert alive[1] <= alive[0]


@LAWS
@given(st.tuples(positive, positive, positive), st.integers(1, 500), positive)
def test_expected_spend_lies_between_own_and_everybodys_average(values, frequency, mean_value):
    p, q, v = values
    model = GammaGamma(p=p, q=q + 1, v=v, log_likelihood=0.0, standard_errors={})
    everybody, own = model.expected_spend(0, 0)[0], model.expected_spend(frequency, mean_value)[0]
    assert min(everybody, mean_value) * (1 - 1e-9) <= own <= max(everybody, mean_value) * (1 + 1e-9)


def shoppers(seed, customers=1500):
    """Enough customers, different enough, that every model has a maximum: days, and average spend."""
    rng = np.random.default_rng(seed)
    age = rng.integers(30, 300, customers).astype(float)
    alive = np.minimum(age, rng.exponential(1 / rng.gamma(0.5, 1 / 20, customers)))
    frequency = rng.poisson(rng.gamma(0.9, 0.1, customers) * alive).astype(float)
    recency = np.where(frequency > 0, np.ceil(alive * rng.beta(np.maximum(frequency, 1), 1)), 0)
    purchases = np.maximum(frequency, 1)
    return frequency, recency, age, rng.gamma(6 * purchases, 1 / rng.gamma(4, 1 / 15, customers)) / purchases


FITTERS = [fit_bg_nbd, fit_mbg_nbd, fit_pareto_nbd]


@pytest.mark.parametrize("fit", FITTERS)
@FITS
@given(seed=st.integers(0, 2**16))
def test_row_order_and_repetition_do_not_matter(fit, seed):
    *rows, _ = shoppers(seed)
    known = fit(*rows)
    order = np.random.default_rng(seed).permutation(len(rows[0]))
    assert fit(*(column[order] for column in rows)) == known
    distinct, counts = np.unique(np.array(rows), axis=1, return_counts=True)
    assert fit(*distinct, counts) == known
    assert fit(*rows) == known


@FITS
@given(seed=st.integers(0, 2**16))
def test_row_order_and_repetition_do_not_matter_for_spend(seed):
    frequency, _, _, value = shoppers(seed)
    order = np.random.default_rng(seed).permutation(len(frequency))
    known = fit_gamma_gamma(frequency, value)
    assert fit_gamma_gamma(frequency[order], value[order]) == known
    twice = fit_gamma_gamma(np.tile(frequency, 2), np.tile(value, 2))
    weighted = fit_gamma_gamma(frequency, value, np.full(len(frequency), 2))
    assert twice == weighted


@pytest.mark.parametrize("fit", FITTERS)
@FITS
@given(seed=st.integers(0, 2**16))
def test_days_or_weeks_give_the_same_customers(fit, seed):
    frequency, recency, age, _ = shoppers(seed)
    by_day, by_week = fit(frequency, recency, age), fit(frequency, recency / 7, age / 7)
    assert by_day.alpha == pytest.approx(7 * by_week.alpha, rel=1e-3)
    np.testing.assert_allclose(
        by_day.expected_purchases(91, frequency, recency, age),
        by_week.expected_purchases(13, frequency, recency / 7, age / 7),
        rtol=1e-3,
    )


@LAWS
@given(parameters, histories(), st.floats(0, 300), st.randoms(use_true_random=False))
def test_a_customer_is_predicted_the_same_in_any_company(values, rows, horizon, random):
    order = np.array(random.sample(range(len(rows[0])), len(rows[0])))
    for model in models(values):
        together = model.expected_purchases(horizon, *rows)
        alone = [model.expected_purchases(horizon, *(column[[index]] for column in rows))[0] for index in order]
        np.testing.assert_allclose(alone, together[order], rtol=1e-9, atol=1e-300)
