"""What grades mean, on customers few enough to count by hand."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.features.grading import (
    Candidate,
    auc,
    brier,
    champion_of,
    choose,
    concentration,
    grade,
    interval_coverage,
    mean_absolute_error,
    plain_grade,
    reliability,
    spearman,
    top_decile_lift,
    total_ratio,
)
from tasks.features.observation import Outcome
from tasks.lake.contracts import CONTRACTS

DAY = date(2025, 3, 1)
SPEND = np.array([0.0, 10, 20, 30, 40, 50, 60, 70, 80, 640])
numbers = st.lists(st.integers(0, 1000).map(float), min_size=3, max_size=40).map(np.array)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    gone, score = np.array([1.0, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    assert auc(gone, score) == 3 / 4
    assert auc(gone, np.ones(4)) == 0.5
    assert np.isnan(auc(np.ones(4), score))


@given(numbers, st.integers(0, 2**31))
def test_ranks_are_all_that_ranking_metrics_see(spend, seed):
    score = np.random.default_rng(seed).normal(size=len(spend))
    for metric in (concentration, spearman, top_decile_lift):
        assert metric(spend, score) == pytest.approx(metric(spend, np.exp(score)), nan_ok=True)


@given(numbers, st.integers(0, 2**31))
def test_no_ranking_beats_the_truth(spend, seed):
    score = np.random.default_rng(seed).normal(size=len(spend))
    if spend.any():
        assert top_decile_lift(spend, score) <= top_decile_lift(spend, spend) + 1e-9


def test_the_best_tenth_of_ten_is_one_customer_and_ties_share_it():
    assert top_decile_lift(SPEND, SPEND) == pytest.approx(6.4)
    assert top_decile_lift(SPEND, -SPEND) == 0
    assert top_decile_lift(SPEND, np.zeros(10)) == pytest.approx(1)


def test_errors_are_in_the_unit_of_the_target():
    assert mean_absolute_error(np.array([1.0, 3]), np.array([2.0, 5])) == 1.5
    assert brier(np.array([1.0, 0]), np.array([0.5, 0.5])) == 0.25
    assert total_ratio(np.array([50.0, 50]), np.array([60.0, 60])) == 1.2


def test_a_model_below_its_naive_rival_is_not_used_and_the_grade_says_so():
    candidates = {
        "blend": Candidate({"ranking": -SPEND, "mean": SPEND, "median": SPEND}, note="Few customers."),
        "past_spend": Candidate({"ranking": SPEND, "mean": SPEND, "median": SPEND}, naive=True),
        "oracle": Candidate({"ranking": SPEND}, usable=False),
    }
    grades = grade("lifetime_value", DAY, 28, SPEND, candidates)
    assert champion_of(grades, "lifetime_value") == "past_spend"
    notes = {one.model: one.note for one in grades}
    assert notes["blend"] == "Not used: does not beat past_spend. Few customers."
    assert notes["oracle"].startswith("Ranks only")
    gain = next(one for one in grades if one.model == "blend" and one.metric == "spearman_gain")
    assert gain.value == pytest.approx(-2)
    assert gain.high < 0


def test_a_model_equal_to_its_rival_gains_exactly_nothing():
    same = {"ranking": SPEND + 1, "mean": SPEND + 1, "median": SPEND + 1}
    grades = grade(
        "lifetime_value", DAY, 28, SPEND, {"blend": Candidate(same), "past_spend": Candidate(same, naive=True)}
    )
    gains = [one for one in grades if one.metric.endswith("_gain")]
    assert {(one.value, one.low, one.high) for one in gains} == {(0, 0, 0)}
    assert champion_of(grades, "lifetime_value") == "blend"


def test_where_everybody_did_the_same_the_next_metric_decides():
    candidates = {
        "bold": Candidate({"ranking": np.ones(3), "probability": np.full(3, 0.2)}),
        "right": Candidate({"ranking": np.ones(3), "probability": np.full(3, 0.9)}),
    }
    assert choose("churn", np.ones(3), candidates) == "right"


def test_grades_are_rows_of_their_table():
    rows = [
        one.row(DAY)
        for one in grade(
            "churn",
            DAY,
            28,
            np.array([1.0, 0, 1]),
            {"share": Candidate({"ranking": np.ones(3), "probability": np.full(3, 0.5)})},
        )
    ]
    assert rows
    assert all(set(row) == set(CONTRACTS["model_grades"].schema.names) for row in rows)
    keys = [tuple(row[name] for name in CONTRACTS["model_grades"].key) for row in rows]
    assert len(set(keys)) == len(keys)


def test_a_reliability_curve_compares_what_was_said_with_what_happened():
    said = np.array([0.1] * 10 + [0.8] * 10)
    happened = np.array([0.0] * 9 + [1.0] + [1.0] * 8 + [0.0] * 2)
    low, high = reliability(happened, said, bins=2)
    assert (low.predicted, low.observed, low.customers) == (pytest.approx(0.1), 0.1, 10)
    assert (high.predicted, high.observed, high.customers) == (pytest.approx(0.8), 0.8, 10)


def test_an_open_interval_covers_whoever_did_not_come():
    outcome = Outcome(np.array([5.0, 0, 0]), np.array([1.0, 0, 0]), np.array([3.0, 28, 28]))
    early, late = np.array([2.0, 10, 10]), np.array([4.0, np.nan, 20])
    share, width = interval_coverage(outcome, early, late, 28)
    assert share == pytest.approx(2 / 3)
    assert width == pytest.approx((3 + 19 + 11) / 3)


def test_rankings_as_good_as_each_other_leave_the_choice_to_accuracy():
    spend = np.arange(2000.0)
    nearly = spend.copy()
    nearly[:20] = nearly[:20][::-1]
    candidates = {
        "loud": Candidate({"ranking": spend, "mean": 3 * spend, "median": 3 * spend}),
        "right": Candidate({"ranking": nearly, "mean": spend, "median": spend}),
    }
    assert choose("lifetime_value", spend, candidates) == "right"


def test_ties_among_those_who_spend_nothing_earn_nothing():
    spend = np.array([0.0] * 90 + [10.0] * 10)
    hits_and_ties = np.array([0.0] * 90 + [1.0] * 4 + [0.0] * 6)
    hits_and_noise = hits_and_ties + np.linspace(0.5, 0, 100)
    assert concentration(spend, spend) == pytest.approx(1)
    assert concentration(spend, hits_and_ties) == pytest.approx(0.4)
    assert concentration(spend, -spend) == pytest.approx(-1)
    assert np.isnan(concentration(np.ones(3), np.arange(3.0)))
    assert concentration(spend, hits_and_noise) < concentration(spend, hits_and_ties)


def judged(model, naive, *, before, third=None):
    candidates = {
        "blend": Candidate({"ranking": model, "mean": model, "median": model}),
        "past_spend": Candidate({"ranking": naive, "mean": naive, "median": naive}, naive=True),
    }
    if third is not None:
        candidates["bg_nbd"] = Candidate({"ranking": third, "mean": third, "median": third})
    return grade("lifetime_value", DAY, 28, SPEND, candidates, before=before)


EARLIER = DAY - timedelta(days=28)
ALIKE = SPEND[::-1]


def earlier(*, best):
    names = ("blend", "past_spend")
    return tuple(
        replace(one, champion=one.model == best)
        for name in names
        for one in [plain_grade("lifetime_value", EARLIER, 28, model=name, metric="mae", value=1.0, customers=3)]
    )


def test_the_window_before_chooses_so_that_grades_do_not_flatter_the_champion():
    grades = judged(SPEND, ALIKE, before=earlier(best="past_spend"))
    assert champion_of(grades, "lifetime_value") == "past_spend"
    assert {one.chosen_on for one in grades} == {EARLIER}
    assert {one.note for one in grades} == {
        "Champion: best on the window before.",
        "Not used: did not beat past_spend on the window before.",
    }


def test_a_champion_of_the_window_before_that_falls_below_the_naive_rival_is_replaced():
    grades = judged(ALIKE, SPEND, before=earlier(best="blend"))
    assert champion_of(grades, "lifetime_value") == "past_spend"
    assert "Champion: blend, best before, fell below it on this window." in {one.note for one in grades}


def test_a_model_that_could_not_compete_before_is_given_its_chance_on_this_window():
    grades = judged(ALIKE, ALIKE, before=earlier(best="past_spend"), third=SPEND)
    assert champion_of(grades, "lifetime_value") == "bg_nbd"
    assert {one.chosen_on for one in grades} == {DAY}
