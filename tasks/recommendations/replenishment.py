"""When a customer will need an item again: from the customer's own gaps between purchases, with an honest interval.

Gaps are taken as log-normal; a customer's mean is drawn towards the item's where there are few gaps. How far real gaps
stray from that is not assumed but measured, with the gaps still running counted as censored (Kaplan and Meier 1958),
so that the interval holds what it says.
"""

from dataclasses import dataclass

import numpy as np

from tasks.recommendations.own_history import Pairs
from tasks.recommendations.purchases import Codes, Floats

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
SMALLEST_VARIANCE = 1e-3
ITEM_PRIOR = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """Per pair: days from the cut-off until the next purchase (NaN is never within reach of the data).

    ``first`` and ``last`` bound an 80 % interval around ``middle``; ``gap_days`` is the usual time between two
    purchases. All are NaN for pairs with one day of purchase.
    """

    first: Floats
    middle: Floats
    last: Floats
    gap_days: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """Logarithms of gaps: the mean per item, the variance within a customer's gaps and between customers.

    ``residual`` (sorted) and ``survival`` are the measured curve of standardised gaps.
    """

    item_mean: Floats
    within: float
    between: float
    residual: Floats
    survival: Floats

    @property
    def prior(self) -> float:
        """How many own gaps the item's mean is worth."""
        return self.within / self.between


def learn_rhythm(pairs: Pairs, items: int) -> Rhythm:
    """Measure how regularly customers come back to items."""
    count, total, squares, latest = _gaps(pairs)
    overall = float(total.sum() / max(count.sum(), 1))
    item_total = np.bincount(pairs.item, total, items)
    item_mean = (item_total + ITEM_PRIOR * overall) / (np.bincount(pairs.item, count, items) + ITEM_PRIOR)
    many, any_gap = count > 1, count > 0
    spread = (squares - total**2 / np.maximum(count, 1))[many].sum()
    within = max(float(spread / max((count[many] - 1).sum(), 1)), SMALLEST_VARIANCE)
    apart = (total / np.maximum(count, 1) - item_mean[pairs.item])[any_gap]
    noise = within / np.maximum(count[any_gap], 1)
    between = max(float((apart**2 - noise).mean()) if len(apart) else 0.0, SMALLEST_VARIANCE)
    plain = Rhythm(item_mean, within, between, np.zeros(0), np.zeros(0))
    closed = _standardise(plain, pairs.item, count - 1, total - latest, latest)[many]
    running = _standardise(plain, pairs.item, count, total, np.log(pairs.last_age))[any_gap]
    residual, survival = _kaplan_meier(closed, running)
    return Rhythm(item_mean, within, between, residual, survival)


def due_days(pairs: Pairs, rhythm: Rhythm) -> Due:
    """Days until each pair's next purchase, given that it has not happened yet."""
    count, total, _, _ = _gaps(pairs)
    mean, deviation = _prediction(rhythm, pairs.item, count, total)
    alive = _survival_at(rhythm, (np.log(pairs.last_age) - mean) / deviation)
    known = count > 0

    def after(share: float) -> Floats:
        reached = np.searchsorted(-rhythm.survival, -alive * (1 - share), side="left")
        quantile = np.append(rhythm.residual, np.nan)[reached]
        days = np.exp(mean + deviation * quantile) - pairs.last_age
        return np.where(known, np.maximum(np.round(days), 0), np.nan)

    return Due(after(LOW), after(MIDDLE), after(HIGH), np.where(known, np.exp(mean), np.nan))


def _gaps(pairs: Pairs) -> tuple[Floats, Floats, Floats, Floats]:
    """Number, sum, sum of squares and last of the logarithms of each pair's gaps."""
    if not len(pairs.start):
        return np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0)
    step = np.diff(pairs.purchases.day, prepend=0).astype(np.float64)
    step[pairs.start] = 1
    logs = np.log(step)
    latest = np.where(pairs.days > 1, np.log(np.where(pairs.days > 1, pairs.previous_age - pairs.last_age, 1)), 0)
    return pairs.days - 1, np.add.reduceat(logs, pairs.start), np.add.reduceat(logs**2, pairs.start), latest


def _prediction(rhythm: Rhythm, item: Codes, count: Floats, total: Floats) -> tuple[Floats, Floats]:
    weight = count + rhythm.prior
    mean = (total + rhythm.prior * rhythm.item_mean[item]) / weight
    return mean, np.sqrt(rhythm.within * (1 + 1 / weight))


def _standardise(rhythm: Rhythm, item: Codes, count: Floats, total: Floats, gap: Floats) -> Floats:
    mean, deviation = _prediction(rhythm, item, np.maximum(count, 0), total)
    return (gap - mean) / deviation


def _kaplan_meier(closed: Floats, running: Floats) -> tuple[Floats, Floats]:
    values, ended = np.unique(closed, return_counts=True)
    everything = np.sort(np.concatenate([closed, running]))
    at_risk = len(everything) - np.searchsorted(everything, values, side="left")
    return values, np.cumprod(1 - ended / np.maximum(at_risk, 1))


def _survival_at(rhythm: Rhythm, value: Floats) -> Floats:
    return np.append(1.0, rhythm.survival)[np.searchsorted(rhythm.residual, value, side="right")]
