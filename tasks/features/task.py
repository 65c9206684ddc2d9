"""The door of the feature stage."""

from datetime import date

from prefect import get_run_logger, task

from tasks.config import Config
from tasks.features.customer_features import READS, write_features
from tasks.lake import Snapshots
from tasks.lake.opened import open_lake
from tasks.stage import stage


@task(**stage("measure customers", reads=READS, settings=("timezone", "features")))
def measure_customers(config: Config, as_of: date, known: Snapshots) -> Snapshots:
    """Measure and predict every customer known on the morning of ``as_of``."""
    written, forecasts = write_features(open_lake(config), config, as_of, known)
    get_run_logger().info("measured %s buyers, horizon %d days", f"{len(forecasts.rows):,}", forecasts.horizon_days)
    return known.having(*written)
