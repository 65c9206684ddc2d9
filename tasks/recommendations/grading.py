"""Which model recommends best on this retailer's own past: chosen on earlier windows, graded on a later one.

Buying again and finding something new are two tasks and graded apart: a customer's own list is hard to beat at the
first and worth nothing at the second.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import get_args

import duckdb
import numpy as np

from tasks.recommendations.candidates import Candidates, places
from tasks.recommendations.knowledge import by_popularity, learn
from tasks.recommendations.models import (
    BOOSTER,
    COLUMNS,
    NAIVE,
    Booster,
    Champions,
    Task,
    candidates_of,
    fit_booster,
    scores,
    was_bought,
)
from tasks.recommendations.purchases import (
    EPOCH,
    Codes,
    Flags,
    Floats,
    Level,
    Purchases,
    Universe,
    collect,
    day_number,
    distinct,
    found_in,
    purchases,
)
from tasks.recommendations.settings import RecommendationSettings

LENGTH = 10
RESAMPLES = 500
SEED = 7
INTERVAL = (5.0, 95.0)
DISCOUNT = 1 / np.log2(np.arange(2, LENGTH + 2))


@dataclass(frozen=True, slots=True)
class Metric:
    """A mean over customers with its 90 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Window:
    """Days from ``first`` on and before ``end``."""

    first: date
    end: date


@dataclass(frozen=True, slots=True)
class Grade:
    """How the champion and its rivals did on the tested window.

    ``models`` gives per model (the champion and the naive rival among them) its metrics: of lists ndcg_at_10,
    recall_at_10 and hit_rate_at_10. ``champion`` was chosen on ``chosen_on``; ``in_use`` is the naive rival where the
    champion fell below it on ``tested_on``; ``note`` says why.
    """

    target: str
    level: str
    champion: str
    naive: str
    in_use: str
    models: dict[str, dict[str, Metric]]
    customers: int
    chosen_on: Window
    tested_on: Window
    note: str

    @property
    def metrics(self) -> dict[str, Metric]:
        """Metrics of the champion."""
        return self.models[self.champion]

    @property
    def rivals(self) -> dict[str, dict[str, Metric]]:
        """Metrics of all others."""
        return {name: metrics for name, metrics in self.models.items() if name != self.champion}


def grade(
    db: duckdb.DuckDBPyConnection, cutoff: date, horizon_days: int, level: Level, settings: RecommendationSettings
) -> dict[str, Grade]:
    """Grades of ``recommendations.repeat`` and ``recommendations.new`` for ``horizon_days`` from ``cutoff`` on.

    Reads the views order_lines, products and customer_segments. Items are products or categories (``level``). Models
    are chosen on the window that ended at the cut-off; nothing of the tested window is known to the choice.
    """
    collect(db, cutoff + timedelta(days=horizon_days), settings)
    bought = purchases(db, level, "teaches")
    first = day_number(cutoff)
    starts = range(first, first - (settings.lessons + 2) * horizon_days, -horizon_days)
    rounds = [_Round.of(db, level, range(start, start + horizon_days), bought, settings) for start in starts]
    return {f"recommendations.{task}": _grade(task, level, rounds) for task in get_args(Task)}


def champions(grades: dict[str, Grade]) -> Champions:
    """The models that the next runs use."""
    return Champions(grades["recommendations.repeat"].in_use, grades["recommendations.new"].in_use)


@dataclass(frozen=True, slots=True, eq=False)
class _Round:
    """Candidates at the start of a window, and what happened in its ``days``."""

    days: range
    world: Universe
    known: Flags
    popular: Floats
    favourites: Codes
    candidates: dict[Task, Candidates]
    truth: dict[Task, Purchases]

    @staticmethod
    def of(
        db: duckdb.DuckDBPyConnection, level: Level, days: range, bought: Purchases, settings: RecommendationSettings
    ) -> "_Round":
        know = learn(db, level, days.start, bought, settings, bm25=True)
        before = bought.before(days.start)
        known = np.zeros(know.world.customers, np.bool_)
        known[before.customer] = True
        window = bought.between(days.start, days.stop)
        window = window.only(known[window.customer])
        size = know.world.items
        fresh = ~found_in(before.customer * size + before.item, window.customer * size + window.item)
        found: dict[Task, Candidates] = {
            task: candidates_of(task, know, before, settings.half_life_days) for task in get_args(Task)
        }
        return _Round(
            days,
            know.world,
            known,
            know.popular,
            by_popularity(know)[: 2 * LENGTH],
            found,
            {"repeat": window, "new": window.only(fresh)},
        )

    @property
    def window(self) -> Window:
        return Window(EPOCH + timedelta(days=self.days.start), EPOCH + timedelta(days=self.days.stop))


def _grade(task: Task, level: Level, rounds: list[_Round]) -> Grade:
    tested, chosen, *_ = rounds
    champion, note = _choose(_measured(task, chosen, rounds[2:]), NAIVE[task])
    results = _measured(task, tested, rounds[1:-1])
    if champion not in results:
        champion, note = NAIVE[task], f"{champion} could not be fitted, so {NAIVE[task]} is used."
    in_use = champion
    if _mean(results[champion]) < _mean(results[NAIVE[task]]):
        in_use = NAIVE[task]
        note = f"{champion} fell below {in_use} in the tested window, so {in_use} is used."
    return Grade(
        target=f"recommendations.{task}",
        level=level,
        champion=champion,
        naive=NAIVE[task],
        in_use=in_use,
        models={name: {metric: interval(values) for metric, values in each.items()} for name, each in results.items()},
        customers=len(results[champion]["ndcg_at_10"]),
        chosen_on=chosen.window,
        tested_on=tested.window,
        note=note,
    )


def _measured(task: Task, test: _Round, lessons: list[_Round]) -> dict[str, dict[str, Floats]]:
    """Per model and metric one value per customer who bought something that counts."""
    size = test.world.items
    taught = [
        (each.candidates[task], was_bought(each.candidates[task], each.truth["repeat"], size)) for each in lessons
    ]
    boosters: dict[str, Booster] = {task: fit_booster(task, taught)}
    names = [*COLUMNS[task], *([BOOSTER] if boosters[task].model is not None else [])]
    return {
        name: _lists_against_truth(task, test, scores(task, name, test.candidates[task], boosters)) for name in names
    }


def _lists_against_truth(task: Task, test: _Round, score: Floats) -> dict[str, Floats]:
    found, size = test.candidates[task], test.world.items
    place = places(found.customer, score, test.popular[found.item])
    listed = place < LENGTH
    customer, item, place = found.customer[listed], found.item[listed], place[listed]
    if task == "repeat":
        customer, item, place = _filled_up(customer, item, place, test)
    truth = distinct(test.truth[task].customer * size + test.truth[task].item)
    wanted = np.bincount(truth // size, minlength=test.world.customers)
    hit = found_in(truth, customer * size + item)
    gain = np.bincount(customer, hit * DISCOUNT[place], test.world.customers)
    hits = np.bincount(customer, hit, test.world.customers)
    graded = wanted > 0
    ideal = np.cumsum(DISCOUNT)[np.minimum(wanted[graded], LENGTH) - 1]
    return {
        "ndcg_at_10": gain[graded] / ideal,
        "recall_at_10": hits[graded] / wanted[graded],
        "hit_rate_at_10": (hits[graded] > 0).astype(np.float64),
    }


def _filled_up(customer: Codes, item: Codes, place: Codes, test: _Round) -> tuple[Codes, Codes, Codes]:
    """Lists shorter than :data:`LENGTH` end with what is popular."""
    size = test.world.items
    listed = np.bincount(customer, minlength=test.world.customers)
    short = np.flatnonzero(test.known & (listed < LENGTH))
    popular = test.favourites
    more = np.repeat(short, len(popular))
    extra = np.tile(popular, len(short))
    fresh = ~found_in(np.sort(customer * size + item), more * size + extra)
    more, extra = more[fresh], extra[fresh]
    at = places(more, np.zeros(len(more)), np.zeros(len(more))) + listed[more]
    kept = at < LENGTH
    return (
        np.concatenate([customer, more[kept]]),
        np.concatenate([item, extra[kept]]),
        np.concatenate([place, at[kept]]),
    )


def _choose(results: dict[str, dict[str, Floats]], naive: str) -> tuple[str, str]:
    """The best model of an earlier window, if it is surely better than the naive one."""
    best = max(results, key=lambda name: (_mean(results[name]), name == naive))
    gain = results[best]["ndcg_at_10"] - results[naive]["ndcg_at_10"]
    if best == naive or not len(gain):
        return naive, f"No model beat {naive} in the window before."
    surplus = interval(gain)
    if surplus.low <= 0:
        return naive, f"{best} was not surely better than {naive} in the window before."
    return best, f"{best} beat {naive} by {surplus.value:.4f} ({surplus.low:.4f} to {surplus.high:.4f}) before."


def _mean(result: dict[str, Floats]) -> float:
    values = result["ndcg_at_10"]
    return float(values.mean()) if len(values) else 0.0


def interval(values: Floats) -> Metric:
    """The mean of one value per customer, with its bootstrap interval."""
    if not len(values):
        return Metric(0.0, 0.0, 0.0)
    ordered = np.sort(values)  # the interval does not depend on how customers are numbered
    draws = np.random.default_rng(SEED).integers(0, len(ordered), (RESAMPLES, len(ordered)), np.int32)
    low, high = np.percentile(ordered[draws].mean(axis=1), INTERVAL)
    return Metric(float(values.mean()), float(low), float(high))
