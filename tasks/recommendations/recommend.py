"""Products for every customer: the daily run of the recommendation stage."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

from tasks.recommendations.availability import offer_weights
from tasks.recommendations.candidates import Candidates, anchors, new_candidates, own_candidates, places
from tasks.recommendations.knowledge import Knowledge, learn
from tasks.recommendations.ladder import next_steps
from tasks.recommendations.models import BM25, BOOSTER, NAIVE, Booster, Champions, scores, teach
from tasks.recommendations.own_history import Pairs, pairs_before
from tasks.recommendations.popularity import Favourites, segment_favourites
from tasks.recommendations.purchases import (
    Codes,
    Floats,
    Purchases,
    chunks,
    collect,
    day_number,
    found_in,
    purchases,
    universe,
)
from tasks.recommendations.ranking import KINDS, Offers, joined, mixed, offers
from tasks.recommendations.reasons import SCHEMA, with_reasons
from tasks.recommendations.replenishment import OWN_GAP, Rhythm, due_days, learn_rhythm, own_gap_days
from tasks.recommendations.settings import RecommendationSettings

SIMPLE = frozenset({"half_life", "popular"})
SPARE = 4
"""Popular products kept per place on a list: those the customer already owns fall out."""
STEPS_FROM = 10
"""An up-sell starts from one of this many best products of the customer."""


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """All that is the same for every customer on the day."""

    know: Knowledge
    weight: Floats
    steps: Codes
    favourites: Favourites
    rhythm: Rhythm
    boosters: dict[str, Booster]
    chosen: Champions
    half_life_days: float


def recommend(
    db: duckdb.DuckDBPyConnection, as_of: date, settings: RecommendationSettings, champions: Champions | None = None
) -> pa.RecordBatchReader:
    """Ranked products per customer known on the morning of ``as_of``, as rows of customer_recommendations.

    Reads the views order_lines, products and customer_segments. ``champions`` are the models that won the last
    grading; without them the naive rivals are used. Products out of stock never appear.
    """
    chosen = champions or Champions(NAIVE["repeat"], NAIVE["new"])
    collect(db, as_of, settings)
    shop = _open(db, as_of, settings, chosen)

    def batches() -> Iterator[pa.RecordBatch]:
        for first, end in chunks(shop.know.world.customers, settings.chunk_customers):
            where = f"customer >= {first} AND customer < {end}"
            bought = purchases(db, "product", where)
            people = np.arange(first, end, dtype=np.int64)
            best, rank = mixed(_candidates(shop, people, bought), settings.mix, settings.per_customer)
            best = _anchored(shop, best, pairs_before(bought, shop.know.cutoff))
            yield from with_reasons(db, as_of, best, rank).to_batches()

    return pa.RecordBatchReader.from_batches(SCHEMA, batches())


def _open(db: duckdb.DuckDBPyConnection, as_of: date, settings: RecommendationSettings, chosen: Champions) -> Shop:
    cutoff = day_number(as_of)
    teachers = purchases(db, "product", "teaches")
    # popularity alone asks no neighbours
    looked_at = settings if chosen.new != NAIVE["new"] else settings.model_copy(update={"item_limit": 0})
    know = learn(db, "product", cutoff, teachers, looked_at, bm25=chosen.new in {BM25, BOOSTER})
    weight = offer_weights(db, as_of.month, settings)
    offerable = np.flatnonzero(weight > 0)
    return Shop(
        know,
        weight,
        next_steps(db, as_of, offerable, universe(db, "product").items, settings),
        segment_favourites(
            db, range(cutoff - settings.popularity_days, cutoff), know.popular, weight, SPARE * settings.per_customer
        ),
        learn_rhythm(teachers, cutoff, know.world.items),
        teach(db, cutoff, teachers, settings, chosen),
        chosen,
        settings.half_life_days,
    )


def _candidates(shop: Shop, people: Codes, bought: Purchases) -> Offers:
    pairs = pairs_before(bought, shop.know.cutoff)
    own = own_candidates(shop.know, bought, shop.half_life_days, features=shop.chosen.repeat not in SIMPLE)
    own_score = scores("repeat", shop.chosen.repeat, own, shop.boosters)
    parts = [
        _replenish(shop, pairs, own, own_score),
        _step_up(shop, pairs, own, own_score),
        _popular(shop, pairs, people),
    ]
    if shop.chosen.new != NAIVE["new"]:  # a champion no better than popularity has nothing to add to it
        fresh = new_candidates(shop.know, bought, features=shop.chosen.new == BOOSTER)
        score = scores("new", shop.chosen.new, fresh, shop.boosters) * shop.weight[fresh.item]
        parts.append(offers("cross_sell", fresh.customer, fresh.item, score))
    return joined(parts)


def _anchored(shop: Shop, best: Offers, pairs: Pairs) -> Offers:
    rows = np.flatnonzero(best.kind == KINDS.index("cross_sell"))
    anchor = best.anchor.copy()
    anchor[rows] = anchors(shop.know, pairs, best.customer[rows], best.product[rows])
    return replace(best, anchor=anchor)


def _replenish(shop: Shop, pairs: Pairs, own: Candidates, score: Floats) -> Offers:
    due = due_days(pairs, shop.rhythm)
    row = np.searchsorted(_keys(pairs.customer, pairs.item, shop), _keys(own.customer, own.item, shop))
    plain = offers("replenish", own.customer, own.item, score * shop.weight[own.item])
    middle = own_gap_days(pairs) if shop.chosen.replenishment == OWN_GAP else due.middle
    return replace(plain, gap_days=due.gap_days[row], due_days=middle[row])


def _step_up(shop: Shop, pairs: Pairs, own: Candidates, score: Floats) -> Offers:
    best = places(own.customer, score, shop.know.popular[own.item]) < STEPS_FROM
    step = shop.steps[own.item]
    rows = best & (step >= 0)
    found = offers("up_sell", own.customer[rows], step[rows], score[rows] * shop.weight[step[rows]], own.item[rows])
    return found.only(~_owned(found.customer, found.product, pairs, shop))


def _popular(shop: Shop, pairs: Pairs, people: Codes) -> Offers:
    row = shop.favourites.row[people]
    kept = shop.favourites.products.shape[1]
    customer = np.repeat(people, kept)
    product, score = shop.favourites.products[row].ravel(), shop.favourites.scores[row].ravel()
    real = product >= 0
    found = offers("popular", customer[real], product[real], score[real])
    return found.only(~_owned(found.customer, found.product, pairs, shop))


def _owned(customer: Codes, product: Codes, pairs: Pairs, shop: Shop) -> np.ndarray:
    return found_in(_keys(pairs.customer, pairs.item, shop), _keys(customer, product, shop))


def _keys(customer: Codes, product: Codes, shop: Shop) -> Codes:
    return customer * shop.know.world.items + product
