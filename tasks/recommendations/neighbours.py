"""Which items go together: EASE and item-item BM25 over a bounded number of best-selling items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from tasks.recommendations.own_history import Pairs
from tasks.recommendations.purchases import Codes, Floats

Weights = NDArray[np.float32]

RIDGE_SHARE = 0.4
"""The ridge of EASE as a share of the customers it is fitted on: the same strength on small and large data."""
BM25_K1 = 1.2
BM25_B = 0.75
NEIGHBOURS_KEPT = 300


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Item-to-item weights over ``items`` (codes, sorted): row is the item owned, column the item suggested.

    ``place`` gives the row of an item code, -1 for items outside. ``ease`` and ``bm25`` are dense float32 matrices.
    """

    items: Codes
    place: Codes
    ease: Weights
    bm25: Weights | None


def fit_neighbours(pairs: Pairs, bought_lately: Floats, limit: int, *, bm25: bool) -> Neighbours:
    """Neighbours among the ``limit`` items with most recent buyers (``bought_lately`` per item code).

    EASE: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019). BM25 weighting of item vectors with
    cosine-free inner products as used for implicit feedback.
    """
    best = np.lexsort((np.arange(len(bought_lately)), -bought_lately))[:limit]
    items = np.sort(best[bought_lately[best] > 0])
    place = np.full(len(bought_lately), -1, np.int64)
    place[items] = np.arange(len(items))
    inside = place[pairs.item] >= 0
    customers = np.unique(pairs.customer[inside], return_inverse=True)[1]
    shape = (int(customers.max(initial=-1)) + 1, len(items))
    places = place[pairs.item[inside]]
    owned = sparse.csr_matrix((np.ones(len(places), np.float32), (customers, places)), shape=shape)
    return Neighbours(items, place, _ease(owned), _bm25(owned) if bm25 else None)


def _ease(owned: sparse.csr_matrix) -> Weights:
    gram: Weights = (owned.T @ owned).toarray()  # whole numbers: the order of customers does not matter
    if not len(gram):
        return gram
    gram[np.diag_indices_from(gram)] += RIDGE_SHARE * owned.shape[0]
    factor, _ = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    weights = np.tril(inverse)
    weights += np.tril(inverse, -1).T
    weights /= -np.diag(weights)[None, :].copy()
    np.fill_diagonal(weights, 0)
    return np.ascontiguousarray(weights)


def _bm25(owned: sparse.csr_matrix) -> Weights:
    """Items as documents, customers as their words; each item keeps its nearest :data:`NEIGHBOURS_KEPT`."""
    customers, items = owned.shape
    if not items:
        return np.zeros((0, 0), np.float32)
    table = owned.tocoo()
    owners = np.bincount(table.col, minlength=items)
    rarity = np.log(items / (1.0 + np.bincount(table.row, minlength=customers))).clip(min=0)
    norm = 1 - BM25_B + BM25_B * owners / owners.mean()
    weighted = (BM25_K1 + 1) / (BM25_K1 * norm[table.col] + 1) * rarity[table.row]
    vectors = sparse.csr_matrix((weighted.astype(np.float32), (table.row, table.col)), shape=owned.shape)
    likeness: Weights = (vectors.T @ vectors).toarray()
    np.fill_diagonal(likeness, 0)
    if items > NEIGHBOURS_KEPT:
        cut = np.partition(likeness, items - NEIGHBOURS_KEPT, axis=0)[items - NEIGHBOURS_KEPT]
        likeness[likeness < cut[None, :]] = 0
    return likeness
