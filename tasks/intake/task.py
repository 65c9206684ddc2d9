"""The door of intake."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from logging import INFO, WARNING

import pyarrow as pa
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from tasks.config import Config
from tasks.errors import CheckFailedError
from tasks.intake.checks import STAGE, finding_rows
from tasks.intake.intake import take_in as take_in_all
from tasks.intake.landing import landed
from tasks.intake.sources.pull import Pulled, health_rows, pull_all
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.contracts import CONTRACTS
from tasks.lake.opened import open_lake
from tasks.stage import RETRIES


@task(name="collect sources", persist_result=False, cache_policy=NO_CACHE)
def collect_sources(
    config: Config, as_of: date, find_secret: Callable[[str], SecretStr], *, partial: bool = False
) -> tuple[Pulled, ...]:
    """Read what is new in sources beyond files into ``landing``; a source that fails leaves the others alone.

    ``partial``: the configuration names some of the sources only; what the day knows of the others stays.
    """
    if not any(source.connector for source in config.sources):
        return ()
    lake = open_lake(config)
    pulled = pull_all(lake, config, datetime.now(UTC), find_secret)
    checks = health_rows(config, pulled, as_of)
    table = pa.Table.from_pylist(checks, CONTRACTS["check_results"].schema)
    _write_checks(lake, table, as_of, "sources", partial=partial)
    for row in checks:
        get_run_logger().log(INFO if row["verdict"] == "passed" else WARNING, "%s: %s", row["subject"], row["message"])
    stopped = [row["message"] for row in checks if row["verdict"] == "stopped"]
    if stopped:
        raise CheckFailedError("\n".join(stopped))
    return pulled


@task(name="take in", persist_result=False, **RETRIES)
def take_in(config: Config, as_of: date, person_key: str, *, partial: bool = False) -> Snapshots:
    """Take every new file, join customers, build orders; a check that stops is raised after it is written down.

    ``partial``: the configuration names some of the sources only; what the day knows of the others stays.
    """
    lake = open_lake(config)
    reading = landed(lake, config)
    if partial:
        names = {source.name for source in config.sources}
        own = tuple(source for source in reading.sources if source.name in names)
        reading = reading.model_copy(update={"sources": own})
    report = take_in_all(lake, reading, as_of, person_key)
    checks = pa.Table.from_pylist(finding_rows(report.findings, as_of), CONTRACTS["check_results"].schema)
    written = _write_checks(lake, checks, as_of, STAGE, partial=partial)
    for source in report.sources:
        if source.files:
            get_run_logger().info(
                "%s: %s rows read, %s kept, %s quarantined",
                source.source,
                f"{source.sums.rows_read:,}",
                f"{source.sums.rows_kept:,}",
                f"{source.sums.rows_quarantined:,}",
            )
    stopped = [f"{finding.subject}: {finding.message}" for finding in report.findings if finding.verdict == "stopped"]
    if stopped:
        raise CheckFailedError("\n".join(stopped))
    tables = ("intake_log", "quarantine")
    return Snapshots.of(report.snapshots).having(written, *(lake.latest(table) for table in tables))


def _write_checks(lake: Lake, checks: pa.Table, as_of: date, stage: str, *, partial: bool) -> Snapshot:
    """The checks of a stage in the place of the day's earlier ones, or beside those of other sources."""
    if partial:
        return lake.merge("check_results", checks)
    return lake.replace("check_results", checks, where={"as_of": as_of, "stage": stage})
