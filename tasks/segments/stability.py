"""Whether clusters would come out again: over bootstrap fits, over weeks, and under the same numbers."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from tasks.segments.behaviour import Array, Behaviour, Labels
from tasks.segments.partitions import Partition

SAME_CLUSTER = 0.3


def agreement(one: Labels, other: Labels) -> float:
    """Adjusted Rand index (Hubert, Arabie 1985) of two labellings of the same customers: 1 equal, 0 by chance."""
    return float(adjusted_rand_score(one, other))


def bootstrap_stability(
    fit: Callable[[Behaviour], Partition], history: Behaviour, today: Behaviour, *, runs: int, seed: int
) -> float:
    """Mean agreement, on today's customers, of the fit with fits on customers drawn again with replacement."""
    reference = fit(history).place(today)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        drawn = np.sort(random.integers(0, len(history), len(history)))
        found.append(agreement(reference, fit(history.take(drawn)).place(today)))
    return float(np.mean(found))


def weekly_stability(partition: Partition, today: Behaviour, week_ago: Behaviour) -> float | None:
    """Agreement between today's and last week's clusters of the customers in both; none when nobody is."""
    _, now, before = np.intersect1d(today.customer_ids, week_ago.customer_ids, return_indices=True)
    if not len(now):
        return None
    return agreement(partition.place(today.take(now)), partition.place(week_ago.take(before)))


def match_clusters(new: Labels, old: Labels, sizes: tuple[int, int]) -> Mapping[int, int]:
    """Which new cluster continues which old one: the assignment with the largest total overlap (Kuhn 1955).

    Overlap is customers in both divided by customers in either; below ``SAME_CLUSTER`` a cluster is a new one.
    """
    overlap = _overlap(new, old, sizes)
    rows, columns = linear_sum_assignment(-overlap)
    return {
        int(row): int(column) for row, column in zip(rows, columns, strict=True) if overlap[row, column] >= SAME_CLUSTER
    }


def _overlap(new: Labels, old: Labels, sizes: tuple[int, int]) -> Array:
    both = np.zeros(sizes)
    np.add.at(both, (new, old), 1.0)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    found: Array = both / np.maximum(either, 1.0)
    return found


def number_clusters(new: Labels, old: Labels, size: int, old_numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Stable numbers: a cluster that continues an old one keeps its number, others get numbers above all old ones."""
    matched = match_clusters(new, old, (size, len(old_numbers)))
    fresh = iter(range(max(old_numbers, default=-1) + 1, max(old_numbers, default=-1) + 1 + size))
    return tuple(old_numbers[matched[part]] if part in matched else next(fresh) for part in range(size))


def drift(shares: Mapping[int, float], now: Mapping[int, float]) -> float:
    """Population stability index of cluster sizes since they were accepted: above 0.25 is a shift worth a refit."""
    floor = 1e-4
    pairs = [(max(shares.get(key, 0), floor), max(now.get(key, 0), floor)) for key in sorted({*shares, *now})]
    return float(sum((after - before) * np.log(after / before) for before, after in pairs))
