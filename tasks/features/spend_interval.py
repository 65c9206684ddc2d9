"""The 80 % interval of spend, from the mean and the median that a model says for each customer."""

import numpy as np

from tasks.features.observation import Floats

Z_80 = 1.2815515655446004  # half width of an 80 % interval of a normal variable, in standard deviations


def spend_interval(mean: Floats, median: Floats) -> tuple[Floats, Floats]:
    """Return both ends per customer, in the unit of ``mean``; NaN where the model says one number and no spread.

    On the scale of roots spend lies evenly around its median m, and there the mean is m plus the variance.
    """
    middle = np.minimum(median, mean)
    if not (mean > middle).any():
        unknown = np.full(len(mean), np.nan)
        return unknown, unknown
    root, reach = np.sqrt(np.maximum(middle, 0)), Z_80 * np.sqrt(np.maximum(mean - middle, 0))
    return np.maximum(root - reach, 0) ** 2, (root + reach) ** 2


def interval_grades(spend: Floats, mean: Floats, median: Floats) -> dict[str, float]:
    """Return how often real spend lay within the interval and its mean width in currency; empty without intervals."""
    low, high = spend_interval(mean, median)
    if np.isnan(low).all():  # of nobody, too
        return {}
    inside = (spend >= low) & (spend <= high)
    return {"interval_80_coverage": float(inside.mean()), "interval_80_width": float((high - low).mean())}
