"""The grades of predictions in the lake, and customers as they would have been measured on the morning of a cut-off."""

from datetime import date, timedelta

import duckdb
import numpy as np

from tasks.config import Config
from tasks.features.adoption import MODELS, POPULAR, came_true, suggest
from tasks.features.backtest import backtest
from tasks.features.customer_features import write_features
from tasks.features.forecasts import choose_horizon
from tasks.features.grading import Candidate, Grade, grade
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.grade_book import write_grades

READS = ("orders", "order_lines", "products")


def first_unknown_day(lake: Lake, known: Snapshots) -> date | None:
    """The morning after the newest order of a known customer; none without any."""
    with lake.database(known.only(READS)) as db:
        newest = db.execute("SELECT max(order_date) FROM orders WHERE customer_id IS NOT NULL").fetchall()[0][0]
    return newest + timedelta(days=1) if newest else None


def usual_horizon(lake: Lake, config: Config, known: Snapshots, as_of: date) -> int:
    """The horizon that the daily run of ``as_of`` would use: configured, or from the rhythm of purchases."""
    if config.features.horizon_days:
        return config.features.horizon_days
    with lake.database(known.only(READS)) as db:
        return choose_horizon(db, as_of)


def grade_window(
    lake: Lake, known: Snapshots, cutoff: date, horizon_days: int, *, graded_on: date, leave_out: tuple[str, ...] = ()
) -> Snapshot:
    """Grade lifetime_value, churn, next_order and adoption on one window, champions chosen on the window before it.

    ``leave_out`` are words of categories that nobody takes up.
    """
    earlier = cutoff - timedelta(days=horizon_days)
    with lake.database(known.only(READS)) as db:
        before = backtest(db, earlier, horizon_days) + grade_adoption(db, earlier, horizon_days, leave_out)
        grades = backtest(db, cutoff, horizon_days, before)
        grades += grade_adoption(db, cutoff, horizon_days, leave_out, before)
    return write_grades(lake, [one.row(graded_on) for one in grades])


def grade_adoption(
    db: duckdb.DuckDBPyConnection,
    cutoff: date,
    horizon_days: int,
    leave_out: tuple[str, ...] = (),
    before: tuple[Grade, ...] = (),
) -> tuple[Grade, ...]:
    """Grade the suggested categories on the window from ``cutoff`` on; nothing where nobody could be suggested one."""
    candidates = {}
    for model in MODELS:
        suggested = suggest(db, cutoff, horizon_days, leave_out=leave_out, model=model)
        if not len(suggested):
            return ()
        hits = came_true(db, suggested, cutoff, horizon_days)
        error = np.square(hits - np.asarray(suggested["adoption_probability"].to_numpy(), dtype=np.float64))
        candidates[model] = Candidate({"hits": hits, "squared_error": error}, naive=model == POPULAR)
    return grade("adoption", cutoff, horizon_days, np.zeros(len(hits)), candidates, before=before)


def measure_past(lake: Lake, config: Config, cutoff: date, known: Snapshots, past: Lake) -> Snapshots:
    """Write the features of a past morning into the lake ``past``, from what the lake knew before it."""
    written, _ = write_features(lake, config, cutoff, known, into=past)
    return Snapshots.of(written)
