"""Back-tests of spend, churn and next order: fit on what was known at a cut-off, grade on the window after it."""

from collections.abc import Mapping
from datetime import date

import duckdb
import numpy as np

from tasks.features.churn import fit_churn
from tasks.features.expected_spend import DECAYED, fit_expected_spend
from tasks.features.grading import Candidate, Grade, grade, interval_coverage, plain_grade, reliability
from tasks.features.next_order import NextOrderForecast, fit_next_order
from tasks.features.observation import Floats, Observation, first_day, observe, training_cutoffs
from tasks.features.rivals import Lifetimes, carried_spend, fit_lifetimes, rfm_sum
from tasks.features.spend_interval import interval_grades
from tasks.features.training_rows import MOST_ROWS, TrainingRows, stack

NAIVE = "past_spend"
RHYTHM = "own_rhythm"


def training_rows(
    db: duckdb.DuckDBPyConnection, cutoff: date, horizon_days: int, most_rows: int = MOST_ROWS
) -> TrainingRows | None:
    """Return the past of ``cutoff`` as training rows, None where no whole window has passed or nobody was there."""
    first = first_day(db)
    if first is None:
        return None
    cutoffs = training_cutoffs(first, cutoff, horizon_days)
    each = most_rows // max(len(cutoffs), 1)
    windows = [observe(db, past, horizon_days, outcome=True, most_customers=each) for past in cutoffs]
    filled = [window for window in windows if len(window)]
    return stack(filled) if filled else None


def backtest(
    db: duckdb.DuckDBPyConnection, cutoff: date, horizon_days: int, before: tuple[Grade, ...] = ()
) -> tuple[Grade, ...]:
    """Grade spend, churn and next order on the window that starts at ``cutoff``; reads the view ``orders``.

    Only facts before ``cutoff`` are fitted on. With the grades of the window ``before``, champions are those it chose.
    The grades are empty when there was no customer before the cut-off.
    """
    observation = observe(db, cutoff, horizon_days, outcome=True)
    if len(observation) == 0:
        return ()
    rows = training_rows(db, cutoff, horizon_days)
    lifetimes = fit_lifetimes(observation)
    outcome = observation.known_outcome()
    gone = (~outcome.bought).astype(np.float64)
    capped = np.minimum(outcome.days, horizon_days)
    churn = churn_candidates(rows, observation, lifetimes)
    orders = next_order_forecasts(rows, observation)
    days = {
        name: Candidate({"days": _capped(said.middle, horizon_days)}, naive=name == RHYTHM)
        for name, said in orders.items()
    }
    spends = spend_candidates(rows, observation, lifetimes)
    return (
        *grade("lifetime_value", cutoff, horizon_days, outcome.spend, spends, before=before),
        *_spend_interval_grades(cutoff, horizon_days, outcome.spend, spends),
        *grade("churn", cutoff, horizon_days, gone, churn, before=before),
        *_reliability_grades(cutoff, horizon_days, gone, churn),
        *grade("next_order", cutoff, horizon_days, capped, days, before=before),
        *_coverage_grades(cutoff, horizon_days, observation, orders),
    )


def spend_candidates(
    rows: TrainingRows | None, observation: Observation, lifetimes: Lifetimes | None
) -> dict[str, Candidate]:
    """Return what each model and rival says about spend, the richest first."""
    model = fit_expected_spend(rows, observation.horizon_days)
    carried, decayed = carried_spend(observation), observation.columns[DECAYED] * observation.horizon_days
    found: dict[str, Candidate] = {}
    if model.family != "decayed":
        said = model.predict(observation)
        amounts = {"ranking": said.expected, "mean": said.expected, "median": said.median}
        found[model.family] = Candidate({**amounts, "low": said.low, "high": said.high}, note=model.note)
    if lifetimes is not None:
        found["bg_nbd"] = _amounts(lifetimes.spend(observation))
    found["decayed_spend"] = _amounts(decayed, note=model.note if model.family == "decayed" else "")
    found[NAIVE] = _amounts(carried, naive=True)
    found["rfm_sum"] = Candidate({"ranking": rfm_sum(observation)}, usable=False)
    found["recency"] = Candidate({"ranking": -observation.columns["recency"]}, usable=False)
    return found


def churn_candidates(
    rows: TrainingRows | None, observation: Observation, lifetimes: Lifetimes | None
) -> dict[str, Candidate]:
    """Return what each model and rival says about who will not order, the richest first."""
    model = fit_churn(rows, observation.horizon_days)
    found: dict[str, Candidate] = {}
    if model.family != "none":
        said = model.predict(observation)
        found[model.family] = Candidate({"ranking": said, "probability": said}, note=model.note)
    if lifetimes is not None:
        chance = lifetimes.no_order(observation)
        found["bg_nbd"] = Candidate({"ranking": -lifetimes.orders(observation), "probability": chance})
    recent: dict[str, Floats] = {"ranking": -carried_spend(observation)}
    naive = fit_churn(rows, observation.horizon_days, family="naive")
    if naive.family == "naive":
        recent["probability"] = naive.predict(observation)
    found[NAIVE] = Candidate(recent, naive=True, usable="probability" in recent)
    found["rfm_sum"] = Candidate({"ranking": -rfm_sum(observation)}, usable=False)
    found["recency"] = Candidate({"ranking": observation.columns["recency"]}, usable=False)
    return found


def next_order_forecasts(rows: TrainingRows | None, observation: Observation) -> dict[str, NextOrderForecast]:
    """Return when each model and rival expects the next order, the richest first."""
    model = fit_next_order(rows, observation.horizon_days)
    found: dict[str, NextOrderForecast] = {}
    if model.family == "bands":
        found[model.family] = model.predict(observation)
    found[RHYTHM] = fit_next_order(None, observation.horizon_days).predict(observation)
    return found


def _amounts(spend: Floats, *, naive: bool = False, note: str = "") -> Candidate:
    return Candidate({"ranking": spend, "mean": spend, "median": spend}, naive=naive, note=note)


def _capped(days: Floats, horizon_days: int) -> Floats:
    return np.where(np.isnan(days), horizon_days, days)


def _reliability_grades(
    cutoff: date, horizon_days: int, gone: Floats, candidates: Mapping[str, Candidate]
) -> list[Grade]:
    grades = []
    for name, candidate in candidates.items():
        if "probability" not in candidate.predictions:
            continue
        for number, part in enumerate(reliability(gone, candidate.predictions["probability"]), start=1):
            for metric, value in (("predicted", part.predicted), ("observed", part.observed)):
                label = f"reliability_{number:02}_{metric}"
                grades.append(
                    plain_grade(
                        "churn", cutoff, horizon_days, model=name, metric=label, value=value, customers=part.customers
                    )
                )
    return grades


def _spend_interval_grades(
    cutoff: date, horizon_days: int, spend: Floats, candidates: Mapping[str, Candidate]
) -> list[Grade]:
    return [
        plain_grade(
            "lifetime_value", cutoff, horizon_days, model=name, metric=metric, value=value, customers=len(spend)
        )
        for name, candidate in candidates.items()
        if {"low", "high"} <= candidate.predictions.keys()
        for metric, value in interval_grades(spend, candidate.predictions["low"], candidate.predictions["high"]).items()
    ]


def _coverage_grades(
    cutoff: date, horizon_days: int, observation: Observation, forecasts: Mapping[str, NextOrderForecast]
) -> list[Grade]:
    grades = []
    for name, said in forecasts.items():
        share, width = interval_coverage(observation.known_outcome(), said.earliest, said.latest, horizon_days)
        for metric, value in (("interval_80_coverage", share), ("interval_80_days", width)):
            grades.append(
                plain_grade(
                    "next_order",
                    cutoff,
                    horizon_days,
                    model=name,
                    metric=metric,
                    value=value,
                    customers=len(observation),
                )
            )
    return grades
