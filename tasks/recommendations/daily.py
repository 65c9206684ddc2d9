"""The day's recommendations in the lake, by the champions of the newest back-test."""

from datetime import date

import duckdb

from tasks.config import Config
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.grade_book import champions
from tasks.recommendations.models import Champions
from tasks.recommendations.recommend import recommend

READS = ("order_lines", "products", "customer_segments")
REMEMBERS = ("model_grades",)
UNGRADED = Champions("half_life", "ease_popular")
"""What serves until the first back-test: cheap models that beat their rivals on public data."""


def write_recommendations(lake: Lake, config: Config, as_of: date, known: Snapshots) -> tuple[list[Snapshot], int]:
    """Write the day's rows of customer_recommendations and return the snapshot and the number of customers served."""
    with lake.database([*known.only(READS), lake.latest("model_grades")]) as db:
        rows = recommend(db, as_of, config.recommendations, _champions(db, as_of))
        written = lake.replace("customer_recommendations", rows, where={"as_of": as_of})
        db.execute(f"CREATE VIEW customer_recommendations AS {lake.scan(written)}")
        served = db.execute(
            "SELECT count(DISTINCT customer_id) FROM customer_recommendations WHERE as_of = ?", [as_of]
        ).fetchall()
    return [written], int(served[0][0])


def _champions(db: duckdb.DuckDBPyConnection, as_of: date) -> Champions:
    chosen = champions(db, as_of)
    return Champions(
        chosen.get("recommendations.repeat") or UNGRADED.repeat,
        chosen.get("recommendations.new") or UNGRADED.new,
        chosen.get("replenishment") or UNGRADED.replenishment,
    )
