"""The 80 % interval of spend: what customers with a like forecast spent beside it, on past cut-offs.

Distances from the forecast are taken on the scale of roots, where they are of one size for small and large buyers, and
per band of the forecast, because whoever is expected to buy little may well buy nothing.
"""

from dataclasses import dataclass

import numpy as np

from tasks.features.observation import Floats

LEVELS = (0.1, 0.9)
BAND_ROWS = 100
MOST_BANDS = 20


@dataclass(frozen=True, slots=True, eq=False)
class SpendBands:
    """``edges`` separate bands of the root of median spend; ``reach`` has the 10 % and 90 % distance of each band."""

    edges: Floats
    reach: Floats

    def around(self, roots: Floats) -> tuple[Floats, Floats]:
        """Both ends per customer, in the unit of the squared roots; the forecast always lies between them."""
        reach = self.reach[np.searchsorted(self.edges, roots, side="right")]
        low = np.maximum(roots + np.minimum(reach[:, 0], 0), 0)
        return low**2, (roots + np.maximum(reach[:, 1], 0)) ** 2


def learn_bands(roots: Floats, spend: Floats) -> SpendBands:
    """Learn from forecasts (roots of the median) of customers whom the model had not seen, and what they spent."""
    count = max(1, min(MOST_BANDS, len(roots) // BAND_ROWS))
    edges = np.unique(np.quantile(roots, np.arange(1, count) / count))
    band = np.searchsorted(edges, roots, side="right")
    apart = np.sqrt(spend) - roots
    everyone = np.quantile(apart, LEVELS)
    inside = [apart[band == number] for number in range(len(edges) + 1)]
    return SpendBands(edges, np.array([np.quantile(part, LEVELS) if len(part) else everyone for part in inside]))


def interval_grades(spend: Floats, low: Floats, high: Floats) -> dict[str, float]:
    """How often real spend lay within the interval, and its mean width in currency; empty without intervals."""
    if np.isnan(low).all():  # of nobody, too
        return {}
    inside = (spend >= low) & (spend <= high)
    return {"interval_80_coverage": float(inside.mean()), "interval_80_width": float((high - low).mean())}
