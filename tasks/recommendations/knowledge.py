"""What is known about items on the morning of a cut-off: popularity, habits, neighbours."""

from dataclasses import dataclass

import duckdb
import numpy as np

from tasks.recommendations.neighbours import Neighbours, fit_neighbours
from tasks.recommendations.own_history import ItemHabits, item_habits, pairs_before
from tasks.recommendations.purchases import Codes, Floats, Level, Purchases, Universe, buyers, groups_of_items, universe
from tasks.recommendations.settings import RecommendationSettings

SHORT_DAYS, LONG_DAYS = 7, 91
NEIGHBOUR_DAYS = 120


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """Per item code: buyers in the last 7, ``popularity_days`` and 91 days, habits, category; and the neighbours."""

    cutoff: int
    world: Universe
    groups: Codes
    group_habits: ItemHabits
    habits: ItemHabits
    short: Floats
    popular: Floats
    long: Floats
    neighbours: Neighbours


def learn(
    db: duckdb.DuckDBPyConnection,
    level: Level,
    cutoff: int,
    teachers: Purchases,
    settings: RecommendationSettings,
    *,
    bm25: bool = False,
) -> Knowledge:
    """What the purchases before day ``cutoff`` say about items; ``teachers`` are those of the fitting set."""
    world = universe(db, level)
    groups = groups_of_items(db, level)
    pairs = pairs_before(teachers, cutoff)
    grouped = pairs if level == "category" else pairs_before(teachers.before(cutoff).regrouped(groups), cutoff)

    def lately(days: int) -> Floats:
        return buyers(db, level, cutoff - days, cutoff)

    return Knowledge(
        cutoff,
        world,
        groups,
        item_habits(grouped, world.groups),
        item_habits(pairs, world.items),
        lately(SHORT_DAYS),
        lately(settings.popularity_days),
        lately(LONG_DAYS),
        fit_neighbours(pairs, lately(NEIGHBOUR_DAYS), settings.item_limit, bm25=bm25),
    )


def by_popularity(knowledge: Knowledge) -> Codes:
    """Item codes by recent buyers, most first; ties by buyers over a longer time, then by product id."""
    items = np.arange(knowledge.world.items)
    return np.lexsort((items, -knowledge.long, -knowledge.popular))
