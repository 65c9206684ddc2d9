"""Next order date: the day by which the next order is as likely as not, with an interval that holds four times in five.

A booster ranks customers by how soon they order; customers with similar rank form a band, and the quantiles of what
band members did after past cut-offs are the prediction. Customers who stayed away count as "later than the horizon"
rather than being left out, so a late or open end is said as such (NaN) and never invented. Without a past window the
next order is exponential with a rate between the customer's own and everybody's (Gamma-Poisson, one visit of prior).
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from tasks.features.observation import Floats, Observation
from tasks.features.training_rows import TrainingRows, one_thread, scaled

Family: TypeAlias = Literal["bands", "rhythm"]

QUANTILES = (0.1, 0.5, 0.9)
INSIDE = 0.8
BAND_ROWS = 100
MOST_BANDS = 60
SMALLEST_CUSTOMERS = 200
SEED = 20_171_003


@dataclass(frozen=True, slots=True, eq=False)
class NextOrderForecast:
    """Whole days from the cut-off (0 is the day itself) per customer; NaN means later than the horizon.

    ``earliest`` and ``latest`` are the ends of the 80 % interval, both included; ``middle`` is the day by which the
    order is as likely as not.
    """

    cutoff: date
    earliest: Floats
    middle: Floats
    latest: Floats

    def dates(self) -> tuple[list[date | None], list[date | None], list[date | None]]:
        """Return earliest, middle and latest as dates, None for later than the horizon."""
        return self._dates(self.earliest), self._dates(self.middle), self._dates(self.latest)

    def _dates(self, days: Floats) -> list[date | None]:
        return [None if np.isnan(day) else self.cutoff + timedelta(days=int(day)) for day in days]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NextOrder:
    """A fitted model of the days to the next order; ``note`` says why it is no richer than it is.

    ``edges`` separate the bands of the ranking; ``band_days`` has one row per band and one column per quantile.
    """

    family: Family
    horizon_days: int
    names: tuple[str, ...]
    unit_value: float
    members: tuple[Any, ...]
    edges: Floats
    band_days: Floats
    note: str

    def predict(self, observation: Observation) -> NextOrderForecast:
        """Return the days to the next order of each customer."""
        if self.family == "rhythm" or len(observation) == 0:
            days = _rhythm_days(observation)
        else:
            with one_thread():
                matrix = scaled(observation, self.names, self.unit_value)
                score = np.mean([member.predict(matrix) for member in self.members], axis=0)
            days = self.band_days[np.searchsorted(self.edges, score, side="right")]
        days = np.where(days < self.horizon_days, days, np.nan)
        return NextOrderForecast(observation.cutoff, days[:, 0], days[:, 1], days[:, 2])


def fit_next_order(rows: TrainingRows | None, horizon_days: int) -> NextOrder:
    """Fit the days to the next order; without past windows, or with few customers, each one's own rhythm serves."""
    if rows is None or rows.customers < SMALLEST_CUSTOMERS:
        note = (
            "No whole window has passed yet: the next order follows each customer's own rhythm."
            if rows is None
            else f"{rows.customers} customers are too few to learn from: the next order follows each one's own rhythm."
        )
        return NextOrder(
            family="rhythm",
            horizon_days=horizon_days,
            names=(),
            unit_value=1.0,
            members=(),
            edges=np.zeros(0),
            band_days=np.zeros((0, len(QUANTILES))),
            note=note,
        )
    with one_thread():
        members = tuple(_fitted(rows, inside) for inside in rows.shares())
        # each group is ranked by the booster fitted without it, as customers of the future will be
        scores = rows.by_strangers(members, lambda member, matrix: np.asarray(member.predict(matrix)))
        edges, band_days = _bands(scores, rows)
    return NextOrder(
        family="bands",
        horizon_days=rows.horizon_days,
        names=rows.names,
        unit_value=rows.unit_value,
        members=members,
        edges=edges,
        band_days=band_days,
        note="",
    )


def _fitted(rows: TrainingRows, kept: NDArray[np.bool_]) -> HistGradientBoostingRegressor:
    booster = HistGradientBoostingRegressor(
        loss="squared_error",
        max_iter=120,
        learning_rate=0.06,
        max_leaf_nodes=8,
        min_samples_leaf=60,
        l2_regularization=5.0,
        max_features=0.3,
        early_stopping=False,
        random_state=SEED,
    )
    return booster.fit(rows.matrix[kept], np.log1p(rows.days[kept]))


def _bands(scores: Floats, rows: TrainingRows) -> tuple[Floats, Floats]:
    count = max(1, min(MOST_BANDS, len(scores) // BAND_ROWS))
    edges = np.unique(np.quantile(scores, np.arange(1, count) / count))
    band = np.searchsorted(edges, scores, side="right")
    # Whoever did not order within the horizon orders later: infinity sorts behind every day.
    days = np.where(rows.bought, rows.days, np.inf)
    levels = np.array([_quantiles(days[band == number]) for number in range(len(edges) + 1)])
    return edges, np.maximum.accumulate(levels, axis=0)


def _quantiles(days: Floats) -> list[float]:
    if len(days) == 0:
        return [0.0] * len(QUANTILES)
    earliest, middle, latest = (float(np.quantile(days, level, method="inverted_cdf")) for level in QUANTILES)
    if np.isinf(latest):  # an open end holds everyone above it, so all the fifth outside may lie below
        earliest = float(np.quantile(days, 1 - INSIDE, method="inverted_cdf"))
    return [earliest, min(middle, latest), latest]


def _rhythm_days(observation: Observation) -> Floats:
    if len(observation) == 0:
        return np.zeros((0, len(QUANTILES)))
    visits, tenure = observation.columns["visits"], np.maximum(observation.columns["tenure"], 1)
    usual = tenure.sum() / visits.sum()
    rate = visits / (tenure + usual)
    waits: Floats = np.stack([np.floor(-np.log1p(-level) / rate) for level in QUANTILES], axis=1)
    return waits
