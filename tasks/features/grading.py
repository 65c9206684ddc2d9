"""Grades: every model against its naive rival on a window that was closed to all of them.

Metrics come with 90 % intervals from resampled customers; gains over the naive rival are resampled in pairs, so a small
but steady gain is told from luck.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tasks.features.observation import Floats, Outcome

RESAMPLES = 200
INTERVAL = (0.05, 0.95)
MOST_GRADED = 50_000  # customers resampled; more would not make the intervals visibly narrower
RELIABILITY_BINS = 10
SEED = 20_171_004

Metric: TypeAlias = Callable[[Floats, Floats], float]


@dataclass(frozen=True, slots=True)
class Grade:
    """One metric of one model on one window; ``low`` and ``high`` are the ends of its 90 % interval."""

    target: str
    cutoff: date
    horizon_days: int
    model: str
    metric: str
    value: float
    low: float | None
    high: float | None
    customers: int
    champion: bool
    naive: bool
    note: str
    chosen_on: date | None = None

    def row(self, graded_on: date) -> dict[str, object]:
        """Return the grade as a row of the table model_grades."""
        return {**asdict(self), "graded_on": graded_on}


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What one model said about each customer, by the metric's need: a ranking, a mean, a median, or a probability.

    ``usable`` is False for rivals that only rank: they are graded, and never chosen.
    """

    predictions: Mapping[str, Floats]
    usable: bool = True
    naive: bool = False
    note: str = ""


def auc(happened: Floats, score: Floats) -> float:
    """Chance that a customer to whom it happened scores higher than one to whom it did not; NaN if all are alike."""
    positive = happened > 0
    hits, misses = int(positive.sum()), int((~positive).sum())
    if hits == 0 or misses == 0:
        return float("nan")
    return float((rankdata(score)[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def spearman(spend: Floats, score: Floats) -> float:
    """Rank correlation of score and spend, ties sharing their mean rank; NaN where either does not vary."""
    first, second = rankdata(spend), rankdata(score)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def concentration(spend: Floats, score: Floats) -> float:
    """Area between chance and the curve of spend gathered from the highest score down, over that of a perfect score.

    1 is perfect, 0 is chance (the normalised Gini coefficient; Lerman and Yitzhaki 1984). Unlike a rank correlation it
    does not reward ties among the many who spend nothing. NaN where everybody spent the same.
    """
    away = spend - spend.mean() if len(spend) else spend
    best = float(away @ rankdata(spend))
    return float(away @ rankdata(score)) / best if best > 0 else float("nan")


def top_decile_lift(spend: Floats, score: Floats) -> float:
    """Mean spend of the tenth of customers with the highest score over the mean of all; ties in score share places.

    The tenth is rounded up, so that a perfect ranking of few customers stays comparable.
    """
    mean = spend.mean() if len(spend) else 0.0
    if mean <= 0:
        return float("nan")
    places = int(np.ceil(len(spend) / 10))
    edge = np.partition(score, len(score) - places)[len(score) - places]
    above, tied = score > edge, score == edge
    inside = spend[above].sum() + spend[tied].mean() * (places - above.sum())
    return float(inside / places / mean)


def mean_absolute_error(actual: Floats, predicted: Floats) -> float:
    """Mean absolute difference, in the unit of the target."""
    return float(np.abs(actual - predicted).mean())


def brier(happened: Floats, probability: Floats) -> float:
    """Mean squared difference of probability and what happened (Brier 1950)."""
    return float(np.square(happened - probability).mean())


def total_ratio(actual: Floats, predicted: Floats) -> float:
    """Predicted over actual total: 1 is right, above it promises too much."""
    return float(predicted.sum() / actual.sum()) if actual.sum() > 0 else float("nan")


def mean_said(_actual: Floats, said: Floats) -> float:
    """Mean over customers, for targets where each model is judged by what it said to them itself."""
    return float(said.mean())


METRICS: Mapping[str, tuple[tuple[str, str, Metric], ...]] = {
    "lifetime_value": (
        ("concentration", "ranking", concentration),
        ("spearman", "ranking", spearman),
        ("top_decile_lift", "ranking", top_decile_lift),
        ("mae", "median", mean_absolute_error),
        ("total_ratio", "mean", total_ratio),
    ),
    "churn": (("auc", "ranking", auc), ("brier", "probability", brier)),
    "next_order": (("mae_days", "days", mean_absolute_error),),
    "adoption": (("hit_rate", "hits", mean_said), ("brier", "squared_error", mean_said)),
}
"""Per target: name of the metric, the prediction that it reads, and the function; the first decides the champion."""

SMALLER_IS_BETTER = frozenset({"mae", "brier", "mae_days"})
UNDECIDING = frozenset({"total_ratio", "top_decile_lift", "spearman"})
SHARES = frozenset({"concentration", "auc"})
AS_GOOD = 0.002  # of an area under a curve: less is luck, and then accuracy decides


@dataclass(frozen=True, slots=True)
class Appointment:
    """The champion, the start of the window on which it was chosen, and why, in a sentence each for it and others."""

    model: str | None
    chosen_on: date
    why: str
    why_not: str


def grade(
    target: str,
    cutoff: date,
    horizon_days: int,
    actual: Floats,
    candidates: Mapping[str, Candidate],
    *,
    before: tuple[Grade, ...] = (),
) -> tuple[Grade, ...]:
    """Grade candidates on one window, one row per model and metric, and mark the champion.

    The champion is the one that the window ``before`` chose, if it may be used (see ``appoint``), else the usable
    candidate that is best on this one. Besides each metric there is ``<metric>_gain``, the paired difference to the
    naive rival (positive is better).
    """
    naive = next((name for name, candidate in candidates.items() if candidate.naive), None)
    appointed = appoint(target, cutoff, actual, candidates, before)
    champion = appointed.model
    measured = {name: _measured(target, actual, candidate) for name, candidate in candidates.items()}
    grades = []
    for name, candidate in candidates.items():
        for metric, value, low, high in _intervals(measured[name], measured.get(naive or ""), is_naive=name == naive):
            grades.append(
                Grade(
                    target=target,
                    cutoff=cutoff,
                    horizon_days=horizon_days,
                    model=name,
                    metric=metric,
                    value=value,
                    low=low,
                    high=high,
                    customers=len(actual),
                    champion=name == champion,
                    naive=name == naive,
                    note=_note(name, candidate, appointed),
                    chosen_on=appointed.chosen_on,
                )
            )
    return tuple(grades)


def plain_grade(
    target: str, cutoff: date, horizon_days: int, *, model: str, metric: str, value: float, customers: int
) -> Grade:
    """Return a measurement that describes a model and decides nothing."""
    return Grade(target, cutoff, horizon_days, model, metric, value, None, None, customers, False, False, "")


def appoint(
    target: str, cutoff: date, actual: Floats, candidates: Mapping[str, Candidate], before: tuple[Grade, ...]
) -> Appointment:
    """Return the champion of a window: chosen on the one before, so that its grades here do not flatter it.

    That needs every usable candidate of today to have been graded before; else this window chooses. Whoever was chosen
    before and falls below the naive rival here is replaced by it.
    """
    usable = {name for name, candidate in candidates.items() if candidate.usable}
    graded = [one for one in before if one.target == target]
    chosen = champion_of(before, target)
    naive = next((name for name in usable if candidates[name].naive), None)
    if chosen not in usable or not usable <= {one.model for one in graded}:
        best = choose(target, actual, candidates)
        return Appointment(
            best,
            cutoff,
            "Champion: best on this window.",
            f"Not used: does not beat {naive}." if best == naive else f"Not used: {best} is better.",
        )
    earlier = graded[0].cutoff
    if naive is not None and chosen != naive and _falls_below(target, actual, candidates[chosen], candidates[naive]):
        return Appointment(
            naive,
            earlier,
            f"Champion: {chosen}, best before, fell below it on this window.",
            f"Not used: fell below {naive} or was not chosen before.",
        )
    return Appointment(
        chosen,
        earlier,
        "Champion: best on the window before.",
        f"Not used: did not beat {naive} on the window before."
        if chosen == naive
        else f"Not used: {chosen} was better on the window before.",
    )


def _falls_below(target: str, actual: Floats, champion: Candidate, naive: Candidate) -> bool:
    for metric, needs, measure in METRICS[target]:
        both = [measure(actual, one.predictions[needs]) for one in (champion, naive) if needs in one.predictions]
        if metric not in UNDECIDING and len(both) == 2 and np.isfinite(both).all():  # noqa: PLR2004 - champion and rival
            return both[0] > both[1] if metric in SMALLER_IS_BETTER else both[0] < both[1]
    return False


def choose(target: str, actual: Floats, candidates: Mapping[str, Candidate]) -> str | None:
    """Return the usable candidate that is best by the target's first metric.

    Candidates closer to the best than ``AS_GOOD`` count as equal, and so does everybody where a metric says nothing
    (all did the same): then the next metric decides among them, at last the order of ``candidates``. Nobody below the
    naive rival counts as equal.
    """
    left = {name: candidate for name, candidate in candidates.items() if candidate.usable}
    for metric, needs, measure in METRICS[target]:
        sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
        scores = {
            name: sign * measure(actual, candidate.predictions[needs])
            for name, candidate in left.items()
            if needs in candidate.predictions and metric not in UNDECIDING
        }
        known = {name: score for name, score in scores.items() if np.isfinite(score)}
        if known:
            least = max(known.values()) - (AS_GOOD if metric in SHARES else 0.0)
            least = max([least, *(known[name] for name in known if candidates[name].naive)])
            left = {name: left[name] for name in known if known[name] >= least}
    return next(iter(left), None)


def champion_of(grades: tuple[Grade, ...], target: str) -> str | None:
    """Return the model that a back-test chose for a target, None where nothing could be graded."""
    return next((grade.model for grade in grades if grade.target == target and grade.champion), None)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Customers with similar probabilities: what was said on average, and how often it happened."""

    predicted: float
    observed: float
    customers: int


def reliability(happened: Floats, probability: Floats, bins: int = RELIABILITY_BINS) -> tuple[ReliabilityBin, ...]:
    """Return the reliability curve: bins of equally many customers, from the lowest probability to the highest."""
    order = np.argsort(probability, kind="stable")
    return tuple(
        ReliabilityBin(float(probability[part].mean()), float(happened[part].mean()), len(part))
        for part in np.array_split(order, min(bins, max(len(order), 1)))
        if len(part)
    )


def interval_coverage(outcome: Outcome, earliest: Floats, latest: Floats, horizon_days: int) -> tuple[float, float]:
    """Return the share of customers whose next order fell into its interval, and the mean width in days.

    A missing end is "later than the horizon"; whoever did not order within it is inside when the interval is open.
    """
    low = np.where(np.isnan(earliest), horizon_days, earliest)
    high = np.where(np.isnan(latest), horizon_days, latest)
    days = np.where(outcome.bought, outcome.days, horizon_days)
    return float(((days >= low) & (days <= high)).mean()), float((high - low + 1).mean())


def _measured(target: str, actual: Floats, candidate: Candidate) -> dict[str, tuple[float, Floats]]:
    """Return each metric of a candidate with its values on resampled customers, the same for every candidate."""
    found: dict[str, tuple[float, Floats]] = {}
    samples = _resampled(len(actual))
    for metric, needs, measure in METRICS[target]:
        said = candidate.predictions.get(needs)
        if said is not None and np.isfinite(value := measure(actual, said)):
            found[metric] = value, np.array([measure(actual[sample], said[sample]) for sample in samples])
    return found


def _intervals(
    mine: Mapping[str, tuple[float, Floats]], theirs: Mapping[str, tuple[float, Floats]] | None, *, is_naive: bool
) -> list[tuple[str, float, float | None, float | None]]:
    """Return the metrics with their intervals, and the paired gains over the naive rival."""
    found = []
    for metric, (value, drawn) in mine.items():
        found.append((metric, value, *_interval(drawn)))
        if is_naive or theirs is None or metric not in theirs or metric == "total_ratio":
            continue
        sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
        rival, rival_drawn = theirs[metric]
        found.append((f"{metric}_gain", sign * (value - rival), *_interval(sign * (drawn - rival_drawn))))
    return found


def _interval(drawn: Floats) -> tuple[float | None, float | None]:
    known = drawn[np.isfinite(drawn)]
    if len(known) == 0:
        return None, None
    low, high = np.quantile(known, INTERVAL)
    return float(low), float(high)


def _resampled(customers: int) -> NDArray[np.int64]:
    generator = np.random.default_rng(SEED)
    return generator.integers(0, max(customers, 1), size=(RESAMPLES, min(customers, MOST_GRADED)))


def _note(name: str, candidate: Candidate, appointed: Appointment) -> str:
    if name == appointed.model:
        verdict = appointed.why
    else:
        verdict = appointed.why_not if candidate.usable else "Ranks only: graded, never used."
    return f"{verdict} {candidate.note}".strip()
