"""The models that compete: scores of candidates, from single columns to a booster over all of them."""

from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from tasks.recommendations.candidates import HALF_LIFE_COLUMN, Candidates, new_candidates, own_candidates
from tasks.recommendations.knowledge import Knowledge, learn
from tasks.recommendations.purchases import Floats, Purchases, distinct, found_in
from tasks.recommendations.replenishment import RHYTHM
from tasks.recommendations.settings import RecommendationSettings

Task = Literal["repeat", "new"]
BOOSTER = "booster"
BM25 = "bm25"
SHAPES: dict[Task, dict[str, Any]] = {
    "repeat": {"max_iter": 80, "learning_rate": 0.1, "max_leaf_nodes": 31},
    "new": {"max_iter": 60, "learning_rate": 0.12, "max_leaf_nodes": 15},  # hits are rare: larger trees learn noise
}
NAIVE: dict[Task, str] = {"repeat": "half_life", "new": "popular"}
COLUMNS: dict[Task, dict[str, str]] = {
    "repeat": {"half_life": HALF_LIFE_COLUMN, "ease": "ease", "popular": "popular"},
    "new": {"popular": "popular", "ease": "ease", "ease_popular": "ease_popular", "bm25": "bm25"},
}


@dataclass(frozen=True, slots=True)
class Champions:
    """The model in use for products bought before, for products new to the customer, and for the day to buy again."""

    repeat: str
    new: str
    replenishment: str = RHYTHM


@dataclass(frozen=True, slots=True, eq=False)
class Booster:
    """A gradient booster that says how likely a candidate is bought within the horizon."""

    model: HistGradientBoostingClassifier | None

    def score(self, candidates: Candidates) -> Floats:
        """Probability per candidate."""
        if self.model is None or not len(candidates.item):
            return np.zeros(len(candidates.item))
        with threadpool_limits(1, "openmp"):
            return np.asarray(self.model.predict_proba(candidates.matrix())[:, 1], np.float64)


def fit_booster(task: Task, lessons: list[tuple[Candidates, Floats]]) -> Booster:
    """Fit on candidates of earlier windows, each with 1 where the item was bought in the window and 0 elsewhere."""
    rows = np.concatenate([candidates.matrix() for candidates, _ in lessons])
    truth = np.concatenate([bought for _, bought in lessons])
    if not len(truth) or truth.min() == truth.max():
        return Booster(None)
    rows[:, ~np.isfinite(rows).any(axis=0)] = 0  # a column that nobody has cannot be cut into bins
    order = np.lexsort((*rows[:, :8].T, truth))  # the model does not depend on how customers are numbered
    model = HistGradientBoostingClassifier(
        **SHAPES[task], min_samples_leaf=100, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    # Threads that wait for each other by spinning make a busy machine ten times slower than one thread.
    with threadpool_limits(1, "openmp"):
        return Booster(model.fit(rows[order], truth[order]))


def was_bought(candidates: Candidates, window: Purchases, items: int) -> Floats:
    """1 for each candidate whose customer bought the item in ``window``."""
    bought = distinct(window.customer * items + window.item)
    return found_in(bought, candidates.customer * items + candidates.item).astype(np.float64)


def candidates_of(task: Task, know: Knowledge, bought: Purchases, half_life_days: float) -> Candidates:
    """Candidates of a task."""
    if task == "repeat":
        return own_candidates(know, bought, half_life_days)
    return new_candidates(know, bought)


def scores(task: Task, model: str, candidates: Candidates, boosters: dict[str, Booster]) -> Floats:
    """Score per candidate: positive where the model has something to say for it.

    A booster that found nothing to learn from leaves its place to the naive rival.
    """
    if model == BOOSTER and boosters[task].model is not None:
        return boosters[task].score(candidates)
    column = candidates.columns[COLUMNS[task][NAIVE[task] if model == BOOSTER else model]].astype(np.float64)
    return np.where(np.isfinite(column), column, 0.0)


def teach(
    db: duckdb.DuckDBPyConnection,
    cutoff: int,
    teachers: Purchases,
    settings: RecommendationSettings,
    chosen: Champions,
) -> dict[str, Booster]:
    """The boosters among the champions, fitted on the windows that ended before day ``cutoff``."""
    boosters: dict[str, Booster] = {}
    tasks: dict[Task, str] = {"repeat": chosen.repeat, "new": chosen.new}
    wanted: list[Task] = [task for task, model in tasks.items() if model == BOOSTER]
    if not wanted:
        return boosters
    lessons: dict[str, list[tuple[Candidates, Floats]]] = {task: [] for task in wanted}
    for back in range(1, settings.lessons + 1):
        start = cutoff - back * settings.horizon_days
        know = learn(db, "product", start, teachers, settings, bm25=chosen.new == BOOSTER)
        window = teachers.between(start, start + settings.horizon_days)
        for task in wanted:
            found = candidates_of(task, know, teachers, settings.half_life_days)
            lessons[task].append((found, was_bought(found, window, know.world.items)))
    return {task: fit_booster(task, lessons[task]) for task in wanted}
