"""Expected spend over the horizon: a blend of trees and a linear model fitted on past cut-offs of the same data.

All members predict the square root of spend, where heavy buyers do not drown the rest, and their mean is taken there.
Squared again it is the spend as likely exceeded as missed: the median, best by absolute error. The expected spend is
the mean: that median raised to what past customers spent in total, averaged with a booster of the mean itself (Poisson
loss), which knows best how much the heaviest buyers spend. Totals, rankings and targets read the mean.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tasks.features.observation import Floats, Observation
from tasks.features.spend_interval import SpendBands, learn_bands
from tasks.features.training_rows import TrainingRows, one_thread, scaled

Family: TypeAlias = Literal["blend", "linear", "decayed", "nothing"]
Members: TypeAlias = tuple[Any, ...]

BLEND_CUSTOMERS = 500  # below, trees find patterns in noise
LINEAR_CUSTOMERS = 100
DECAYED = "spend_decayed_8"
MEAN_WEIGHT = 1 / 2  # of the Poisson booster; seven windows of Complete Journey before October 2017 are flat around it
TREES_PER_SHARE = 50
SEED = 20_171_001
LINEAR_COLUMNS = (
    *(f"{kind}_decayed_{half}" for kind in ("spend", "visits", "roots") for half in (1, 2, 4, 8, 16)),
    *(f"spend_unit_{number}" for number in range(4)),
    *(f"spend_period_{number}" for number in range(1, 4)),
    *("recency", "gap_longest", "recency_per_gap_mean", "basket_mean", "basket_median", "coverage", "regularity"),
    "spend_per_day",
)


@dataclass(frozen=True, slots=True, eq=False)
class SpendForecast:
    """Spend over the horizon per customer, in the order of the observation and the retailer's currency.

    ``low`` and ``high`` are the ends of the 80 % interval, NaN where the model says one number only.
    """

    expected: Floats
    median: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ExpectedSpend:
    """A fitted model of spend over ``horizon_days``; ``note`` says why it is simple.

    ``shares`` hold the members that predict the root of spend, fitted once without each group of customers (a linear
    model on everyone); the forecast is their mean. ``mean_over_median`` is what the customers left out spent in total,
    divided by the sum of their medians, and ``bands`` how far each was from it; ``mean_members`` predict the mean
    itself, none where customers are few.
    """

    family: Family
    horizon_days: int
    names: tuple[str, ...]
    unit_value: float
    shares: tuple[Members, ...]
    mean_over_median: float
    mean_members: Members
    bands: SpendBands | None
    note: str

    def predict(self, observation: Observation) -> SpendForecast:
        """Return expected and median spend of each customer; customers may be new to the model."""
        if self.family == "nothing" or len(observation) == 0:
            nothing, unknown = np.zeros(len(observation)), np.full(len(observation), np.nan)
            return SpendForecast(nothing, nothing, unknown, unknown)
        matrix = scaled(observation, self.names, self.unit_value)
        with one_thread():
            carried = [_roots(members, matrix, self.names, self.horizon_days) for members in self.shares or ((),)]
            roots = np.mean(carried, axis=0)
            median = roots**2
            expected = median * self.mean_over_median
            if self.mean_members:
                mean = np.mean([member.predict(matrix) for member in self.mean_members], axis=0)
                expected = (1 - MEAN_WEIGHT) * expected + MEAN_WEIGHT * mean
        unknown = np.full(len(observation), np.nan)
        low, high = self.bands.around(roots) if self.bands else (unknown, unknown)
        return SpendForecast(*(np.round(amount * self.unit_value, 6) for amount in (expected, median, low, high)))


def fit_expected_spend(rows: TrainingRows | None, horizon_days: int, family: Family | None = None) -> ExpectedSpend:
    """Fit spend over ``horizon_days``; the family follows from the number of customers unless it is given.

    Without ``rows`` (no whole window has passed yet) the decayed rate of past spend serves, and the note says so.
    """
    chosen, note = _family(rows)
    if family is not None and chosen in ("blend", "linear"):
        chosen, note = family, ""
    if rows is None or chosen in ("decayed", "nothing"):
        return ExpectedSpend(
            family=chosen,
            horizon_days=horizon_days,
            names=(DECAYED,),
            unit_value=1.0,
            shares=(),
            mean_over_median=1.0,
            mean_members=(),
            bands=None,
            note=note,
        )
    with one_thread():
        fitted = tuple(_fitted(rows, chosen, inside) for inside in rows.shares())
        boosted = rows.shares() if chosen == "blend" else ()
        left_out = rows.by_strangers(
            fitted, lambda members, matrix: _roots(members, matrix, rows.names, rows.horizon_days)
        )
        return ExpectedSpend(
            family=chosen,
            horizon_days=rows.horizon_days,
            names=rows.names,
            unit_value=rows.unit_value,
            shares=fitted if chosen == "blend" else (_fitted(rows, chosen, rows.everyone()),),
            mean_over_median=rows.spend.sum() / (left_out**2).sum() if left_out.any() else 1.0,
            mean_members=tuple(_boosted("poisson", 0.1).fit(rows.matrix[one], rows.spend[one]) for one in boosted),
            bands=learn_bands(left_out, rows.spend),
            note=note,
        )


def _family(rows: TrainingRows | None) -> tuple[Family, str]:
    if rows is None:
        return "decayed", "No whole window has passed yet: the decayed rate of past spend is carried forward."
    if not rows.spend.any():
        return "nothing", "Nobody who had bought came back in any past window: nothing is expected."
    if rows.customers < LINEAR_CUSTOMERS:
        return (
            "decayed",
            f"{rows.customers} customers are too few to learn from: the decayed rate of past spend is used.",
        )
    if rows.customers < BLEND_CUSTOMERS:
        return "linear", f"{rows.customers} customers are too few for trees: a linear model is used."
    return "blend", ""


def _fitted(rows: TrainingRows, family: Family, kept: NDArray[np.bool_]) -> Members:
    matrix, roots = rows.matrix[kept], np.sqrt(rows.spend[kept])
    linear = make_pipeline(_roots_of(LINEAR_COLUMNS, rows.names), StandardScaler(), Ridge(100.0))
    trees = (_boosted("squared_error"), _extra_trees(len(roots))) if family == "blend" else ()
    return tuple(member.fit(matrix, roots) for member in (linear, *trees))


def _roots_of(columns: tuple[str, ...], names: tuple[str, ...]) -> FunctionTransformer:
    """Roots of the linear model's columns: on that scale spend follows from past spend in a straight line."""
    return FunctionTransformer(_picked_roots, kw_args={"places": [names.index(name) for name in columns]})


def _picked_roots(matrix: Floats, places: list[int]) -> Floats:
    return np.sqrt(np.maximum(matrix[:, places], 0))


def _boosted(loss: str, max_features: float = 0.2) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        loss=loss,
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=100,
        l2_regularization=5.0,
        max_features=max_features,
        early_stopping=False,
        random_state=SEED,
    )


def _extra_trees(rows: int) -> ExtraTreesRegressor:
    return ExtraTreesRegressor(
        n_estimators=TREES_PER_SHARE,
        min_samples_leaf=15,
        max_features=0.3,
        max_samples=min(1.0, 20_000 / rows),
        bootstrap=True,
        random_state=SEED,
        n_jobs=1,
    )


def _roots(members: Members, matrix: Floats, names: tuple[str, ...], horizon_days: int) -> Floats:
    """Root of the median spend: the mean of the members and of the decayed rate carried forward."""
    carried = np.sqrt(np.maximum(matrix[:, names.index(DECAYED)], 0) * horizon_days)
    roots = [carried, *(np.maximum(member.predict(matrix), 0) for member in members)]
    return np.asarray(np.mean(roots, axis=0), dtype=np.float64)
