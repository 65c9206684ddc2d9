"""What a customer's own purchases of an item say: how often, how recently, how regularly."""

from dataclasses import dataclass

import numpy as np

from tasks.recommendations.purchases import Codes, Floats, Purchases, Universe, Visits

HALF_LIVES = (7.0, 21.0, 60.0, 120.0, 365.0)
EXPOSED_DAYS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """One row per customer and item bought before, sorted by both; ages are days before the cut-off.

    ``start`` is the pair's first row in ``purchases``; ``days`` counts the days on which it was bought.
    """

    purchases: Purchases
    cutoff: int
    start: Codes
    customer: Codes
    item: Codes
    days: Floats
    first_age: Floats
    last_age: Floats
    previous_age: Floats

    def decayed(self, half_life_days: float) -> Floats:
        """Days of purchase, each halved for every ``half_life_days`` that have passed."""
        if not len(self.start):
            return np.zeros(0)
        ages = (self.cutoff - self.purchases.day).astype(np.float64)
        return np.add.reduceat(0.5 ** (ages / half_life_days), self.start)


def pairs_before(purchases: Purchases, cutoff: int) -> Pairs:
    """Customers with the items they bought before day ``cutoff``."""
    known = purchases.before(cutoff)
    start = run_starts(known.customer, known.item)
    end = np.append(start[1:], len(known)).astype(np.int64)[: len(start)]
    ages = (cutoff - known.day).astype(np.float64)
    days = (end - start).astype(np.float64)
    return Pairs(
        known,
        cutoff,
        start,
        known.customer[start],
        known.item[start],
        days,
        ages[start],
        ages[end - 1],
        np.where(days > 1, ages[np.maximum(end - 2, 0)], np.nan) if len(start) else np.zeros(0),
    )


@dataclass(frozen=True, slots=True, eq=False)
class ItemHabits:
    """How customers treat each item once they have bought it: per item code.

    ``rebuy_rate`` is repeat days per 30 days since the first purchase, ``mean_gap_days`` the mean time between two,
    ``keep_rate`` the share of older buyers who bought within the last 30 days, ``owners`` all buyers so far.
    """

    rebuy_rate: Floats
    mean_gap_days: Floats
    keep_rate: Floats
    owners: Floats


def item_habits(pairs: Pairs, items: int) -> ItemHabits:
    """Habits over all pairs; sums of whole days, so the order of customers does not matter."""
    repeats = _sum(pairs.item, pairs.days - 1, items)
    spans = _sum(pairs.item, pairs.first_age - pairs.last_age, items)
    exposure = _sum(pairs.item, pairs.first_age, items)
    old = pairs.first_age > EXPOSED_DAYS
    old_owners = _sum(pairs.item, old.astype(np.float64), items)
    kept = _sum(pairs.item, (old & (pairs.last_age <= EXPOSED_DAYS)).astype(np.float64), items)
    return ItemHabits(
        repeats / np.maximum(exposure, 1) * EXPOSED_DAYS,
        spans / np.maximum(repeats, 1),
        (kept + 0.1) / (old_owners + 1),
        _sum(pairs.item, np.ones(len(pairs.item)), items),
    )


def own_columns(pairs: Pairs, kept: Codes, habits: ItemHabits, world: Universe) -> dict[str, Floats]:
    """Columns for the re-ranking model per row of ``pairs`` numbered in ``kept``: own history and the item's habits."""
    customer, item, days = pairs.customer[kept], pairs.item[kept], pairs.days[kept]
    first, last = pairs.first_age[kept], pairs.last_age[kept]
    visits = pairs.purchases.visits()
    columns: dict[str, Floats] = {}
    for half_life in HALF_LIVES:
        rhythm = visit_rhythm(visits, pairs.cutoff, half_life, world.customers)[customer]
        weight = pairs.decayed(half_life)[kept]
        columns[f"own_{half_life:g}"] = weight
        columns[f"share_{half_life:g}"] = weight / np.maximum(rhythm, 1e-9)
        columns[f"visits_{half_life:g}"] = rhythm
    gap = np.where(days > 1, (first - last) / np.maximum(days - 1, 1), np.nan)
    usual = np.maximum(habits.mean_gap_days[item], 1)
    return columns | {
        "days": days,
        "last_age": last,
        "first_age": first,
        "gap": gap,
        "last_gap": pairs.previous_age[kept] - last,
        "due": last / gap,
        "due_for_item": last / usual,
        "last_visit_age": last_visit_age(visits, pairs.cutoff, world.customers)[customer],
        "mean_gap": habits.mean_gap_days[item],
    }


def visit_rhythm(visits: Visits, cutoff: int, half_life_days: float, customers: int) -> Floats:
    """Days with a purchase per customer, each halved for every ``half_life_days`` that have passed."""
    return _sum(visits.customer, 0.5 ** ((cutoff - visits.day) / half_life_days), customers)


def last_visit_age(visits: Visits, cutoff: int, customers: int) -> Floats:
    """Days since the last order per customer; infinite where there is none."""
    age = np.full(customers, np.inf)
    np.minimum.at(age, visits.customer, (cutoff - visits.day).astype(np.float64))
    return age


def run_starts(*keys: Codes) -> Codes:
    """First row of each run of equal keys in sorted columns."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    changed = np.zeros(len(keys[0]), np.bool_)
    changed[0] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changed)


def _sum(codes: Codes, values: Floats, size: int) -> Floats:
    return np.bincount(codes, values, size).astype(np.float64)
