"""The grades of predictions in the lake, and customers as they would have been measured on the morning of a cut-off."""

from datetime import date, timedelta

from tasks.config import Config
from tasks.features.backtest import backtest
from tasks.features.customer_features import write_features
from tasks.features.forecasts import choose_horizon
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.grade_book import write_grades

READS = ("orders",)


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


def grade_window(lake: Lake, known: Snapshots, cutoff: date, horizon_days: int, graded_on: date) -> Snapshot:
    """Grade lifetime_value, churn and next_order on one window, champions chosen on the window before it."""
    with lake.database(known.only(READS)) as db:
        before = backtest(db, cutoff - timedelta(days=horizon_days), horizon_days)
        grades = backtest(db, cutoff, horizon_days, before)
    return write_grades(lake, [grade.row(graded_on) for grade in grades])


def measure_past(lake: Lake, config: Config, cutoff: date, known: Snapshots, past: Lake) -> Snapshots:
    """Write the features of a past morning into the lake ``past``, from what the lake knew before it."""
    written, _ = write_features(lake, config, cutoff, known, into=past)
    return Snapshots.of(written)
