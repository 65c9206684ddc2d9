"""Who might want what: a customer's own items, and items that are new to the customer, each with its columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tasks.recommendations.knowledge import Knowledge
from tasks.recommendations.neighbours import Weights
from tasks.recommendations.own_history import (
    EXPOSED_DAYS,
    Pairs,
    last_visit_age,
    own_columns,
    pairs_before,
    visit_rhythm,
)
from tasks.recommendations.purchases import Codes, Floats, Purchases, distinct

OWN_KEPT = 60
NEW_KEPT = 40
ROWS_AT_ONCE = 512
POPULARITY_POWER = 0.3
HALF_LIFE_COLUMN = "half_life"


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """One row per customer and item, sorted by both; ``columns`` are scores and features of the pair."""

    customer: Codes
    item: Codes
    columns: dict[str, Weights]

    def only(self, rows: NDArray[np.bool_]) -> "Candidates":
        """The marked rows."""
        return Candidates(
            self.customer[rows], self.item[rows], {name: values[rows] for name, values in self.columns.items()}
        )

    def matrix(self) -> Weights:
        """The columns side by side; what is unknown or infinite is NaN."""
        table = np.column_stack([*self.columns.values()]).astype(np.float32)
        table[~np.isfinite(table)] = np.nan
        return table


def own_candidates(know: Knowledge, bought: Purchases, half_life_days: float, *, features: bool = True) -> Candidates:
    """The items each customer bought before, the best :data:`OWN_KEPT` by decayed frequency.

    Without ``features`` only the columns of the single models that need no neighbours.
    """
    pairs = pairs_before(bought, know.cutoff)
    weight = pairs.decayed(half_life_days)
    kept = np.flatnonzero(places(pairs.customer, weight, know.popular[pairs.item]) < OWN_KEPT)
    customer, item = pairs.customer[kept], pairs.item[kept]
    columns = {HALF_LIFE_COLUMN: weight[kept], "popular": know.popular[item]}
    if features:
        columns |= own_columns(pairs, kept, know.habits, know.world) | _item_columns(know, item)
        columns |= {"ease": _own_ease(know, pairs, customer, item)} | _group_columns(know, bought, customer, item)
    return Candidates(customer, item, {name: values.astype(np.float32) for name, values in columns.items()})


def new_candidates(know: Knowledge, bought: Purchases, *, features: bool = True) -> Candidates:
    """Items each customer has not bought: the best :data:`NEW_KEPT` of each single model.

    Without ``features`` only the columns of the single models.
    """
    pairs = pairs_before(bought, know.cutoff)
    customers = distinct(pairs.customer)
    parts = [_new_part(know, pairs, customers[at : at + ROWS_AT_ONCE]) for at in range(0, len(customers), ROWS_AT_ONCE)]
    parts = parts or [_new_part(know, pairs, customers)]
    customer, item = (np.concatenate([part[0][axis] for part in parts]) for axis in (0, 1))
    columns = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    columns["popular"] = know.popular[item]
    if features:
        columns |= _item_columns(know, item) | _group_columns(know, bought, customer, item)
        columns |= _appetite(know, pairs, customer)
    return Candidates(customer, item, {name: values.astype(np.float32) for name, values in columns.items()})


def _appetite(know: Knowledge, pairs: Pairs, customer: Codes) -> dict[str, Floats]:
    """How often a customer comes and how readily new items are tried."""
    size, visits = know.world.customers, pairs.purchases.visits()
    tried = np.bincount(pairs.customer[pairs.first_age <= EXPOSED_DAYS], minlength=size)
    return {
        "owned": np.bincount(pairs.customer, minlength=size).astype(np.float64)[customer],
        "tried_lately": tried.astype(np.float64)[customer],
        "last_visit_age": last_visit_age(visits, know.cutoff, size)[customer],
        "visits_21": visit_rhythm(visits, know.cutoff, 21, size)[customer],
        "visits_120": visit_rhythm(visits, know.cutoff, 120, size)[customer],
    }


def places(customer: Codes, score: Floats, tie: Floats) -> Codes:
    """Place of each row among those of its customer, 0 is best: by score, then ``tie``, then row order (item code)."""
    order = np.lexsort((np.arange(len(score)), -tie, -score, customer))
    result = np.empty(len(score), np.int64)
    if len(score):
        starts = np.flatnonzero(np.diff(customer[order], prepend=-1))
        lengths = np.diff(np.append(starts, len(score)))
        result[order] = np.arange(len(score)) - np.repeat(starts, lengths)
    return result


def _item_columns(know: Knowledge, item: Codes) -> dict[str, Floats]:
    return {
        "popular_short": know.short[item],
        "popular_long": know.long[item],
        "trend": know.popular[item] / np.maximum(know.long[item], 1),
        "rebuy_rate": know.habits.rebuy_rate[item],
        "keep_rate": know.habits.keep_rate[item],
        "owners": know.habits.owners[item],
    }


def _group_columns(know: Knowledge, bought: Purchases, customer: Codes, item: Codes) -> dict[str, Floats]:
    """How the customer buys from the item's category; nothing where items are categories themselves."""
    if know.world.items == know.world.groups - 1 and np.array_equal(know.groups, np.arange(know.world.items)):
        return {}
    pairs = pairs_before(bought.before(know.cutoff).regrouped(know.groups), know.cutoff)
    keys = pairs.customer * know.world.groups + pairs.item
    wanted = customer * know.world.groups + know.groups[item]
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    known = keys[at] == wanted if len(keys) else np.zeros(len(wanted), np.bool_)

    def column(values: Floats, missing: float) -> Floats:
        return np.where(known, values[at], missing) if len(keys) else np.full(len(wanted), missing)

    return {
        "group_21": column(pairs.decayed(21), 0),
        "group_120": column(pairs.decayed(120), 0),
        "group_last_age": column(pairs.last_age, np.nan),
        "group_due": column(pairs.last_age / np.maximum(know.group_habits.mean_gap_days[pairs.item], 1), np.nan),
        "group_keep_rate": know.group_habits.keep_rate[know.groups[item]],
    }


def _own_ease(know: Knowledge, pairs: Pairs, customer: Codes, item: Codes) -> Floats:
    near = know.neighbours
    place = near.place[item]
    scores = np.full(len(item), np.nan)
    customers = distinct(customer)
    for at in range(0, len(customers), ROWS_AT_ONCE):
        part = customers[at : at + ROWS_AT_ONCE]
        first, end = np.searchsorted(customer, [part[0], part[-1] + 1])
        rows = np.flatnonzero(place[first:end] >= 0) + first
        table = _owned(know, pairs, part) @ near.ease
        scores[rows] = table[np.searchsorted(part, customer[rows]), place[rows]]
    return scores


def _new_part(know: Knowledge, pairs: Pairs, customers: Codes) -> tuple[tuple[Codes, Codes], dict[str, Floats]]:
    near = know.neighbours
    owned = _owned(know, pairs, customers)
    scores = {
        "ease": np.asarray(owned @ near.ease),
        "popular": np.broadcast_to(know.popular[near.items].astype(np.float32), (len(customers), len(near.items))),
    }
    if near.bm25 is not None:
        scores["bm25"] = np.asarray(owned @ near.bm25)
    scores["ease_popular"] = np.maximum(scores["ease"], 0) * scores["popular"] ** POPULARITY_POWER
    taken = owned.toarray() > 0
    wanted = np.zeros(taken.shape, np.bool_)
    for table in scores.values():
        wanted |= _best(np.where(taken, -np.inf, table), NEW_KEPT)
    row, place = np.nonzero(wanted & ~taken)
    columns = {name: table[row, place].astype(np.float64) for name, table in scores.items() if name != "popular"}
    return (customers[row], near.items[place]), columns


def _owned(know: Knowledge, pairs: Pairs, customers: Codes) -> sparse.csr_matrix:
    """Customers by neighbour items."""
    place = know.neighbours.place[pairs.item]
    first, end = np.searchsorted(pairs.customer, [customers[0], customers[-1] + 1]) if len(customers) else (0, 0)
    inside = np.flatnonzero(place[first:end] >= 0) + first
    row = np.searchsorted(customers, pairs.customer[inside])
    shape = (len(customers), len(know.neighbours.items))
    return sparse.csr_matrix((np.ones(len(inside), np.float32), (row, place[inside])), shape=shape)


def _best(scores: Weights, kept: int) -> NDArray[np.bool_]:
    """Marks the ``kept`` best of each row; ties at the border are all taken."""
    if scores.shape[1] <= kept:
        return np.ones(scores.shape, np.bool_)
    border = np.partition(scores, scores.shape[1] - kept, axis=1)[:, scores.shape[1] - kept]
    return np.asarray(scores >= border[:, None])


def anchors(know: Knowledge, pairs: Pairs, customer: Codes, item: Codes) -> Codes:
    """Per candidate the owned item that speaks most for it (item code), -1 where none does; sorted by customer."""
    near, found = know.neighbours, np.full(len(item), -1, np.int64)
    inside = near.place[pairs.item] >= 0
    owner, owned = pairs.customer[inside], near.place[pairs.item[inside]]
    first, end = np.searchsorted(owner, customer, "left"), np.searchsorted(owner, customer, "right")
    for row in np.flatnonzero((end > first) & (near.place[item] >= 0)):
        mine = owned[first[row] : end[row]]
        weights = near.ease[mine, near.place[item[row]]]
        best = int(weights.argmax())
        if weights[best] > 0:
            found[row] = near.items[mine[best]]
    return found
