"""The door of intake."""

from datetime import date

import pyarrow as pa
from prefect import get_run_logger, task

from tasks.config import Config
from tasks.errors import CheckFailedError
from tasks.intake.checks import STAGE, finding_rows
from tasks.intake.intake import take_in as take_in_all
from tasks.lake import Snapshots
from tasks.lake.contracts import CONTRACTS
from tasks.lake.opened import open_lake
from tasks.stage import RETRIES


@task(name="take in", persist_result=False, **RETRIES)
def take_in(config: Config, as_of: date, person_key: str) -> Snapshots:
    """Take every new file, join customers, build orders; a check that stops is raised after it is written down."""
    lake = open_lake(config)
    report = take_in_all(lake, config, as_of, person_key)
    checks = pa.Table.from_pylist(finding_rows(report.findings, as_of), CONTRACTS["check_results"].schema)
    written = lake.replace("check_results", checks, where={"as_of": as_of, "stage": STAGE})
    for source in report.sources:
        if source.files:
            get_run_logger().info(
                "%s: %s rows read, %s kept, %s quarantined",
                source.source,
                f"{source.sums.rows_read:,}",
                f"{source.sums.rows_kept:,}",
                f"{source.sums.rows_quarantined:,}",
            )
    stopped = [finding.message for finding in report.findings if finding.verdict == "stopped"]
    if stopped:
        raise CheckFailedError("\n".join(stopped))
    tables = ("intake_log", "quarantine")
    return Snapshots.of(report.snapshots).having(written, *(lake.latest(table) for table in tables))
