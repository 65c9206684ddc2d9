"""Clusters of customers that say something about the next period: chosen by grades, guarded by a gate, stable by name.

Candidates are fitted on *history*, features at an earlier morning with the spend of the period that followed, and
applied to *today*; nothing of today's future exists for them.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from threadpoolctl import threadpool_limits

from tasks.config import ClusterSettings
from tasks.config.base import Settings
from tasks.segments.behaviour import Behaviour, Labels
from tasks.segments.candidates import (
    Candidate,
    candidates,
    closest_pair,
    explained,
    explained_unseen,
    readability,
    rival,
    separation,
)
from tasks.segments.cluster_names import name_clusters
from tasks.segments.partitions import Partition
from tasks.segments.stability import bootstrap_stability, drift, number_clusters, weekly_stability

BOOTSTRAPS = 8
FINALISTS = 6
FEWEST_CUSTOMERS = 100
DISTINCT_DEVIATIONS = 0.5
DRIFT_LIMIT = 0.25
LEAST_EXPLAINED = 0.05
_CLEARLY_BETTER = 0.02
_STABILITY_CUSTOMERS = 10_000


class Solution(Settings):
    """Accepted clusters: how to place a customer, with the stable number and the name of each part."""

    partition: Partition
    numbers: tuple[int, ...]
    labels: tuple[str, ...]
    accepted_on: date
    shares: tuple[float, ...]
    eta_squared: float | None
    stability: float

    def place(self, people: Behaviour) -> Labels:
        """Stable cluster number of each customer with an order."""
        return np.asarray(np.array(self.numbers, dtype=np.int64)[self.partition.place(people)], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Review:
    """Grades of one candidate, on history except where today is said."""

    method: str
    clusters: int
    partition: Partition
    eta_squared: float | None
    rival_eta_squared: float | None
    smallest_share: float  # the smaller of history and today
    silhouette: float | None
    closest_pair: float
    readability: float
    stability: float | None = None  # on today
    weekly_stability: float | None = None  # on today
    chosen: bool = False
    verdict: str = ""

    @property
    def worth(self) -> float:
        """What candidates are ranked by: explained next-period spend (separation without a history) times stability.

        Stability is the mean of both kinds, as far as they are known.
        """
        says = self.eta_squared if self.eta_squared is not None else max(self.silhouette or 0.0, 0.0)
        known = [value for value in (self.stability, self.weekly_stability) if value is not None]
        return says * (sum(known) / len(known) if known else 1.0)


@dataclass(frozen=True, slots=True)
class Choice:
    """The clusters in use from now on, none if none ever passed the gate, and all reviews."""

    solution: Solution | None
    reviews: tuple[Review, ...]
    replaced: bool


def due_for_review(solution: Solution | None, today: Behaviour, as_of: date, refit_days: int) -> bool:
    """Whether clusters should be chosen again: none yet, older than ``refit_days``, or sizes drifted."""
    if solution is None or (as_of - solution.accepted_on).days >= refit_days:
        return True
    if not len(today):
        return False
    found = Counter(solution.place(today).tolist())
    now = {number: count / len(today) for number, count in found.items()}
    return drift(dict(zip(solution.numbers, solution.shares, strict=True)), now) > DRIFT_LIMIT


def choose_clusters(
    history: Behaviour | None,
    today: Behaviour,
    settings: ClusterSettings,
    as_of: date,
    *,
    in_use: Solution | None = None,
    week_ago: Behaviour | None = None,
) -> Choice:
    """Grade all candidates, take the best that passes the gate, else keep the clusters in use.

    ``history`` knows its next period; without it only unguided methods compete, by separation and stability.
    Fewer than ``FEWEST_CUSTOMERS`` customers are not clustered.
    """
    if min(len(today), len(today if history is None else history)) < FEWEST_CUSTOMERS:
        return Choice(in_use, (), replaced=False)
    past = _sample(today if history is None else history, settings.sample, settings.seed)
    with threadpool_limits(limits=1):
        graded = _grade_all(past, today, settings, in_use, guided=history is not None)
        if week_ago is not None:
            graded = [(review_of, _add_weeks(review, today, week_ago)) for review_of, review in graded]
    return _decide([review for _, review in graded], today, settings, as_of, in_use)


def _sample(people: Behaviour, most: int, seed: int) -> Behaviour:
    if len(people) <= most:
        return people
    return people.take(np.sort(np.random.default_rng(seed).permutation(len(people))[:most]))


def _grade_all(
    past: Behaviour, now: Behaviour, settings: ClusterSettings, in_use: Solution | None, *, guided: bool
) -> list[tuple[Candidate | None, Review]]:
    graded: list[tuple[Candidate | None, Review]] = []
    for candidate in candidates(settings, guided=guided):
        if candidate.parts > len(past) // 2:
            continue
        review = _grade(candidate, past, now, settings.seed)
        if all(review.partition != other.partition for _, other in graded) and review.clusters <= settings.largest:
            graded.append((candidate, review))
    eligible = [pair for pair in graded if _fault(pair[1], settings) is None]
    finalists = sorted(eligible, key=lambda pair: -pair[1].worth)[:FINALISTS]
    names = {id(pair[1]) for pair in finalists}
    graded = [(c, _add_stability(c, r, past, now, settings) if c and id(r) in names else r) for c, r in graded]
    if in_use is not None:
        graded.append((None, _regrade(in_use, past, now, settings.seed)))
    return graded


def _grade(candidate: Candidate, past: Behaviour, now: Behaviour, seed: int) -> Review:
    partition = candidate.fit(past)
    review = _measure(candidate.method, partition, past, now, seed)
    if not candidate.guided or review.eta_squared is None:
        return review
    return replace(review, eta_squared=explained_unseen(candidate, past, seed))


def _measure(method: str, partition: Partition, past: Behaviour, now: Behaviour, seed: int) -> Review:
    then, today = partition.place(past), partition.place(now)
    known = past.next_spend is not None
    return Review(
        method=method,
        clusters=partition.size,
        partition=partition,
        eta_squared=explained(past.outcome, then) if known else None,
        rival_eta_squared=rival(past, partition.size) if known else None,
        smallest_share=min(_smallest_share(labels, partition.size) for labels in (then, today)),
        silhouette=separation(past, then, seed),
        closest_pair=closest_pair(past, then, partition.size),
        readability=readability(past, then, seed),
    )


def _smallest_share(labels: Labels, size: int) -> float:
    return float(np.bincount(labels, minlength=size).min() / len(labels))


def _regrade(in_use: Solution, past: Behaviour, now: Behaviour, seed: int) -> Review:
    review = _measure(f"{in_use.partition.method} (in use)", in_use.partition, past, now, seed)
    return replace(review, stability=in_use.stability)


def _add_stability(
    candidate: Candidate, review: Review, past: Behaviour, now: Behaviour, settings: ClusterSettings
) -> Review:
    most = min(_STABILITY_CUSTOMERS, settings.sample)
    drawn, judged = _sample(past, most, settings.seed), _sample(now, most, settings.seed)
    found = bootstrap_stability(candidate.fit, drawn, judged, runs=BOOTSTRAPS, seed=settings.seed)
    return replace(review, stability=found)


def _add_weeks(review: Review, now: Behaviour, week_ago: Behaviour) -> Review:
    if review.stability is None:
        return review
    return replace(review, weekly_stability=weekly_stability(review.partition, now, week_ago))


def _fault(review: Review, settings: ClusterSettings) -> str | None:
    """Why the gate refuses, none if it does not: clusters must be actionable, distinct, telling and coherent."""
    says, naive = review.eta_squared, review.rival_eta_squared
    if review.smallest_share < settings.smallest_share:
        return f"not actionable: the smallest cluster holds {review.smallest_share:.1%} of customers"
    if review.closest_pair < DISTINCT_DEVIATIONS:
        return f"not distinct: two clusters lie only {review.closest_pair:.2f} deviations apart"
    if says is not None and says < LEAST_EXPLAINED:
        return f"says {says:.0%} about next-period spend: too little to act on"
    if says is not None and naive is not None and says <= naive:
        return f"says {says:.0%} about next-period spend, equal groups by past spend say {naive:.0%}"
    if review.stability is not None and review.stability < settings.min_stability:
        return f"not coherent: stability {review.stability:.2f} over bootstrap fits"
    return None


def _decide(
    reviews: list[Review], now: Behaviour, settings: ClusterSettings, as_of: date, in_use: Solution | None
) -> Choice:
    judged = [replace(review, verdict=_judge(review, settings)) for review in reviews]
    passed = [review for review in judged if review.stability is not None and _fault(review, settings) is None]
    incumbent = next((review for review in passed if review.method.endswith("(in use)")), None)
    best = max(passed, key=lambda review: (review.worth, review.readability, -review.clusters), default=None)
    if best is None or (incumbent is not None and incumbent.worth >= best.worth - _CLEARLY_BETTER):
        return Choice(in_use, tuple(_mark(review, incumbent) for review in judged), replaced=False)
    return Choice(_accept(best, now, as_of, in_use), tuple(_mark(review, best) for review in judged), replaced=True)


def _judge(review: Review, settings: ClusterSettings) -> str:
    fault = _fault(review, settings)
    if fault is not None:
        return f"refused: {fault}"
    if review.stability is None:
        return "not followed up: others say more"
    return f"passed: worth {review.worth:.2f}"


def _mark(review: Review, chosen: Review | None) -> Review:
    return replace(review, chosen=True, verdict=f"in use; {review.verdict}") if review is chosen else review


def _accept(best: Review, now: Behaviour, as_of: date, in_use: Solution | None) -> Solution:
    labels = best.partition.place(now)
    names = name_clusters(now, labels, best.clusters)
    numbers = tuple(range(1, best.clusters + 1))
    if in_use is not None:
        numbers = number_clusters(labels, in_use.partition.place(now), best.clusters, in_use.numbers)
        names = _keep_names(numbers, names, dict(zip(in_use.numbers, in_use.labels, strict=True)))
    counts = np.bincount(labels, minlength=best.clusters) / len(labels)
    return Solution(
        partition=best.partition,
        numbers=numbers,
        labels=names,
        accepted_on=as_of,
        shares=tuple(counts.tolist()),
        eta_squared=best.eta_squared,
        stability=best.stability or 0.0,
    )


def _keep_names(numbers: tuple[int, ...], names: tuple[str, ...], old: dict[int, str]) -> tuple[str, ...]:
    kept = [old.get(number) or name for number, name in zip(numbers, names, strict=True)]
    doubles = Counter(kept)
    return tuple(
        name if doubles[name] == 1 or number in old else f"{name} ({number})"
        for number, name in zip(numbers, kept, strict=True)
    )
