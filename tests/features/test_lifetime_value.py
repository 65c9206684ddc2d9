"""The lifetime models hit their published tables, recover known parameters and say clearly when data is not enough."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import beta as beta_distribution

from tasks.errors import CheckFailedError, ConfigurationError
from tasks.features.lifetime_value import (
    BgNbd,
    GammaGamma,
    MbgNbd,
    ParetoNbd,
    expected_value,
    fit_bg_nbd,
    fit_gamma_gamma,
    fit_mbg_nbd,
    fit_pareto_nbd,
)

DATA = Path(__file__).parent / "data"
WEEK = 7
PURCHASE_MODELS = [fit_bg_nbd, fit_mbg_nbd, fit_pareto_nbd]
UNFITTED = {"log_likelihood": 0.0, "standard_errors": {}}


def cdnow(name):
    rows = pd.read_csv(DATA / f"cdnow_{name}.csv")
    times = rows.recency_days / WEEK, rows.age_days / WEEK
    return {"frequency": rows.frequency, "recency": times[0], "age": times[1]}, rows.customers, rows.holdout_purchases


def decimals(published):
    """Half a unit of the last printed digit, and no finer than three decimals ask for."""
    return pytest.approx(published, abs=0.0005)


@pytest.mark.parametrize(
    ("name", "fit", "parameters", "log_likelihood"),
    [
        ("sample", fit_bg_nbd, {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}, -9582.429),
        ("sample", fit_mbg_nbd, {"r": 0.5248, "alpha": 6.1831, "a": 0.8914, "b": 1.6140}, -9582.136),
        ("sample", fit_pareto_nbd, {"r": 0.5533, "alpha": 10.5777, "s": 0.6062, "beta": 11.6687}, -9594.976),
        ("full", fit_bg_nbd, {"r": 0.2516, "alpha": 4.7889, "a": 0.7234, "b": 2.1611}, -95368.444),
        ("full", fit_pareto_nbd, {"r": 0.5974, "alpha": 11.5857, "s": 0.5222, "beta": 8.8278}, -95415.119),
    ],
)
def test_purchase_models_hit_the_published_tables(name, fit, parameters, log_likelihood):
    histories, customers, _ = cdnow(name)
    model = fit(**histories, weights=customers)
    assert {key: getattr(model, key) for key in parameters} == decimals(parameters)
    assert model.log_likelihood == pytest.approx(log_likelihood, abs=0.01)
    assert set(model.standard_errors) == set(parameters)


def test_gamma_gamma_hits_the_published_table():
    spend = pd.read_csv(DATA / "cdnow_sample_spend.csv")
    assert len(spend) == 946
    model = fit_gamma_gamma(spend.frequency, spend.repeat_value / spend.frequency)
    assert (model.p, model.q, model.v) == decimals((6.2496, 3.7442, 15.4435))
    assert model.log_likelihood == pytest.approx(-4055.918, abs=0.01)


@pytest.mark.parametrize(
    ("fit", "mean_error", "correlation"), [(fit_bg_nbd, 0.8187, 0.669), (fit_pareto_nbd, 0.7938, 0.671)]
)
def test_weeks_40_to_78_of_all_cdnow_customers_are_forecast_as_published(fit, mean_error, correlation):
    histories, customers, actual = cdnow("full")
    expected = fit(**histories, weights=customers).expected_purchases(39, **histories)
    assert np.average(np.abs(expected - actual), weights=customers) == pytest.approx(mean_error, abs=5e-5)
    everyone = np.repeat(np.arange(len(customers)), customers)
    assert np.corrcoef(expected[everyone], actual[everyone])[0, 1] == pytest.approx(correlation, abs=5e-4)


def test_a_repeat_buyer_of_the_paper_is_expected_to_buy_as_in_the_paper():
    """Customer 1 of the CDNOW sample (Fader, Hardie and Lee 2005, A Note on Implementing the BG/NBD Model in Excel)."""
    paper = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426, **UNFITTED)
    assert paper.expected_purchases(39, 2, 30.43, 38.86) == pytest.approx(1.226, abs=5e-4)


def simulated(rng, customers, rate, chance_to_leave=None, lifetime=None):
    """Histories of customers who buy at ``rate`` until they leave, by chance after purchases or by the clock."""
    rows = []
    for age in rng.uniform(20, 80, customers):
        own_rate, time, bought, last = rate(rng), 0.0, 0, 0.0
        leaving = chance_to_leave(rng) if chance_to_leave else 0.0
        end = min(age, lifetime(rng)) if lifetime else age
        while (time := time + rng.exponential(1 / own_rate)) <= end:
            bought, last = bought + 1, time
            if rng.random() < leaving:
                break
        rows.append((bought, last, age))
    return np.array(rows).T


def assert_recovered(model, truth):
    for name, value in truth.items():
        assert abs(getattr(model, name) - value) < 3 * model.standard_errors[name], name


def test_bg_nbd_recovers_the_parameters_that_made_the_data():
    truth = {"r": 0.8, "alpha": 6.0, "a": 0.9, "b": 2.5}
    rng = np.random.default_rng(7)
    histories = simulated(rng, 4000, lambda g: g.gamma(0.8, 1 / 6), chance_to_leave=lambda g: g.beta(0.9, 2.5))
    assert_recovered(fit_bg_nbd(*histories), truth)


def test_pareto_nbd_recovers_the_parameters_that_made_the_data():
    truth = {"r": 0.8, "alpha": 6.0, "s": 0.9, "beta": 15.0}
    rng = np.random.default_rng(11)
    histories = simulated(
        rng, 4000, lambda g: g.gamma(0.8, 1 / 6), lifetime=lambda g: g.exponential(1 / g.gamma(0.9, 1 / 15))
    )
    assert_recovered(fit_pareto_nbd(*histories), truth)


def test_gamma_gamma_recovers_the_parameters_that_made_the_data():
    rng = np.random.default_rng(13)
    frequency = rng.integers(1, 12, 8000)
    level = rng.gamma(4.0, 1 / 15.0, 8000)
    mean_value = rng.gamma(6.0 * frequency, 1 / level) / frequency
    assert_recovered(fit_gamma_gamma(frequency, mean_value), {"p": 6.0, "q": 4.0, "v": 15.0})


@pytest.mark.parametrize("a", [0.02, 0.999, 1.0, 1.000003, 40.0, 900.0])
@pytest.mark.parametrize("r", [0.6, 2.0])
@pytest.mark.parametrize("horizon", [0.1, 30.0, 4000.0])
def test_expected_purchases_equal_the_integral_that_defines_them(a, r, horizon):
    """Chances to leave p are Beta(a, b + x) now; with p given, purchases come at a rate that p makes decay."""
    alpha, b, x, T = 4.0, 1.7, 6, 50.0
    model = BgNbd(r=r, alpha=alpha, a=a, b=b, **UNFITTED)

    def expected(p):
        return -np.expm1(-(r + x) * np.log1p(p * horizon / (alpha + T))) / p

    chances = beta_distribution(a, b + x)
    logits = np.linspace(-700, 40, 8)

    def weighted(logit):
        p = 1 / (1 + np.exp(-logit))
        return chances.pdf(p) * p * (1 - p) * expected(p) if 0 < p < 1 else 0.0

    pieces = [quad(weighted, low, high, limit=400, epsabs=0)[0] for low, high in pairwise(logits)]
    alive = model.alive_probability(x, 45.0, T)
    assert model.expected_purchases(horizon, x, 45.0, T) / alive == pytest.approx(sum(pieces), rel=1e-6)


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 9.0), (9.0, 2.0), (5.0, 5.0), (1e-3, 400.0), (400.0, 1e-3)])
@pytest.mark.parametrize(("x", "t_x"), [(0, 0.0), (1, 0.5), (8, 20.0), (60, 29.9), (3000, 25.0), (3000, 30.0)])
def test_pareto_nbd_knows_who_is_alive_whatever_the_order_of_alpha_and_beta(alpha, beta, x, t_x):
    r, s, T = 0.7, 0.4, 30.0
    model = ParetoNbd(r=r, alpha=alpha, s=s, beta=beta, **UNFITTED)

    def left(log_since):
        since = np.exp(log_since)
        growth = (r + x) * np.log((alpha + T) / (alpha + t_x + since)) + s * np.log((beta + T) / (beta + t_x + since))
        return np.exp(min(growth, 700)) * s / (beta + t_x + since) * since

    span = T - t_x
    cuts = np.log(span) + np.linspace(-40, 0, 41) if span else []
    odds = sum(quad(left, low, high, epsabs=0)[0] for low, high in pairwise(cuts))
    assert model.alive_probability(x, t_x, T) == pytest.approx(1 / (1 + odds), rel=1e-7, abs=1e-200)


def test_a_shop_where_ana_bought_five_thousand_times_is_fitted_all_the_same():
    histories, customers, _ = cdnow("sample")
    with_ana = {
        key: np.append(values, ana) for (key, values), ana in zip(histories.items(), (5000, 38.995, 39.0), strict=True)
    }
    for fit in PURCHASE_MODELS:
        model = fit(**with_ana, weights=np.append(customers, 1))
        ana = {key: values[-1:] for key, values in with_ana.items()}
        assert 3000 < model.expected_purchases(39, **ana)[0] < 5200
        assert model.alive_probability(5000, 10.0, 39.0)[0] < 1e-9


def test_customers_of_today_have_age_zero_and_do_not_disturb():
    histories, customers, _ = cdnow("sample")
    plus = {key: np.append(values, 0) for key, values in histories.items()}
    for fit in PURCHASE_MODELS:
        with_them, without = fit(**plus, weights=np.append(customers, 500)), fit(**histories, weights=customers)
        if fit is fit_bg_nbd:
            assert with_them.log_likelihood == pytest.approx(without.log_likelihood, abs=1e-5)
        assert with_them.expected_purchases(39, 0, 0, 0) > without.expected_purchases(39, 0, 0, 39)


@pytest.mark.parametrize("fit", PURCHASE_MODELS)
def test_one_time_buyers_alone_teach_nothing_about_repeat_purchases(fit):
    with pytest.raises(CheckFailedError, match=r"None of the 3 customers bought a second time.*longer history"):
        fit([0, 0, 0], [0, 0, 0], [5, 9, 30])


@pytest.mark.parametrize("fit", PURCHASE_MODELS)
@pytest.mark.parametrize("customers", [1, 50])
def test_customers_who_are_all_the_same_do_not_determine_a_model(fit, customers):
    with pytest.raises(CheckFailedError, match=rf"on these {customers} customers: .*use past spend"):
        fit([3] * customers, [10.0] * customers, [20.0] * customers)


def test_spend_without_any_variation_does_not_determine_a_model():
    with pytest.raises(CheckFailedError, match=r"Gamma-Gamma .* p runs to infinity"):
        fit_gamma_gamma([2] * 30, [10.0] * 30)


def test_spend_without_repeat_purchases_says_so():
    with pytest.raises(CheckFailedError, match="None of the 2 customers has a purchase to average"):
        fit_gamma_gamma([0, 0], [0.0, np.nan])


def test_spend_too_unequal_to_have_a_mean_says_so():
    model = GammaGamma(p=2.0, q=0.8, v=5.0, **UNFITTED)
    assert model.expected_spend(3, 10.0)[0] == pytest.approx(2.0 * (5.0 + 30.0) / 5.8)
    with pytest.raises(CheckFailedError, match="1 customers have no expected spend"):
        model.expected_spend([3, 0], [10.0, 0.0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1, 2], [1.0], [2.0]), "lengths differ: frequency 2, recency 1, age 1"),
        (([[1]], [1.0], [2.0]), r"one column.*shape \(1, 1\)"),
        ((["often"], [1.0], [2.0]), "frequency must be numbers"),
        (([1, np.nan], [1.0, 1.0], [2.0, 2.0]), "1 values of frequency are missing or infinite.*first at row 1"),
        (([1], [-1.0], [2.0]), "1 values of recency are negative"),
        (([1], [3.0], [2.0]), "recency exceed the age"),
        (([1.5], [1.0], [2.0]), "frequency are not whole"),
        (([0], [1.0], [2.0]), "not 0 for one-time buyers"),
    ],
)
def test_columns_that_make_no_sense_are_named(columns, message):
    model = MbgNbd(r=1.0, alpha=1.0, a=1.0, b=1.0, **UNFITTED)
    for use in (fit_bg_nbd, fit_pareto_nbd, model.alive_probability):
        with pytest.raises(ConfigurationError, match=message):
            use(*columns)


def test_purchases_without_value_and_negative_weights_are_refused():
    with pytest.raises(ConfigurationError, match="1 customers have purchases worth 0 on average"):
        fit_gamma_gamma([1, 2], [5.0, 0.0])
    with pytest.raises(ConfigurationError, match="weights are negative"):
        fit_bg_nbd([1, 2], [5.0, 1.0], [6.0, 6.0], [1, -1])
    with pytest.raises(ConfigurationError, match="horizon must be a length of time, 0 or more"):
        BgNbd(r=1.0, alpha=1.0, a=1.0, b=1.0, **UNFITTED).expected_purchases(-1, 0, 0, 0)


def test_lifetime_value_is_expected_purchases_times_expected_spend():
    purchases = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426, **UNFITTED)
    spend = GammaGamma(p=6.25, q=3.74, v=15.44, **UNFITTED)
    value = expected_value(
        purchases, spend, 39, frequency=[0, 2], recency=[0, 30], age=[39, 39], mean_value=[np.nan, 30]
    )
    everybody = 6.25 * 15.44 / 2.74
    assert value[0] == pytest.approx(purchases.expected_purchases(39, 0, 0, 39)[0] * everybody)
    assert everybody > value[1] / purchases.expected_purchases(39, 2, 30, 39)[0] > 30
