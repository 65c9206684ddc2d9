"""The whole of segmentation in order: clusters, look-alikes, segments, profiles, moves, checks."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import pandas as pd
import pyarrow as pa

from tasks.config import Config
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.segments.assign import assign
from tasks.segments.behaviour import measure
from tasks.segments.checks import check_segments
from tasks.segments.cluster_tables import (
    FRAME_COLUMNS,
    customer_clusters,
    review_rows,
    solution_in_use,
    solution_rows,
)
from tasks.segments.clusters import Solution, choose_clusters, due_for_review
from tasks.segments.lookalikes import find_lookalikes
from tasks.segments.moves import find_moves
from tasks.segments.profiles import profile_segments
from tasks.segments.registry import SYSTEM, Rules, current_rules, version_row

READS = ("customer_features", "past_behaviour")
REMEMBERS = ("customer_segments", "cluster_models")


@dataclass(frozen=True, slots=True)
class Segmented:
    """What was written, and what a log should say."""

    snapshots: tuple[Snapshot, ...]
    customers: int
    moved: int
    clusters: int
    stopped: tuple[str, ...]


def read_rules(lake: Lake, config: Config) -> Rules:
    """The rules in use: the configured file, else the newest a person saved, else those that come with the system."""
    return current_rules(config.segments, lake.read(lake.latest("rule_versions")).to_pylist())


def segment(lake: Lake, config: Config, as_of: date, known: Snapshots, rules: Rules) -> Segmented:
    """Assign every customer of the day and write customer_segments, profiles, moves, clusters, reviews and checks."""
    where = {"as_of": as_of}
    remembered = [lake.latest(table) for table in (*REMEMBERS, "rule_versions")]
    with lake.database([*known.only(READS), *remembered]) as db:
        solution, written = _choose_clusters(lake, db, config, as_of)
        similar = find_lookalikes(db, rules.file, as_of)
        assigned = _assigned(db, rules, solution, as_of, similar.members)
        written.append(lake.replace("customer_segments", assigned, where=where))
        db.execute(f"CREATE OR REPLACE VIEW customer_segments AS {lake.scan(written[-1])}")
        moves = find_moves(db, as_of).to_arrow_table()
        checks = check_segments(db, rules.file, as_of, config.brake, similar.searches)
        written += [
            _remember_rules(lake, db, rules, as_of),
            lake.replace("segment_profiles", profile_segments(db, rules.file, as_of), where=where),
            lake.replace("segment_moves", moves, where=where),
            lake.replace("check_results", checks, where={**where, "stage": "segments"}),
        ]
    return Segmented(
        snapshots=tuple(written),
        customers=len(assigned),
        moved=len(moves),
        clusters=len(solution.numbers) if solution else 0,
        stopped=tuple(row["message"] for row in checks.to_pylist() if row["verdict"] == "stopped"),
    )


def _assigned(
    db: duckdb.DuckDBPyConnection, rules: Rules, solution: Solution | None, as_of: date, similar: pa.Table
) -> pa.Table:
    clusters = customer_clusters(solution, _today(db, as_of))
    return assign(db, rules.file, as_of, rules.version, clusters, similar=similar).to_arrow_table()


def _today(db: duckdb.DuckDBPyConnection, as_of: date) -> pd.DataFrame:
    return db.execute(f"SELECT {', '.join(FRAME_COLUMNS)} FROM customer_features WHERE as_of = ?", [as_of]).df()


def _choose_clusters(
    lake: Lake, db: duckdb.DuckDBPyConnection, config: Config, as_of: date
) -> tuple[Solution | None, list[Snapshot]]:
    models = db.sql("FROM cluster_models").to_arrow_table().to_pylist()
    in_use = solution_in_use(models, as_of - timedelta(days=1))
    today = measure(_today(db, as_of))
    if not due_for_review(in_use, today, as_of, config.features.refit_days):
        return in_use, []
    past = db.execute("SELECT * FROM past_behaviour WHERE as_of = ?", [as_of]).df()
    judged = past["next_spend"].notna()
    choice = choose_clusters(
        measure(past[judged]) if judged.any() else None,
        today,
        config.clusters,
        as_of,
        in_use=in_use,
        week_ago=measure(past[~judged].drop(columns="next_spend")) if (~judged).any() else None,
    )
    where = {"as_of": as_of}
    written = [lake.replace("cluster_reviews", review_rows(choice.reviews, as_of), where=where)]
    if choice.replaced and choice.solution is not None:
        written.append(lake.replace("cluster_models", solution_rows(choice.solution), where=where))
    return choice.solution, written


def _remember_rules(lake: Lake, db: duckdb.DuckDBPyConnection, rules: Rules, as_of: date) -> Snapshot:
    if db.execute("FROM rule_versions WHERE version = ?", [rules.version]).fetchone():
        return lake.latest("rule_versions")
    morning = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    return lake.merge("rule_versions", version_row(rules, saved_at=morning, saved_by=SYSTEM, reason="first used"))
