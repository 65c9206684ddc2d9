"""The door of the recommendation stage."""

from datetime import date

from prefect import get_run_logger, task

from tasks.config import Config
from tasks.lake import Snapshots
from tasks.lake.opened import open_lake
from tasks.recommendations.daily import READS, REMEMBERS, write_recommendations
from tasks.recommendations.graded import READS as GRADED
from tasks.recommendations.graded import grade_window
from tasks.stage import stage


@task(**stage("recommend products", reads=READS, settings=("recommendations",), remembers=REMEMBERS))
def recommend_products(config: Config, as_of: date, known: Snapshots) -> Snapshots:
    """Rank products for every customer known on the morning of ``as_of``."""
    written, customers = write_recommendations(open_lake(config), config, as_of, known)
    get_run_logger().info("recommended products to %s customers", f"{customers:,}")
    return known.having(*written)


@task(**stage("grade recommendations", reads=GRADED, settings=("recommendations",)))
def grade_recommendations(
    config: Config, as_of: date, known: Snapshots, horizon_days: int, graded_on: date
) -> Snapshots:
    """Grade repeat and new recommendations on the window that starts at ``as_of``."""
    return known.having(
        grade_window(open_lake(config), config, known, as_of, horizon_days=horizon_days, graded_on=graded_on)
    )
