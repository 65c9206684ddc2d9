"""Names of clusters, from what distinguishes them."""

import numpy as np
import numpy.typing as npt

from tasks.segments.behaviour import Array, Behaviour, Labels

_LEVELS = (
    "Top spend",
    "Very high spend",
    "High spend",
    "Upper middle spend",
    "Middle spend",
    "Lower middle spend",
    "Low spend",
    "Very low spend",
    "Hardly any spend",
)
_TRAITS = {
    "order_rate": ("come often", "come rarely"),
    "basket": ("large baskets", "small baskets"),
    "silence": ("silent beyond their habit", "on their rhythm"),
    "recency": ("long not seen", "seen lately"),
}
_NOTABLE = 0.4


def name_clusters(people: Behaviour, labels: Labels, size: int) -> tuple[str, ...]:
    """One name per cluster: its rank by spend, then its most unusual habit; all different."""
    groups = [labels == part for part in range(size)]
    spend = np.array([_mean(people.column("recent_spend")[group]) for group in groups])
    rank = np.empty(size, dtype=int)
    rank[np.argsort(-spend, kind="stable")] = np.arange(size)
    return tuple(
        ", ".join([_level(int(rank[part]), size), *_habit(people, group)]) for part, group in enumerate(groups)
    )


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0


def _level(rank: int, size: int) -> str:
    if size > len(_LEVELS):
        return f"Spend level {rank + 1} of {size}"
    return _LEVELS[round(rank * (len(_LEVELS) - 1) / max(size - 1, 1))]


def _habit(people: Behaviour, group: npt.NDArray[np.bool_]) -> list[str]:
    unusual = {}
    for name in _TRAITS:
        logs = np.log1p(people.column(name))
        unusual[name] = (_mean(logs[group]) - logs.mean()) / (logs.std() or 1.0)
    strongest = max(unusual, key=lambda name: abs(unusual[name]))
    if abs(unusual[strongest]) < _NOTABLE:
        return []
    return [_TRAITS[strongest][0 if unusual[strongest] > 0 else 1]]
