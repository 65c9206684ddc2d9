"""Kinds of clusterings: each a frozen value that fits into a table cell and places any customer.

K-means (Lloyd 1982), Gaussian mixture with diagonal covariances (McLachlan, Peel 2000), Ward's hierarchy (1963) cut and
applied by nearest centre, a shallow regression tree on next-period spend (Breiman et al. 1984), and a grid: bands of
the spend a ridge regression expects, in equal steps on a square-root scale, each split by the risk of silence.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import expit
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.tree import DecisionTreeRegressor

from tasks.config.base import Settings
from tasks.segments.behaviour import HABITS, Array, Behaviour, Labels, Scale, fit_scale

Numbers = tuple[float, ...]
GUIDED = ("spend_rate", "recent_spend", "month_spend", "life_spend", "order_rate", "recent_orders", "month_orders")
GUIDED_ALL = (*GUIDED, "recency", "silence", "basket")
_WARD_CUSTOMERS = 1_500
_RIDGE_PER_CUSTOMER = 0.01
_FEWEST_OUTCOMES = 20


class Centres(Settings):
    """Nearest centre on the standardised log scale."""

    method: Literal["kmeans", "hierarchical"]
    scale: Scale
    centres: tuple[Numbers, ...]

    @property
    def size(self) -> int:
        """Number of clusters."""
        return len(self.centres)

    def place(self, people: Behaviour) -> Labels:
        """Cluster of each customer, from 0."""
        values = self.scale.apply(people)
        distances = np.stack([((values - np.array(centre)) ** 2).sum(axis=1) for centre in self.centres], axis=1)
        return np.asarray(distances.argmin(axis=1), dtype=np.int64)


class Mixture(Settings):
    """Most likely component of a Gaussian mixture."""

    method: Literal["mixture"] = "mixture"
    scale: Scale
    weights: Numbers
    means: tuple[Numbers, ...]
    variances: tuple[Numbers, ...]

    @property
    def size(self) -> int:
        """Number of clusters."""
        return len(self.weights)

    def place(self, people: Behaviour) -> Labels:
        """Cluster of each customer, from 0."""
        values = self.scale.apply(people)
        scores = [
            np.log(weight) - 0.5 * (np.log(variance) + (values - np.array(mean)) ** 2 / variance).sum(axis=1)
            for weight, mean, variance in zip(self.weights, self.means, map(np.array, self.variances), strict=True)
        ]
        return np.asarray(np.stack(scores, axis=1).argmax(axis=1), dtype=np.int64)


class Tree(Settings):
    """Leaves of a shallow tree; a node without a feature is a leaf and holds its cluster instead of a threshold."""

    method: Literal["tree"] = "tree"
    scale: Scale
    nodes: tuple[tuple[int, float, int, int], ...]  # feature (-1 for a leaf), threshold or cluster, left, right

    @property
    def size(self) -> int:
        """Number of clusters."""
        return sum(feature < 0 for feature, *_ in self.nodes)

    def place(self, people: Behaviour) -> Labels:
        """Cluster of each customer, from 0."""
        values = self.scale.apply(people).astype(np.float32)
        found = np.zeros(len(values), dtype=np.int64)
        waiting: list[tuple[int, Array | Labels]] = [(0, np.arange(len(values)))]
        while waiting:
            node, rows = waiting.pop()
            feature, threshold, left, right = self.nodes[node]
            if feature < 0:
                found[rows] = int(threshold)
                continue
            low = values[rows, feature] <= threshold
            waiting += [(left, rows[low]), (right, rows[~low])]
        return found


class Grid(Settings):
    """Bands of expected spend, split by the risk of silence where ``risk_cuts`` says so (1 means no split)."""

    method: Literal["bands", "grid"]
    scale: Scale
    spend: Numbers  # intercept, then one coefficient per column of the scale; gives the square root of spend
    spend_cuts: Numbers
    risk: Numbers = ()
    risk_cuts: Numbers = ()

    @property
    def size(self) -> int:
        """Number of clusters."""
        return len(self.spend_cuts) + 1 + sum(cut < 1 for cut in self.risk_cuts)

    def expect(self, people: Behaviour) -> Array:
        """Square root of the spend expected in the next period."""
        return _linear(self.scale.apply(people), self.spend)

    def place(self, people: Behaviour) -> Labels:
        """Cluster of each customer, from 0: bands from the lowest spend, in each the safe before the risky."""
        values = self.scale.apply(people)
        band = np.searchsorted(np.array(self.spend_cuts), _linear(values, self.spend), side="right").astype(np.int64)
        if not self.risk:
            return band
        cuts = np.array(self.risk_cuts)
        risky = expit(_linear(values, self.risk)) >= cuts[band]
        before = np.concatenate([[0], np.cumsum(cuts < 1)[:-1]]).astype(np.int64)
        return np.asarray(band + before[band] + risky, dtype=np.int64)


Partition = Annotated[Centres | Mixture | Tree | Grid, Field(discriminator="method")]


def _linear(values: Array, coefficients: Numbers) -> Array:
    found: Array = coefficients[0] + values @ np.array(coefficients[1:])
    return found


def fit_kmeans(people: Behaviour, size: int, seed: int) -> Centres:
    """K-means with five starts."""
    scale = fit_scale(people, HABITS, root=False)
    model = KMeans(size, n_init=5, random_state=seed).fit(scale.apply(people))
    return Centres(method="kmeans", scale=scale, centres=_rows(model.cluster_centers_))


def fit_hierarchical(people: Behaviour, size: int, seed: int) -> Centres:
    """Ward's hierarchy over a sample."""
    scale = fit_scale(people, HABITS, root=False)
    values = scale.apply(people)
    chosen = np.random.default_rng(seed).permutation(len(values))[:_WARD_CUSTOMERS]
    labels = AgglomerativeClustering(size, linkage="ward").fit_predict(values[np.sort(chosen)])
    centres = np.stack([values[np.sort(chosen)][labels == number].mean(axis=0) for number in range(size)])
    return Centres(method="hierarchical", scale=scale, centres=_rows(centres))


def fit_mixture(people: Behaviour, size: int, seed: int) -> Mixture:
    """Gaussian mixture with diagonal covariances, kept away from points of no width."""
    scale = fit_scale(people, HABITS, root=False)
    model = GaussianMixture(size, covariance_type="diag", reg_covar=0.05, random_state=seed, max_iter=200, tol=1e-2)
    model.fit(scale.apply(people))
    return Mixture(
        scale=scale,
        weights=tuple(model.weights_.tolist()),
        means=_rows(model.means_),
        variances=_rows(model.covariances_),
    )


def fit_tree(people: Behaviour, size: int, share: float) -> Tree:
    """A regression tree of next-period spend with as many leaves as clusters."""
    scale = fit_scale(people, GUIDED_ALL, root=False)
    leaf = max(2, round(1.25 * share * len(people)))
    model = DecisionTreeRegressor(max_leaf_nodes=size, min_samples_leaf=leaf, random_state=0)
    tree = model.fit(scale.apply(people), np.sqrt(people.outcome)).tree_
    leaves = {int(node): number for number, node in enumerate(np.flatnonzero(tree.children_left < 0))}
    nodes = tuple(
        (-1, float(leaves[node]), -1, -1)
        if node in leaves
        else (int(tree.feature[node]), float(tree.threshold[node]), int(left), int(right))
        for node, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True))
    )
    return Tree(scale=scale, nodes=nodes)


def fit_bands(people: Behaviour, size: int, share: float) -> Grid:
    """Bands of expected spend in equal steps on the square-root scale, with ends that are large enough."""
    scale = fit_scale(people, GUIDED_ALL, root=True)
    values = scale.apply(people)
    spend = _ridge(values, np.sqrt(people.outcome))
    expected = _linear(values, spend)
    ends = np.quantile(expected, [max(0.1, 2 * share), 1 - 1.75 * share])
    cuts = np.unique(np.linspace(ends[0], ends[1], size - 1)) if size > 2 else np.array([np.median(expected)])  # noqa: PLR2004
    return Grid(method="bands", scale=scale, spend=spend, spend_cuts=tuple(cuts.tolist()))


def fit_grid(people: Behaviour, size: int, share: float) -> Grid:
    """Bands split by a risk of silence above the average, where both sides are large enough."""
    plain = fit_bands(people, size, share)
    values = plain.scale.apply(people)
    silent = people.outcome <= 0
    if min(silent.sum(), (~silent).sum()) < _FEWEST_OUTCOMES:
        return plain
    model = LogisticRegression(C=0.1, max_iter=500).fit(values, silent)
    risk = (float(model.intercept_[0]), *model.coef_[0].tolist())
    risky = expit(_linear(values, risk)) >= silent.mean()
    band = plain.place(people)
    least = 1.5 * share * len(people)
    cuts = [
        float(silent.mean()) if min((risky & (band == b)).sum(), (~risky & (band == b)).sum()) >= least else 1.0
        for b in range(plain.size)
    ]
    return plain.model_copy(update={"method": "grid", "risk": risk, "risk_cuts": tuple(cuts)})


def _ridge(values: Array, target: Array) -> Numbers:
    penalty = _RIDGE_PER_CUSTOMER * len(values) * np.eye(values.shape[1])
    slope = np.linalg.solve(values.T @ values + penalty, values.T @ (target - target.mean()))
    return (float(target.mean()), *slope.tolist())


def _rows(matrix: Array) -> tuple[Numbers, ...]:
    return tuple(tuple(row) for row in matrix.tolist())
