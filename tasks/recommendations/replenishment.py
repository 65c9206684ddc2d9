"""When a customer will need an item again: from the customer's own gaps between purchases, with an honest interval.

Gaps are taken as log-normal; a customer's mean is drawn towards the item's where there are few gaps. How far real gaps
stray from that is not assumed but measured: predictions are made as of an earlier morning, and the days since then say
how they came out (Kaplan and Meier 1958, with delayed entry, because only gaps still open that morning are seen).
"""

from dataclasses import dataclass

import numpy as np

from tasks.recommendations.own_history import Pairs, pairs_before, run_starts
from tasks.recommendations.purchases import Codes, Floats, Purchases

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
RHYTHM, OWN_GAP = "item_rhythm", "own_mean_gap"
"""The model of this file, and its naive rival: the last purchase and the customer's own mean gap."""
OBSERVED_DAYS = 91
"""Days before the cut-off in which earlier predictions are watched; a third of the history where that is shorter."""
SMALLEST_VARIANCE = 1e-3
ITEM_PRIOR = 20.0
GAPS_OF_STRATA = np.array([2, 5, 10])
"""Customers with 1, 2 to 4, 5 to 9 and 10 or more gaps of an item have a curve each: habits last, trials do not."""


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """Per pair: days from the cut-off until the next purchase (NaN: later than any observed gap, perhaps never).

    ``first`` and ``last`` bound an 80 % interval around ``middle``; ``gap_days`` is the usual time between two
    purchases. All are NaN for pairs with one day of purchase.
    """

    first: Floats
    middle: Floats
    last: Floats
    gap_days: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Share of standardised gaps that are still open at ``residual`` (sorted)."""

    residual: Floats
    survival: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """Logarithms of gaps: the mean per item, the variance within a customer's gaps, how many gaps the item is worth.

    ``curves`` has one measured curve per stratum of :data:`GAPS_OF_STRATA`.
    """

    item_mean: Floats
    within: float
    prior: float
    curves: tuple[Curve, ...]


def learn_rhythm(bought: Purchases, cutoff: int, items: int) -> Rhythm:
    """Measure how regularly customers come back to items before day ``cutoff``."""
    known = bought.before(cutoff)
    history = cutoff - int(known.day.min(initial=cutoff))
    landmark = cutoff - max(1, min(OBSERVED_DAYS, history // 3))
    pairs = pairs_before(known, landmark)
    earlier = _regularity(pairs, items)
    mean, deviation, stratum = _prediction(earlier, pairs)
    following = days_until_next(known.between(landmark, cutoff), pairs, landmark, items)
    came = np.isfinite(following)
    entry = (np.log(pairs.last_age) - mean) / deviation
    end = (np.log(pairs.last_age + np.where(came, following, cutoff - landmark)) - mean) / deviation
    seen = pairs.days > 1
    curves = tuple(
        _kaplan_meier(entry[rows], end[rows], came[rows])
        for rows in (seen & (stratum == number) for number in range(len(GAPS_OF_STRATA) + 1))
    )
    now = _regularity(pairs_before(known, cutoff), items)
    return Rhythm(now.item_mean, now.within, now.prior, curves)


def due_days(pairs: Pairs, rhythm: Rhythm) -> Due:
    """Days until each pair's next purchase, given that it has not happened yet."""
    mean, deviation, stratum = _prediction(rhythm, pairs)
    waited = (np.log(pairs.last_age) - mean) / deviation
    days = np.full((3, len(pairs.item)), np.nan)
    for number, curve in enumerate(rhythm.curves):
        rows = np.flatnonzero((stratum == number) & (pairs.days > 1))
        alive = np.append(1.0, curve.survival)[np.searchsorted(curve.residual, waited[rows], side="right")]
        for line, share in enumerate((LOW, MIDDLE, HIGH)):
            reached = np.searchsorted(-curve.survival, -alive * (1 - share), side="left")
            quantile = np.append(curve.residual, np.nan)[reached]
            gap = np.exp(mean[rows] + deviation[rows] * quantile)
            days[line, rows] = np.maximum(np.round(gap - pairs.last_age[rows]), 0)
    days[:, :] = np.where(pairs.days > 1, days, np.nan)
    return Due(days[0], days[1], days[2], np.where(pairs.days > 1, np.exp(mean), np.nan))


def _regularity(pairs: Pairs, items: int) -> Rhythm:
    """Variance components of the logarithms of gaps, without curves."""
    count, total, squares = _gaps(pairs)
    overall = float(total.sum() / max(count.sum(), 1))
    item_total = np.bincount(pairs.item, total, items)
    item_mean = (item_total + ITEM_PRIOR * overall) / (np.bincount(pairs.item, count, items) + ITEM_PRIOR)
    many, some = count > 1, count > 0
    spread = float((squares - total**2 / np.maximum(count, 1))[many].sum())
    within = max(spread / max(float((count[many] - 1).sum()), 1), SMALLEST_VARIANCE)
    apart = (total / np.maximum(count, 1) - item_mean[pairs.item])[some] ** 2 - within / count[some]
    between = max(float(apart.mean()) if len(apart) else 0.0, SMALLEST_VARIANCE)
    return Rhythm(item_mean, within, within / between, ())


def _gaps(pairs: Pairs) -> tuple[Floats, Floats, Floats]:
    """Number, sum and sum of squares of the logarithms of each pair's gaps."""
    if not len(pairs.start):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    step = np.diff(pairs.purchases.day, prepend=0).astype(np.float64)
    step[pairs.start] = 1
    logs = np.log(step)
    return pairs.days - 1, np.add.reduceat(logs, pairs.start), np.add.reduceat(logs**2, pairs.start)


def _prediction(rhythm: Rhythm, pairs: Pairs) -> tuple[Floats, Floats, Codes]:
    """Mean and deviation of the logarithm of the present gap, and the stratum, per pair."""
    count, total, _ = _gaps(pairs)
    weight = count + rhythm.prior
    mean = (total + rhythm.prior * rhythm.item_mean[pairs.item]) / weight
    deviation = np.sqrt(rhythm.within * (1 + 1 / weight)).astype(np.float64)
    return mean, deviation, np.searchsorted(GAPS_OF_STRATA, count, side="right")


def own_gap_days(pairs: Pairs) -> Floats:
    """Days until each pair's next purchase if the mean gap so far repeats, 0 where it has passed; NaN without a gap."""
    gaps = np.maximum(pairs.days - 1, 1)
    days = np.maximum(np.round((pairs.first_age - pairs.last_age) / gaps - pairs.last_age), 0)
    return np.where(pairs.days > 1, days, np.nan)


def days_until_next(window: Purchases, pairs: Pairs, start: int, items: int) -> Floats:
    """Days from day ``start`` until each pair's first purchase in ``window``, infinite where there is none."""
    first = run_starts(window.customer, window.item)
    keys = window.customer[first] * items + window.item[first]
    wanted = pairs.customer * items + pairs.item
    if not len(keys):
        return np.full(len(wanted), np.inf)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, window.day[first][at] - start, np.inf).astype(np.float64)


def _kaplan_meier(entry: Floats, end: Floats, ended: np.ndarray) -> Curve:
    values, count = np.unique(end[ended], return_counts=True)
    at_risk = np.searchsorted(np.sort(entry), values, side="left") - np.searchsorted(np.sort(end), values, side="left")
    return Curve(values, np.cumprod(1 - count / np.maximum(at_risk, count + 1)))
