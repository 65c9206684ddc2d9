"""The door of the feature stage."""

from datetime import date

from prefect import get_run_logger, task

from tasks.config import Config
from tasks.features.customer_features import READS, REMEMBERS, write_features
from tasks.features.graded import READS as GRADED
from tasks.features.graded import grade_window, measure_past
from tasks.lake import Lake, Snapshots
from tasks.lake.opened import open_lake
from tasks.stage import RETRIES, stage


@task(
    **stage("measure customers", reads=READS, settings=("timezone", "features", "recommendations"), remembers=REMEMBERS)
)
def measure_customers(config: Config, as_of: date, known: Snapshots) -> Snapshots:
    """Measure and predict every customer known on the morning of ``as_of``."""
    written, forecasts = write_features(open_lake(config), config, as_of, known)
    get_run_logger().info("measured %s buyers, horizon %d days", f"{len(forecasts.rows):,}", forecasts.horizon_days)
    return known.having(*written)


@task(**stage("grade predictions", reads=GRADED, settings=("recommendations",)))
def grade_predictions(config: Config, as_of: date, known: Snapshots, horizon_days: int, graded_on: date) -> Snapshots:
    """Grade lifetime value, churn, next order and adoption on the window that starts at ``as_of``."""
    words = config.recommendations.leave_out
    graded = grade_window(open_lake(config), known, as_of, horizon_days, graded_on=graded_on, leave_out=words)
    return known.having(graded)


@task(name="measure past customers", persist_result=False, **RETRIES)
def measure_past_customers(config: Config, cutoff: date, known: Snapshots, past: str) -> Snapshots:
    """Measure every customer as known on the morning of ``cutoff``, into the lake ``past`` that lives for one run."""
    return measure_past(open_lake(config), config, cutoff, known, Lake(root=past, memory_limit=config.memory_limit))
