"""The door of the segment stage."""

from datetime import date

from prefect import get_run_logger, task

from tasks.config import Config
from tasks.errors import CheckFailedError
from tasks.lake import Snapshots
from tasks.lake.opened import open_lake
from tasks.segments.registry import Rules
from tasks.segments.segmentation import READS, REMEMBERS, segment
from tasks.stage import stage


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
