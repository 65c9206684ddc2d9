"""Churn: who will not order, as probabilities that mean what they say."""

from datetime import timedelta

import numpy as np
import pytest

from tasks.features.backtest import churn_candidates, training_rows
from tasks.features.churn import fit_churn
from tasks.features.grading import auc, brier
from tasks.features.observation import observe
from tasks.features.rivals import fit_lifetimes
from tests.features.purchases import START, database, drawn

CUTOFF = START + timedelta(days=125)
HORIZON_DAYS = 42


@pytest.fixture(scope="module")
def many():
    with database(drawn(700, 175, leave=0.08)) as db:
        yield training_rows(db, CUTOFF, HORIZON_DAYS), observe(db, CUTOFF, HORIZON_DAYS, outcome=True)


@pytest.fixture(scope="module")
def gone(many):
    return (~many[1].known_outcome().bought).astype(float)


@pytest.fixture(scope="module")
def said(many):
    return fit_churn(many[0], HORIZON_DAYS).predict(many[1])


def test_the_blend_ranks_better_than_recent_spend_and_recency(many, gone, said):
    assert auc(gone, said) > auc(gone, -many[1].columns["spend_last_13"])
    assert auc(gone, said) > auc(gone, many[1].columns["recency"])


def test_probabilities_are_calibrated_among_strangers(gone, said):
    assert ((said > 0) & (said < 1)).all()
    assert said.mean() == pytest.approx(gone.mean(), abs=0.05)
    assert brier(gone, said) < brier(gone, np.full(len(gone), gone.mean()))
    high, low = said > 0.7, said < 0.15
    assert gone[high].mean() > 0.6
    assert gone[low].mean() < 0.25


def test_the_naive_model_ranks_exactly_by_recent_spend(many):
    said = fit_churn(many[0], HORIZON_DAYS, family="naive").predict(many[1])
    order = np.argsort(many[1].columns["spend_last_13"], kind="stable")
    assert (np.diff(said[order]) <= 1e-9).all()


def test_few_customers_get_a_linear_model_that_says_so():
    with database(drawn(300, 175, leave=0.1)) as db:
        model = fit_churn(training_rows(db, CUTOFF, HORIZON_DAYS), HORIZON_DAYS)
    assert model.family == "linear"
    assert "too few for trees" in model.note


def test_where_hardly_anybody_stays_away_everyone_gets_the_share():
    faithful = [(f"c{n}", START + timedelta(days=7 * week), 10.0 + n) for n in range(150) for week in range(30)]
    with database(faithful) as db:
        model = fit_churn(training_rows(db, CUTOFF, HORIZON_DAYS), HORIZON_DAYS)
        said = model.predict(observe(db, CUTOFF, HORIZON_DAYS))
    assert model.family == "share"
    assert "Only 0 customers" in model.note
    assert len(set(said)) == 1
    assert said[0] < 0.01


def test_every_candidate_that_can_be_chosen_gives_probabilities(many):
    candidates = churn_candidates(many[0], many[1], fit_lifetimes(many[1]))
    assert list(candidates) == ["blend", "bg_nbd", "past_spend", "rfm_sum", "recency"]
    usable = {name: candidate for name, candidate in candidates.items() if candidate.usable}
    assert all(np.isfinite(candidate.predictions["probability"]).all() for candidate in usable.values())


def test_fitting_twice_gives_the_same_bytes(many, said):
    assert fit_churn(many[0], HORIZON_DAYS).predict(many[1]).tobytes() == said.tobytes()
