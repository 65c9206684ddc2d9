"""One list out of several kinds: no product twice, best first, kinds mixed as configured."""

from dataclasses import dataclass, fields
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from tasks.recommendations.candidates import places
from tasks.recommendations.purchases import Codes, Floats
from tasks.recommendations.settings import Kind, KindShares

KINDS: tuple[Kind, ...] = get_args(Kind)
"""In this order a product that fits several kinds is given to the first."""


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """One row per customer and product of a ``kind`` (place in :data:`KINDS`).

    ``anchor`` is the product that led to it (-1: none); ``gap_days`` and ``due_days`` are NaN where unknown.
    """

    customer: Codes
    product: Codes
    kind: Codes
    score: Floats
    anchor: Codes
    gap_days: Floats
    due_days: Floats

    def only(self, rows: NDArray[np.bool_] | Codes) -> "Offers":
        """The marked (or numbered) rows."""
        return Offers(*(getattr(self, field.name)[rows] for field in fields(self)))


def offers(kind: Kind, customer: Codes, product: Codes, score: Floats, anchor: Codes | None = None) -> Offers:
    """Offers of one kind."""
    unknown = np.full(len(customer), np.nan)
    lead = np.full(len(customer), -1, np.int64) if anchor is None else anchor
    return Offers(customer, product, np.full(len(customer), KINDS.index(kind)), score, lead, unknown, unknown)


def joined(parts: list[Offers]) -> Offers:
    """All offers one after the other."""
    return Offers(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Offers)))


def mixed(candidates: Offers, shares: KindShares, per_customer: int) -> tuple[Offers, Codes]:
    """The best ``per_customer`` offers of each customer, sorted by customer and rank, and their ranks from 1.

    The n-th offer of a kind stands at (n - 1/2) / share: lists follow the shares from the first place on, and places
    that a kind cannot fill go to the others. Kinds with share 0 are left out; ties go to the earlier kind.
    """
    share = np.array([getattr(shares, kind) for kind in KINDS])
    wanted = candidates.only((share[candidates.kind] > 0) & (candidates.score > 0))
    once = _first_kind_only(wanted)
    position = (_place_in_kind(once) + 0.5) / share[once.kind]
    order = np.lexsort((once.product, once.kind, position, once.customer))
    ordered = once.only(order)
    rank = _count_within(ordered.customer)
    kept = rank < per_customer
    return ordered.only(kept), rank[kept] + 1


def _first_kind_only(candidates: Offers) -> Offers:
    order = np.lexsort((-candidates.score, candidates.kind, candidates.product, candidates.customer))
    ordered = candidates.only(order)
    again = (np.diff(ordered.customer, prepend=-1) == 0) & (np.diff(ordered.product, prepend=-1) == 0)
    return ordered.only(~again)


def _place_in_kind(candidates: Offers) -> Codes:
    group = candidates.customer * len(KINDS) + candidates.kind
    return places(group, candidates.score, -candidates.product.astype(np.float64))


def _count_within(groups: Codes) -> Codes:
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    lengths = np.diff(np.append(starts, len(groups)))
    return np.arange(len(groups), dtype=np.int64) - np.repeat(starts, lengths)
