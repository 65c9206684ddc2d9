"""Past cut-offs stacked into one training table whose rows stand in an order that depends on their content alone."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tasks.errors import ConfigurationError
from tasks.features.observation import Floats, Observation

T = TypeVar("T")

MOST_ROWS = 200_000
FEW_CUSTOMERS = 2_000  # below, half of the customers teach too little
MANY_FOLDS = 4
MONEY_PREFIXES = ("spend", "roots", "basket_mean", "basket_median", "basket_large")


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """One row per customer and past cut-off: scaled columns and what followed.

    ``unit_value`` is the money that counts as one (a usual order), so a model does not depend on the currency.
    ``spend`` is in that unit and not below zero; ``days`` is censored at the horizon. ``newest`` marks rows of the
    last cut-off; ``fold`` splits customers, not rows, into groups.
    """

    names: tuple[str, ...]
    matrix: Floats
    unit_value: float
    spend: Floats
    bought: NDArray[np.bool_]
    days: Floats
    newest: NDArray[np.bool_]
    fold: NDArray[np.int64]
    horizon_days: int
    customers: int
    cutoffs: int

    def __len__(self) -> int:
        return len(self.spend)

    def everyone(self) -> NDArray[np.bool_]:
        """All rows to fit on."""
        return np.ones(len(self), dtype=bool)

    def shares(self) -> tuple[NDArray[np.bool_], ...]:
        """Rows to fit on, once without each group of customers; all rows where there is but one group.

        Models fitted on the shares serve together: each says how it does on customers it has not seen, and no further
        fit on everyone is needed.
        """
        masks = tuple(self.fold != fold for fold in np.unique(self.fold))
        return masks if len(masks) > 1 else (self.everyone(),)

    def by_strangers(self, fitted: Sequence[T], predict: Callable[[T, Floats], Floats]) -> Floats:
        """What each row is told by the model of ``fitted``, one per share, that does not know its customer.

        Where there is but one share, it knows everybody.
        """
        told = np.zeros(len(self))
        for share, model in zip(self.shares(), fitted, strict=True):
            others = share if share.all() else ~share
            told[others] = predict(model, self.matrix[others])
        return told


@contextmanager
def one_thread() -> Iterator[None]:
    """Run linear algebra and tree learning on one thread: sums in another order would change the last digits."""
    with threadpool_limits(limits=1):
        yield


def stack(windows: Sequence[Observation]) -> TrainingRows:
    """Stack observed windows (all of one horizon, oldest first); raises ConfigurationError if they do not match."""
    if not windows or any(len(window) == 0 for window in windows):
        raise ConfigurationError("Training needs at least one past cut-off with customers before it.")
    if len({(window.horizon_days, window.unit_days) for window in windows}) > 1:
        raise ConfigurationError("All training windows must have the same horizon.")
    names = tuple(sorted(windows[-1].columns))
    unit_value = usual_order(windows[-1])
    matrix = np.vstack([scaled(window, names, unit_value) for window in windows])
    outcomes = [window.known_outcome() for window in windows]
    spend = np.maximum(np.concatenate([outcome.spend for outcome in outcomes]), 0) / unit_value
    draw = np.concatenate([window.draw for window in windows])
    number = np.repeat(np.arange(len(windows)), [len(window) for window in windows])
    # Customers may share a first order; what followed and what they spent tells them apart without naming them.
    order = np.lexsort((*_content(matrix, names), spend, draw, number))
    if len(order) > MOST_ROWS:
        order = order[np.sort(np.argsort(_scattered(draw, number)[order], kind="stable")[:MOST_ROWS])]
    return TrainingRows(
        names=names,
        matrix=matrix[order],
        unit_value=unit_value,
        spend=spend[order],
        bought=np.concatenate([outcome.bought for outcome in outcomes])[order],
        days=np.concatenate([outcome.days for outcome in outcomes])[order],
        newest=(number == len(windows) - 1)[order],
        fold=(draw % (MANY_FOLDS if len(windows[-1]) < FEW_CUSTOMERS else 2))[order],
        horizon_days=windows[-1].horizon_days,
        customers=len(windows[-1]),
        cutoffs=len(windows),
    )


def usual_order(window: Observation) -> float:
    """Return the value of a usual order, the median of the customers' medians, 1 where nothing was ever paid."""
    paid = window.columns["basket_median"]
    paid = paid[paid > 0]
    return float(np.median(paid)) if len(paid) else 1.0


def scaled(window: Observation, names: tuple[str, ...], unit_value: float) -> Floats:
    """Return the columns ``names`` side by side, money in units of a usual order (its root for sums of roots)."""
    missing = [name for name in names if name not in window.columns]
    if missing:
        raise ConfigurationError(
            f"The observation lacks the columns {', '.join(missing)} that the model was fitted on."
        )
    divisors = np.array([_divisor(name, unit_value) for name in names])
    matrix: Floats = np.column_stack([window.columns[name] for name in names]) / divisors
    return matrix


def _divisor(name: str, unit_value: float) -> float:
    if name.startswith("roots"):
        return float(np.sqrt(unit_value))
    return unit_value if name.startswith(MONEY_PREFIXES) else 1.0


def _content(matrix: Floats, names: tuple[str, ...]) -> tuple[Floats, ...]:
    return tuple(matrix[:, names.index(name)] for name in ("recency", "tenure", "visits", "spend", "spend_decayed_2"))


def _scattered(draw: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.int64]:
    return (draw * 48271 + number * 69621) % 2147483647
