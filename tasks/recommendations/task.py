"""The door of the recommendation stage."""

from datetime import date

from prefect import get_run_logger, task

from tasks.config import Config
from tasks.lake import Snapshots
from tasks.lake.opened import open_lake
from tasks.recommendations.daily import READS, REMEMBERS, write_recommendations
from tasks.stage import stage


@task(**stage("recommend products", reads=READS, settings=("recommendations",), remembers=REMEMBERS))
def recommend_products(config: Config, as_of: date, known: Snapshots) -> Snapshots:
    """Rank products for every customer known on the morning of ``as_of``."""
    written, customers = write_recommendations(open_lake(config), config, as_of, known)
    get_run_logger().info("recommended products to %s customers", f"{customers:,}")
    return known.having(*written)
