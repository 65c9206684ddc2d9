"""What clusters say about the next period on real data, beside naive rivals, and how long rules take on many customers.

Run: python -m tests.benchmarks.segments [customers]
"""

import sys
import time
from datetime import date

import duckdb
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from tasks.config import ClusterSettings
from tasks.lake.contracts import CONTRACTS
from tasks.segments.assign import assign
from tasks.segments.behaviour import Array, Behaviour, Labels, measure
from tasks.segments.candidates import explained
from tasks.segments.clusters import choose_clusters
from tasks.segments.rule_file import load_rules
from tests.segments.conftest import feature_rows
from tests.segments.real_orders import cdnow, complete_journey, frame

JOURNEY = [(date(2017, 4, 1), date(2017, 7, 1), 92), (date(2017, 5, 15), date(2017, 8, 15), 92)]
JOURNEY += [(date(2017, 7, 1), date(2017, 10, 1), 92)]
CDNOW = [(date(1997, 9, 30), date(1997, 12, 31), 92), (date(1997, 12, 31), date(1998, 4, 1), 90)]


def rivals(now: pd.DataFrame) -> dict[str, float]:
    """eta squared of the usual ways to divide customers, on the same period."""
    people = measure(now)
    rows = now[now["orders"] > 0].sort_values("customer_id")
    scores = rows[["r_score", "f_score", "m_score"]].sum(axis=1).to_numpy(dtype=np.int64)
    logs = np.log1p(rows[["recency_days", "orders", "monetary"]].to_numpy(dtype=float))
    standard = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    kmeans = KMeans(8, n_init=5, random_state=0).fit(standard).labels_.astype(np.int64)
    found: dict[str, Labels] = {"spend deciles": _deciles(people), "RFM score sum": scores, "k-means on RFM": kmeans}
    return {name: explained(people.outcome, labels) for name, labels in found.items()}


def _deciles(people: Behaviour) -> Labels:
    spend: Array = people.column("recent_spend")
    return np.asarray(np.argsort(np.argsort(spend, kind="stable"), kind="stable") * 10 // len(people), dtype=np.int64)


def grade(name: str, db: duckdb.DuckDBPyConnection, windows: list[tuple[date, date, int]]) -> None:
    """Choose on the earlier cut-off, judge on the later one."""
    for earlier, cutoff, horizon_days in windows:
        past, now = measure(frame(db, earlier, (cutoff - earlier).days)), frame(db, cutoff, horizon_days)
        started = time.perf_counter()
        choice = choose_clusters(past, measure(now.drop(columns="next_spend")), ClusterSettings(), cutoff)
        seconds = time.perf_counter() - started
        print(f"{name}, known before {cutoff}, next {horizon_days} days, {len(now):,} customers, {seconds:.1f} s")
        if choice.solution is None:
            print("   no clusters passed the gate:", {review.verdict for review in choice.reviews})
            continue
        people, solution = measure(now), choice.solution
        placed = solution.place(people)
        least = np.unique(placed, return_counts=True)[1].min() / len(placed)
        says = explained(people.outcome, placed)
        print(f"   {solution.partition.method} {len(solution.numbers)}: eta squared {says:.3f}")
        print(f"   stability {solution.stability:.3f}, smallest share {least:.1%}; {'; '.join(solution.labels)}")
        print("   rivals:", ", ".join(f"{rival} {value:.3f}" for rival, value in rivals(now).items()))


def time_rules(customers: int) -> None:
    """Seconds to assign many customers by the default rules, reasons included."""
    day = date(2026, 6, 1)
    some = [
        {"orders": n % 9, "recency_days": n % 90, "gap_ratio": n % 7 / 2, "r_score": n % 5 + 1, "f_score": n % 4 + 1}
        | {"m_score": n % 5 + 1, "days_since_first_order": n}
        for n in range(1_000)
    ]
    with duckdb.connect() as db:
        db.execute("SET threads = 2")
        db.register("thousand", feature_rows(some, day))
        db.execute(
            "CREATE TABLE customer_features AS SELECT f.* REPLACE (customer_id || '-' || n AS customer_id) "
            "FROM thousand f, range(?) r(n)",
            [customers // 1_000],
        )
        db.register("customer_segments", CONTRACTS["customer_segments"].schema.empty_table())
        rules = load_rules()
        started = time.perf_counter()
        assign(db, rules, day, "v1")
        print(f"rules: {customers:,} customers in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    with complete_journey() as journey:
        grade("Complete Journey", journey, JOURNEY)
    with cdnow() as shop:
        grade("CDNOW", shop, CDNOW)
    time_rules(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
