"""Predictions beside their rivals on Complete Journey and CDNOW: python -m tests.benchmarks.predictions.

Complete Journey: known before the cut-off, the next 92 days. No choice was made on the last cut-off, the test; its
champions are those that the window before it would have chosen. Days are UTC, as in the published table; the last block
repeats it with the store's own days. CDNOW (inside the package lifetimes): weeks 1-39 known, the next 39 weeks.
"""

import time
from datetime import date, timedelta
from importlib.resources import files

import duckdb

from tasks.features.backtest import backtest
from tasks.features.grading import Grade, champion_of
from tests.benchmarks import complete_journey

HORIZON_DAYS = 92
TEST = date(2017, 10, 1)
EARLIER = (date(2017, 6, 1), date(2017, 7, 1))
CDNOW_CUTOFF, CDNOW_HORIZON_DAYS = date(1997, 10, 1), 273
CDNOW_LATE = date(1998, 4, 1)


def cdnow() -> duckdb.DuckDBPyConnection:
    """All 23,570 customers of CDNOW as the view `orders`."""
    master = files("lifetimes").joinpath("datasets", "CDNOW_master.txt")
    db = duckdb.connect(config={"threads": 2})
    db.execute("SET TimeZone = 'UTC'")
    db.execute(
        r"""
        CREATE TABLE orders AS
        WITH fields AS (
            SELECT string_split_regex(trim(line), '\s+') AS field, row_number() OVER () AS number
            FROM read_csv(?, columns = {'line': 'VARCHAR'}, delim = chr(1), header = false)
            WHERE regexp_matches(line, '^\s*\d')
        )
        SELECT number::VARCHAR AS order_id, field[1] AS customer_id, strptime(field[2], '%Y%m%d')::DATE AS order_date,
               timezone('UTC', strptime(field[2], '%Y%m%d')) AS ordered_at, 'web' AS channel, NULL::VARCHAR AS store_id,
               1 AS lines, field[3]::DOUBLE AS items, 1 AS distinct_products, field[4]::DECIMAL(18,4) AS amount,
               0::DECIMAL(18,4) AS discount, false AS is_return,
               dayofweek(strptime(field[2], '%Y%m%d')) IN (0, 6) AS weekend
        FROM fields
        """,
        [str(master)],
    )
    return db


def show(title: str, grades: tuple[Grade, ...], chosen: dict[str, str | None], seconds: float) -> None:
    """Print one window: a row per model, champions of the window before it marked."""
    print(f"\n{title}  [{seconds:.1f} s, {grades[0].customers:,} customers]")
    for target in ("lifetime_value", "churn", "next_order"):
        print(f"  {target}; chosen beforehand: {chosen.get(target) or 'nothing (no earlier window)'}")
        for model in dict.fromkeys(grade.model for grade in grades if grade.target == target):
            mine = [grade for grade in grades if grade.target == target and grade.model == model]
            shown = [grade for grade in mine if not grade.metric.startswith("reliability")]
            print(f"    {model:14s}" + "  ".join(_text(grade) for grade in shown))


def _text(grade: Grade) -> str:
    interval = "" if grade.low is None or grade.high is None else f" [{grade.low:.3f}, {grade.high:.3f}]"
    return f"{grade.metric} {grade.value:.4f}{interval}"


def run(title: str, db: duckdb.DuckDBPyConnection, cutoff: date, horizon_days: int) -> None:
    """Back-test one cut-off, with champions chosen on the window before it."""
    before = backtest(db, cutoff - timedelta(days=horizon_days), horizon_days)
    targets = ("lifetime_value", "churn", "next_order")
    started = time.perf_counter()
    grades = backtest(db, cutoff, horizon_days)
    seconds = time.perf_counter() - started
    show(title, grades, {target: champion_of(before, target) for target in targets}, seconds)


def main() -> None:
    """Print all tables."""
    db = complete_journey.connect(complete_journey.UTC_DAYS)
    for cutoff in (*EARLIER, TEST):
        run(f"Complete Journey, before {cutoff}, {HORIZON_DAYS} days", db, cutoff, HORIZON_DAYS)
    store = complete_journey.connect(complete_journey.STORE_DAYS)
    run(f"Complete Journey, the store's own days, before {TEST}, {HORIZON_DAYS} days", store, TEST, HORIZON_DAYS)
    run("Complete Journey, no visit in 30 days", db, TEST, 30)
    music = cdnow()
    run("CDNOW, weeks 40-78 (no whole window of 39 weeks before it)", music, CDNOW_CUTOFF, CDNOW_HORIZON_DAYS)
    run("CDNOW, the last 13 weeks", music, CDNOW_LATE, 91)


if __name__ == "__main__":
    main()
