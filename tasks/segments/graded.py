"""Segments and clusters of a past morning, graded by what customers spent in the window that followed."""

from datetime import date

import numpy as np
import pandas as pd

from tasks.config import Config
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.grade_book import write_grades
from tasks.segments.behaviour import COLUMNS, Labels, measure
from tasks.segments.grading import (
    CLUSTERS,
    DECILES,
    RFM,
    RULES,
    Division,
    Grade,
    grade_divisions,
    numbered,
    spend_deciles,
)
from tasks.segments.registry import Rules
from tasks.segments.segmentation import segment

READS = ("orders",)

_FOLLOWED = f"""
    SELECT customer_id, {", ".join(COLUMNS)}, rfm_score, segment, cluster, coalesce(next_spend, 0) AS next_spend
    FROM customer_features JOIN customer_segments USING (customer_id, as_of) LEFT JOIN (
        SELECT customer_id, sum(amount)::DOUBLE AS next_spend FROM orders
        WHERE customer_id IS NOT NULL AND order_date >= $cutoff AND order_date < $cutoff + $horizon::INTEGER
        GROUP BY customer_id
    ) USING (customer_id)
    WHERE as_of = $cutoff AND orders > 0 ORDER BY customer_id
"""
_CHOSEN = "SELECT stability, weekly_stability, verdict FROM cluster_reviews WHERE as_of = ? AND chosen"


def grade_past(
    lake: Lake,
    past: Lake,
    config: Config,
    cutoff: date,
    *,
    known: Snapshots,
    measured: Snapshots,
    rules: Rules,
    horizon_days: int,
    graded_on: date,
) -> Snapshot:
    """Segment the past morning anew in the lake ``past`` and grade the result; nothing of the window is known to it.

    ``measured`` are the features of that morning in ``past``; the window itself is read from ``lake``.
    """
    done = Snapshots.of(segment(past, config, cutoff, measured, rules).snapshots)
    tables = [measured["customer_features"], done["customer_segments"], done["cluster_reviews"]]
    with past.database(tables) as db:
        db.execute(f"CREATE VIEW orders AS {lake.scan(known['orders'])}")
        people = db.execute(_FOLLOWED, {"cutoff": cutoff, "horizon": horizon_days}).df()
        chosen = db.execute(_CHOSEN, [cutoff]).fetchone()
    grades = grade_people(people, chosen, cutoff, horizon_days)
    return write_grades(lake, [grade.row(graded_on) for grade in grades])


def grade_people(
    people: pd.DataFrame, chosen: tuple[float | None, float | None, str] | None, cutoff: date, horizon_days: int
) -> tuple[Grade, ...]:
    """Grade the columns segment, cluster and rfm_score of customers with an order by their ``next_spend``.

    ``chosen`` is stability, weekly stability and verdict of the clusters, none where none passed the gate.
    """
    if people.empty:
        return ()
    behaviour = measure(people.drop(columns="next_spend"))
    divisions = {
        RULES: Division(numbered(people["segment"].to_numpy(dtype=object))),
        DECILES: Division(spend_deciles(behaviour.column("recent_spend"))),
        RFM: Division(np.asarray(people["rfm_score"].to_numpy(dtype=np.int64))),
    }
    if chosen is None or people["cluster"].isna().any():
        note = "No clusters passed the gate before this window."
    else:
        clusters: Labels = np.asarray(people["cluster"].to_numpy(dtype=np.int64))
        divisions = {CLUSTERS: Division(clusters, stability=chosen[0], weekly_stability=chosen[1]), **divisions}
        note = f"Chosen on the window before: {chosen[2]}."
    spend = np.maximum(people["next_spend"].to_numpy(dtype=np.float64), 0.0)
    return grade_divisions(cutoff, horizon_days, spend, divisions, note)
