"""How lists of several kinds become one."""

import numpy as np

from tasks.recommendations.ranking import KINDS, joined, mixed, offers
from tasks.recommendations.settings import KindShares

HALVES = KindShares(replenish=0.5, cross_sell=0.5, up_sell=0, popular=0)


def some(kind, products, scores, customer=0):
    size = len(products)
    return offers(kind, np.full(size, customer), np.array(products), np.array(scores, float))


def picked(parts, shares, length):
    best, rank = mixed(joined(parts), shares, length)
    return [
        (int(place), int(product), KINDS[kind])
        for place, product, kind in zip(rank, best.product, best.kind, strict=True)
    ]


def test_kinds_alternate_by_share_and_best_scores_come_first():
    parts = [some("replenish", [1, 2], [1, 9]), some("cross_sell", [3, 4], [5, 4])]
    assert picked(parts, HALVES, 4) == [
        (1, 2, "replenish"),
        (2, 3, "cross_sell"),
        (3, 1, "replenish"),
        (4, 4, "cross_sell"),
    ]


def test_a_product_that_fits_two_kinds_is_offered_once_as_the_first_kind():
    parts = [some("cross_sell", [1], [9]), some("replenish", [1], [1])]
    assert picked(parts, HALVES, 4) == [(1, 1, "replenish")]


def test_ties_go_to_the_smaller_product_code():
    assert picked([some("replenish", [7, 3, 5], [1, 1, 1])], HALVES, 2) == [(1, 3, "replenish"), (2, 5, "replenish")]


def test_scores_of_zero_are_no_offer():
    assert picked([some("replenish", [1, 2], [0, 1])], HALVES, 2) == [(1, 2, "replenish")]


def test_each_customer_has_an_own_list():
    parts = [some("replenish", [1], [1], customer=4), some("replenish", [1, 2], [1, 2], customer=2)]
    best, rank = mixed(joined(parts), HALVES, 5)
    assert list(zip(best.customer.tolist(), rank.tolist(), strict=True)) == [(2, 1), (2, 2), (4, 1)]
