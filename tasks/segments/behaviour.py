"""The behaviour that clusters are made of: windowed rates that mean the same for a new and an old customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.config.base import Settings

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

COLUMNS = (
    "recency_days",
    "orders",
    "monetary",
    "days_since_first_order",
    "gap_ratio",
    "average_order_value",
    *(f"{what}_{days}d" for what in ("spend", "orders") for days in (30, 90, 365)),
)
OUTCOME = "next_spend"
RATES = (
    "recency",
    "silence",
    "basket",
    "month_spend",
    "month_orders",
    "recent_spend",
    "recent_orders",
    "spend_rate",
    "order_rate",
    "life_spend",
)
HABITS = ("recency", "order_rate", "spend_rate", "recent_orders", "recent_spend", "basket", "silence")
_MONTH, _QUARTER, _YEAR = 30, 90, 365


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """Customers with at least one order, sorted; ``rates`` has one column per name in ``RATES``, zero or positive.

    ``next_spend`` is the net spend of the following period, where it is known.
    """

    customer_ids: npt.NDArray[np.object_]
    rates: Array
    next_spend: Array | None = None

    def __len__(self) -> int:
        return len(self.customer_ids)

    def column(self, name: str) -> Array:
        """One rate of all customers."""
        return np.asarray(self.rates[:, RATES.index(name)])

    @property
    def outcome(self) -> Array:
        """``next_spend``, nothing below zero; ``ValueError`` where it is not known."""
        if self.next_spend is None:
            raise ValueError("these customers have no known next period")
        return self.next_spend

    def take(self, rows: Labels | npt.NDArray[np.bool_]) -> Self:
        """The same for some rows, or some rows several times."""
        spend = None if self.next_spend is None else self.next_spend[rows]
        return type(self)(self.customer_ids[rows], self.rates[rows], spend)


def measure(frame: pd.DataFrame) -> Behaviour:
    """Behaviour of those in ``frame`` who ordered; its columns: ``customer_id``, ``COLUMNS``, maybe ``next_spend``."""
    bought = frame[frame["orders"].to_numpy(dtype=float) > 0].sort_values("customer_id")
    numbers = {name: bought[name].to_numpy(dtype=float, na_value=np.nan) for name in COLUMNS}
    spend = bought[OUTCOME].to_numpy(dtype=float).clip(min=0.0) if OUTCOME in bought else None
    return Behaviour(bought["customer_id"].to_numpy(dtype=object), _rates(numbers), spend)


def _rates(numbers: dict[str, Array]) -> Array:
    known = np.maximum(numbers["days_since_first_order"], _MONTH)
    year, quarter = np.minimum(known, _YEAR) / _QUARTER, np.minimum(known, _QUARTER) / _QUARTER
    found = {
        "recency": numbers["recency_days"],
        "silence": np.nan_to_num(numbers["gap_ratio"], nan=1.0),
        "basket": numbers["average_order_value"],
        "month_spend": numbers["spend_30d"],
        "month_orders": numbers["orders_30d"],
        "recent_spend": numbers["spend_90d"] / quarter,
        "recent_orders": numbers["orders_90d"] / quarter,
        "spend_rate": numbers["spend_365d"] / year,
        "order_rate": numbers["orders_365d"] / year,
        "life_spend": numbers["monetary"] / known * _QUARTER,
    }
    return np.asarray(np.maximum(np.nan_to_num(np.stack([found[name] for name in RATES], axis=1), nan=0.0), 0.0))


class Scale(Settings):
    """Rates, a transformation that tames their tails (log, or square root), and the moments to standardise by."""

    names: tuple[str, ...]
    root: bool
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def apply(self, people: Behaviour) -> Array:
        """Standardised behaviour, one row per customer."""
        tamed = _tame(people, self.names, root=self.root)
        return np.asarray((tamed - np.array(self.means)) / np.array(self.deviations))


def fit_scale(people: Behaviour, names: Sequence[str], *, root: bool) -> Scale:
    """Moments of the chosen rates on a log scale, or on a square-root scale."""
    values = _tame(people, names, root=root)
    deviations = values.std(axis=0)
    safe = np.where(deviations > 0, deviations, 1.0)
    return Scale(
        names=tuple(names), root=root, means=tuple(values.mean(axis=0).tolist()), deviations=tuple(safe.tolist())
    )


def _tame(people: Behaviour, names: Sequence[str], *, root: bool) -> Array:
    values = people.rates[:, [RATES.index(name) for name in names]]
    return np.asarray(np.sqrt(values) if root else np.log1p(values))
