"""What segments say about the next period: the share of its spend that they explain, beside naive ways to divide."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from tasks.segments.behaviour import Array, Labels
from tasks.segments.candidates import explained

TARGET = "segments"
CLUSTERS, RULES, DECILES, RFM = "clusters", "rules", "spend_deciles", "rfm_sum"
RESAMPLES = 200
INTERVAL = (0.05, 0.95)
MOST_GRADED = 50_000  # customers resampled; more would not make the intervals visibly narrower
SEED = 11
_DECILES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """One way to divide customers: a group number for each, and where known how often fits come out alike."""

    labels: Labels
    stability: float | None = None
    weekly_stability: float | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """One metric of one division on one window; fields are columns of ``model_grades``."""

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
    chosen_on: date | None

    def row(self, graded_on: date) -> dict[str, object]:
        """The grade as a row of ``model_grades``."""
        return {**asdict(self), "graded_on": graded_on}


def spend_deciles(recent_spend: Array) -> Labels:
    """Ten equal groups by past spend: what anybody can do without a model."""
    order = np.argsort(np.argsort(recent_spend, kind="stable"), kind="stable")
    return np.asarray(order * _DECILES // max(len(order), 1), dtype=np.int64)


def numbered(names: npt.NDArray[np.object_]) -> Labels:
    """Groups by name as numbers from 0."""
    return np.asarray(np.unique(names.astype(str), return_inverse=True)[1], dtype=np.int64)


def grade_divisions(
    cutoff: date, horizon_days: int, next_spend: Array, divisions: Mapping[str, Division], clusters_note: str
) -> tuple[Grade, ...]:
    """Grade divisions on the spend that followed: eta_squared with its gain over spend deciles, groups, smallest_share.

    ``divisions`` holds ``spend_deciles``, the naive rival; the champion is the clusters unless they are missing or
    explain less than it. Rules are graded beside them: they are made to act on, and stay in use whatever they explain.
    """
    drawn = _resampled(len(next_spend))
    says = {name: explained(next_spend, each.labels) for name, each in divisions.items()}
    told = {name: _told(next_spend, each.labels, drawn) for name, each in divisions.items()}
    champion = CLUSTERS if says.get(CLUSTERS, -1.0) >= says[DECILES] else DECILES
    grades = []
    for name, each in divisions.items():
        rows: list[tuple[str, float, float | None, float | None]] = []
        rows.append(("eta_squared", says[name], *_interval(told[name])))
        if name != DECILES:
            rows.append(("eta_squared_gain", says[name] - says[DECILES], *_interval(told[name] - told[DECILES])))
        rows += [(metric, value, None, None) for metric, value in _plain(each)]
        note = _note(name, champion, clusters_note if name == (CLUSTERS if CLUSTERS in divisions else DECILES) else "")
        grades += [
            Grade(
                target=TARGET,
                cutoff=cutoff,
                horizon_days=horizon_days,
                model=name,
                metric=metric,
                value=value,
                low=low,
                high=high,
                customers=len(next_spend),
                champion=name == champion,
                naive=name == DECILES,
                note=note,
                chosen_on=cutoff - timedelta(days=horizon_days) if CLUSTERS in divisions else None,
            )
            for metric, value, low, high in rows
        ]
    return tuple(grades)


def _plain(division: Division) -> list[tuple[str, float]]:
    sizes = np.unique(division.labels, return_counts=True)[1]
    found = [("groups", float(len(sizes))), ("smallest_share", float(sizes.min() / sizes.sum()))]
    known = (("stability", division.stability), ("weekly_stability", division.weekly_stability))
    return found + [(name, value) for name, value in known if value is not None]


def _note(name: str, champion: str, more: str) -> str:
    if name == RULES:
        verdict = "In use: rules decide the primary segment, whatever they explain."
    elif name == champion == DECILES:
        verdict = "Champion: no clusters explain more."
    elif name == champion:
        verdict = "Champion: explains no less than spend deciles."
    elif name == CLUSTERS:
        verdict = f"Below {DECILES} on this window: read clusters with care."
    else:
        verdict = "Graded for comparison, never used."
    return f"{verdict} {more}".strip()


def _told(spend: Array, labels: Labels, drawn: Labels) -> Array:
    return np.array([explained(spend[rows], labels[rows]) for rows in drawn])


def _interval(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, INTERVAL)
    return float(low), float(high)


def _resampled(customers: int) -> Labels:
    drawn = np.random.default_rng(SEED).integers(0, customers, (RESAMPLES, min(customers, MOST_GRADED)))
    return np.asarray(drawn, dtype=np.int64)
