"""The whole of measurement in order: key figures, then the insight report."""

from dataclasses import dataclass
from datetime import date

from tasks.config import Config
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.measurement.kpis import key_figures
from tasks.measurement.report import READS as REPORT_READS
from tasks.measurement.report import render_report

READS = (
    "customer_features",
    "customer_segments",
    "segment_profiles",
    "segment_moves",
    "engagement",
    "campaign_calendar",
    "orders",
    "intake_log",
    "quarantine",
)
REMEMBERS = ("kpis", "model_grades", "check_results")


@dataclass(frozen=True, slots=True)
class Measured:
    """The key figures as written and where the report lies."""

    kpis: Snapshot
    report: str


def measure_results(lake: Lake, config: Config, as_of: date, known: Snapshots) -> Measured:
    """Write the day's rows of ``kpis`` and the report page; returns where both are."""
    remembered = [lake.latest(table) for table in REMEMBERS]
    with lake.database([*known.only(READS), *remembered]) as db:
        figures = key_figures(db, as_of, config.timezone, config.report.redemption_days)
        kpis = lake.replace("kpis", figures, where={"as_of": as_of})
        db.execute(f"CREATE OR REPLACE VIEW kpis AS {lake.scan(kpis)}")
        made_from = ", ".join(str(snapshot) for snapshot in known.only(REPORT_READS) if snapshot.version is not None)
        page = render_report(db, as_of, config.report.title, config.currency, made_from)
    return Measured(kpis, lake.write_text(f"reports/{as_of}.html", page))
