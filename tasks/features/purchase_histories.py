"""Purchase histories as the lifetime models see them: checked, and collapsed to distinct weighted rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tasks.errors import CheckFailedError, ConfigurationError

Floats: TypeAlias = NDArray[np.float64]

CHUNK_ROWS = 262_144
"""Rows predicted at a time: bounds the memory of a prediction at a few dozen megabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Distinct (frequency, recency, age) rows in sorted order, each with the number of customers it stands for.

    ``frequency`` counts repeat purchases; ``recency`` runs from the first purchase to the last, ``age`` from the first
    purchase to the end of observation, both in the caller's unit of time. ``purchase_counts`` and ``count_weights``
    are the distinct frequencies and their customers: many terms of a likelihood depend on nothing else.
    """

    frequency: Floats
    recency: Floats
    age: Floats
    weights: Floats
    purchase_counts: Floats
    count_weights: Floats

    def thinned(self, rows: int) -> "Histories":
        """Return about so many rows, evenly spread over the sorted histories."""
        step = max(1, len(self.weights) // rows)
        return _histories(*(values[::step] for values in (self.frequency, self.recency, self.age, self.weights)))

    @property
    def customers(self) -> float:
        """Customers behind all rows."""
        return float(self.weights.sum())

    @property
    def mean_age(self) -> float:
        """Average age of a customer, in the unit of time of the data."""
        return float(self.weights @ self.age) / self.customers

    @property
    def purchase_rate(self) -> float:
        """Repeat purchases per customer and unit of time."""
        return float(self.weights @ self.frequency) / float(self.weights @ self.age)


def column(name: str, values: ArrayLike) -> Floats:
    """Return one column of numbers; a single number counts as one customer.

    Raises ConfigurationError for text, more than one dimension, missing, infinite or negative values.
    """
    try:
        numbers = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{name} must be numbers, one per customer: {error}") from error
    if numbers.ndim != 1:
        raise ConfigurationError(f"{name} must be one column, one number per customer; it has shape {numbers.shape}.")
    _refuse(name, ~np.isfinite(numbers), "are missing or infinite; leave these customers out or repair the source")
    _refuse(name, numbers < 0, "are negative; counts, durations and weights start at 0")
    return numbers


def same_length(**columns: Floats) -> None:
    """Raise ConfigurationError unless all columns describe the same customers."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ConfigurationError(f"All columns must have one row per customer; their lengths differ: {found}.")


def checked(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the three columns of purchase histories once they make sense together.

    Raises ConfigurationError naming the rule, the number of rows that break it and the first such row.
    """
    x, t_x, T = column("frequency", frequency), column("recency", recency), column("age", age)
    same_length(frequency=x, recency=t_x, age=T)
    _refuse("frequency", x != np.floor(x), "are not whole; it counts repeat purchases")
    _refuse("recency", t_x > T, "exceed the age; the last purchase cannot follow the end of observation")
    _refuse(
        "recency",
        (x == 0) & (t_x > 0),
        "are not 0 for one-time buyers; recency runs from first to last purchase, not from last purchase to today",
    )
    return x, t_x, T


def distinct_histories(
    frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None
) -> Histories:
    """Collapse customers with equal histories into one weighted row, in an order that depends on the values alone.

    ``weights`` is the number of customers a row stands for (1 by default); rows of weight 0 are left out. Raises
    ConfigurationError for columns that make no sense, CheckFailedError when nobody bought twice: such data says nothing
    about repeat purchases, whatever the model.
    """
    x, t_x, T = checked(frequency, recency, age)
    w = np.ones_like(x) if weights is None else column("weights", weights)
    same_length(frequency=x, weights=w)
    kept = w > 0
    if not np.any(x[kept] > 0):
        raise CheckFailedError(
            f"None of the {w.sum():.0f} customers bought a second time, so repeat purchases cannot be modelled. "
            "Load a longer history, or use past spend until second purchases appear."
        )
    (x, t_x, T), w = collapsed((x[kept], t_x[kept], T[kept]), w[kept])
    return _histories(x, t_x, T, w)


def _histories(x: Floats, t_x: Floats, T: Floats, w: Floats) -> Histories:
    counts, starts = np.unique(x, return_index=True)
    return Histories(x, t_x, T, w, counts, np.add.reduceat(w, starts))


def collapsed(columns: tuple[Floats, ...], weights: Floats) -> tuple[tuple[Floats, ...], Floats]:
    """Return the distinct rows of ``columns``, sorted by the first column, then the next, and their summed weights."""
    order = np.lexsort(columns[::-1])
    changes = np.zeros(len(order), dtype=bool)
    changes[:1] = True
    for values in columns:
        ordered = values[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(changes)
    return tuple(values[order[starts]] for values in columns), np.add.reduceat(weights[order], starts)


def parts(length: int, rows: int) -> Iterator[slice]:
    """Cut ``length`` rows into slices of at most ``rows``."""
    return (slice(start, start + rows) for start in range(0, length, rows))


def in_chunks(predict: Callable[..., Floats], *columns: Floats, rows: int = CHUNK_ROWS) -> Floats:
    """Apply a row-wise prediction to a bounded number of customers at a time."""
    predicted = np.empty(len(columns[0]))
    for part in parts(len(predicted), rows):
        predicted[part] = predict(*(values[part] for values in columns))
    return predicted


def checked_horizon(horizon: float) -> float:
    """Return the length of the time ahead; raises ConfigurationError unless it is finite and not negative."""
    if not (np.isfinite(horizon) and horizon >= 0):
        raise ConfigurationError(
            f"The horizon must be a length of time, 0 or more in the unit of age; it is {horizon}."
        )
    return float(horizon)


def _refuse(name: str, wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        raise ConfigurationError(f"{int(wrong.sum())} values of {name} {why} (first at row {int(wrong.argmax())}).")
