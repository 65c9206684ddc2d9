"""The door of the segment stage."""

from datetime import date

from prefect import get_run_logger, task

from tasks.config import Config
from tasks.errors import CheckFailedError
from tasks.lake import Lake, Snapshots
from tasks.lake.opened import open_lake
from tasks.segments.graded import grade_past
from tasks.segments.registry import Rules
from tasks.segments.segmentation import READS, REMEMBERS, segment
from tasks.stage import RETRIES, stage


@task(**stage("assign segments", reads=READS, settings=("clusters", "brake", "features"), remembers=REMEMBERS))
def assign_segments(config: Config, as_of: date, known: Snapshots, rules: Rules) -> Snapshots:
    """Assign every customer known on the morning of ``as_of`` to one segment, and to audiences and a cluster."""
    done = segment(open_lake(config), config, as_of, known, rules)
    if done.stopped:
        raise CheckFailedError("\n".join(done.stopped))
    get_run_logger().info(
        "segmented %s customers, %s moved, %d clusters", f"{done.customers:,}", f"{done.moved:,}", done.clusters
    )
    return known.having(*done.snapshots)


@task(name="grade segments", persist_result=False, **RETRIES)
def grade_segments(
    config: Config,
    cutoff: date,
    known: Snapshots,
    measured: Snapshots,
    rules: Rules,
    *,
    past: str,
    horizon_days: int,
    graded_on: date,
) -> Snapshots:
    """Grade rules and clusters of the morning of ``cutoff``, whose features lie ``measured`` in the lake ``past``."""
    there = Lake(root=past, memory_limit=config.memory_limit)
    graded = grade_past(
        open_lake(config),
        there,
        config,
        cutoff,
        known=known,
        measured=measured,
        rules=rules,
        horizon_days=horizon_days,
        graded_on=graded_on,
    )
    return known.having(graded)
