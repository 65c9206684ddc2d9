"""Churn: the probability of no order within the horizon, from past cut-offs of the same data, calibrated.

Customers are ranked by a blend of a logistic model, boosted trees and randomised trees, averaged on the log-odds scale.
Probabilities are then calibrated (Platt 1999, Probabilistic Outputs for Support Vector Machines) on customers that the
members had not seen. P(alive) of a lifetime model is no substitute: it says who is gone for good, not who will not buy.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tasks.features.observation import Floats, Observation
from tasks.features.training_rows import TrainingRows, one_thread, scaled

Family: TypeAlias = Literal["blend", "linear", "naive", "share", "none"]
Members: TypeAlias = tuple[Any, ...]

BLEND_CUSTOMERS = 500  # below, trees find patterns in noise
SMALLEST_CLASS = 20  # a probability cannot be learnt from fewer customers who stayed away, or who came
SURE = 1e-4
RECENT_SPEND = "spend_last_13"
TREES_PER_SHARE = 50
SEED = 20_171_002


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Churn:
    """A fitted model of no order within ``horizon_days``; ``note`` says why it is no richer than it is.

    Log-odds = ``intercept`` + ``slope`` times the mean log-odds of the members of all ``shares``, each fitted
    without one group of customers (a linear model on everyone). Family ``share`` gives everyone the share of
    past customers who stayed away; ``none`` knows nothing and predicts missing values; ``naive`` reads
    recent spend alone.
    """

    family: Family
    horizon_days: int
    names: tuple[str, ...]
    unit_value: float
    shares: tuple[Members, ...]
    slope: float
    intercept: float
    note: str

    def predict(self, observation: Observation) -> Floats:
        """Return each customer's probability of no order within the horizon, NaN where nothing can be said."""
        if self.family == "none" or len(observation) == 0:
            return np.full(len(observation), np.nan)
        if self.family == "share":
            return np.full(len(observation), round(float(expit(self.intercept)), 9))
        with one_thread():
            matrix = scaled(observation, self.names, self.unit_value)
            odds = np.mean([_log_odds(members, matrix) for members in self.shares], axis=0)
        chances: Floats = np.round(expit(self.intercept + self.slope * odds), 9)
        return chances


def fit_churn(rows: TrainingRows | None, horizon_days: int, family: Family | None = None) -> Churn:
    """Fit the probability of no order within ``horizon_days``; the family follows from the data unless it is given."""
    chosen, note = _family(rows)
    if family is not None and chosen in ("blend", "linear"):
        chosen, note = family, ""
    if rows is None or chosen in ("share", "none"):
        gone = 0.5 if rows is None else float((~rows.bought).sum() + 1) / (len(rows) + 2)
        return Churn(
            family=chosen,
            horizon_days=horizon_days,
            names=(),
            unit_value=1.0,
            shares=(),
            slope=0.0,
            intercept=float(logit(gone)),
            note=note,
        )
    with one_thread():
        fitted = tuple(_fitted(rows, chosen, inside) for inside in rows.shares())
        slope, intercept = _calibrated(rows, fitted)
        return Churn(
            family=chosen,
            horizon_days=rows.horizon_days,
            names=rows.names,
            unit_value=rows.unit_value,
            shares=fitted if chosen == "blend" else (_fitted(rows, chosen, rows.everyone()),),
            slope=slope,
            intercept=intercept,
            note=note,
        )


def _family(rows: TrainingRows | None) -> tuple[Family, str]:
    if rows is None:
        return "none", "No whole window has passed yet: nobody's absence has been seen, so no probability is given."
    smaller = int(min(rows.bought[rows.newest].sum(), (~rows.bought[rows.newest]).sum()))
    if smaller < SMALLEST_CLASS or not _both_outcomes(rows):
        return "share", f"Only {smaller} customers of the last window differ from the rest: everyone gets the share."
    if rows.customers < BLEND_CUSTOMERS:
        return "linear", f"{rows.customers} customers are too few for trees: a linear model is used."
    return "blend", ""


def _both_outcomes(rows: TrainingRows) -> bool:
    """Whether there are shares to fit on, each with customers who came and customers who did not."""
    return len(rows.shares()) > 1 and all(0 < rows.bought[share].sum() < share.sum() for share in rows.shares())


def _fitted(rows: TrainingRows, family: Family, kept: NDArray[np.bool_]) -> Members:
    matrix, gone = rows.matrix[kept], ~rows.bought[kept]
    if family == "naive":
        recent = {"places": [rows.names.index(RECENT_SPEND)]}
        line = make_pipeline(FunctionTransformer(_logs, kw_args=recent), LogisticRegression(C=1e6, max_iter=2000))
        return (line.fit(matrix, gone),)
    linear = make_pipeline(FunctionTransformer(_logs), StandardScaler(), LogisticRegression(C=0.003, max_iter=2000))
    trees = (_boosted(), _extra_trees(len(gone))) if family == "blend" else ()
    return tuple(member.fit(matrix, gone) for member in (linear, *trees))


def _logs(matrix: Floats, places: list[int] | None = None) -> Floats:
    logs: Floats = np.log1p(np.maximum(matrix if places is None else matrix[:, places], 0))
    return logs


def _boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=120,
        learning_rate=0.07,
        max_leaf_nodes=4,
        min_samples_leaf=100,
        l2_regularization=5.0,
        max_features=0.2,
        early_stopping=False,
        random_state=SEED,
    )


def _extra_trees(rows: int) -> ExtraTreesClassifier:
    return ExtraTreesClassifier(
        n_estimators=TREES_PER_SHARE,
        min_samples_leaf=10,
        max_features=0.3,
        bootstrap=True,
        max_samples=min(1.0, 20_000 / rows),
        random_state=SEED,
        n_jobs=1,
    )


def _log_odds(members: Members, matrix: Floats) -> Floats:
    odds = [logit(np.clip(member.predict_proba(matrix)[:, 1], SURE, 1 - SURE)) for member in members]
    return np.asarray(np.mean(odds, axis=0), dtype=np.float64)


def _calibrated(rows: TrainingRows, fitted: tuple[Members, ...]) -> tuple[float, float]:
    odds = rows.by_strangers(fitted, _log_odds)
    line = LogisticRegression(C=1e6, max_iter=1000).fit(odds[:, None], ~rows.bought)
    return float(line.coef_[0, 0]), float(line.intercept_[0])
