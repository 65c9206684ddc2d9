"""Candidates for the clusters of a run, and their grades."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from sklearn.metrics import silhouette_score
from sklearn.tree import DecisionTreeClassifier

from tasks.config import ClusterSettings
from tasks.segments.behaviour import HABITS, Array, Behaviour, Labels, fit_scale
from tasks.segments.partitions import (
    Partition,
    fit_bands,
    fit_grid,
    fit_hierarchical,
    fit_kmeans,
    fit_mixture,
    fit_tree,
)

Fit = Callable[..., Partition]
FOLDS = 3
_SILHOUETTE_CUSTOMERS = 1_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to cluster; ``guided`` ones look at next-period spend while they are fitted."""

    method: str
    parts: int
    guided: bool
    fit: Callable[[Behaviour], Partition]


def candidates(settings: ClusterSettings, *, guided: bool) -> Iterator[Candidate]:
    """Every method in every allowed size; grids in bands, so that their splits stay within the largest size."""
    seeded: dict[str, Fit] = {"kmeans": fit_kmeans, "mixture": fit_mixture, "hierarchical": fit_hierarchical}
    looking: dict[str, Fit] = {"tree": fit_tree, "bands": fit_bands, "grid": fit_grid} if guided else {}
    for size in range(settings.smallest, settings.largest + 1):
        for method, fit in seeded.items():
            yield Candidate(method, size, guided=False, fit=partial(fit, size=size, seed=settings.seed))
        for method, fit in looking.items():
            yield Candidate(method, size, guided=True, fit=partial(fit, size=size, share=settings.smallest_share))


def explained(spend: Array, labels: Labels) -> float:
    """Share of the variance of spend between clusters (eta squared, Fisher 1925)."""
    total = float(((spend - spend.mean()) ** 2).sum())
    if total == 0:
        return 0.0
    sizes = np.bincount(labels)
    means = np.bincount(labels, weights=spend) / np.maximum(sizes, 1)
    return float((sizes * (means - spend.mean()) ** 2).sum()) / total


def explained_unseen(candidate: Candidate, history: Behaviour, seed: int) -> float:
    """``explained`` for customers left out of the fit, in three folds: guided fits cannot flatter themselves."""
    spend = history.outcome
    fold = np.random.default_rng(seed).permutation(len(history)) % FOLDS
    told = np.empty(len(history))
    for number in range(FOLDS):
        known, unseen = history.take(fold != number), history.take(fold == number)
        partition = candidate.fit(known)
        labels = partition.place(known)
        sums = np.bincount(labels, weights=spend[fold != number], minlength=partition.size)
        means = sums / np.maximum(np.bincount(labels, minlength=partition.size), 1)
        told[fold == number] = means[partition.place(unseen)]
    total = float(((spend - spend.mean()) ** 2).sum())
    return max(0.0, 1 - float(((spend - told) ** 2).sum()) / total) if total else 0.0


def rival(history: Behaviour, parts: int) -> float:
    """What the naive rival explains: equal groups by past spend, as many as the candidate has."""
    order = np.argsort(np.argsort(history.column("recent_spend"), kind="stable"), kind="stable")
    labels = np.asarray(order * parts // len(history), dtype=np.int64)
    return explained(history.outcome, labels)


def separation(people: Behaviour, labels: Labels, seed: int) -> float | None:
    """Mean silhouette (Rousseeuw 1987) on the standardised log scale, over a sample; none for a single cluster."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(people))[:_SILHOUETTE_CUSTOMERS])
    found = labels[chosen]
    if not 1 < len(np.unique(found)) < len(found):
        return None
    return float(silhouette_score(fit_scale(people, HABITS, root=False).apply(people)[chosen], found))


def readability(people: Behaviour, labels: Labels, seed: int) -> float:
    """Share of customers placed right by as many yes-or-no questions as tell the clusters apart."""
    parts = len(np.unique(labels))
    if parts < 2:  # noqa: PLR2004 - one cluster needs no question
        return 1.0
    values = people.rates
    questions = DecisionTreeClassifier(max_leaf_nodes=2 * parts, random_state=seed)
    return float(questions.fit(values, labels).score(values, labels))


def closest_pair(people: Behaviour, labels: Labels, size: int) -> float:
    """How far the two most similar clusters are apart on their best feature, in standard deviations within clusters."""
    values = fit_scale(people, HABITS, root=False).apply(people)
    groups = [values[labels == part] for part in range(size)]
    if any(len(group) == 0 for group in groups):
        return 0.0
    means, variances = [group.mean(axis=0) for group in groups], [group.var(axis=0) for group in groups]
    return min(
        (
            float((np.abs(means[a] - means[b]) / np.sqrt((variances[a] + variances[b]) / 2 + 1e-9)).max())
            for a, b in combinations(range(size), 2)
        ),
        default=0.0,
    )
