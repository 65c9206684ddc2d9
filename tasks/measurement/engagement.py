"""Key figures that answers to messages decide, brought up to date between two daily runs."""

from datetime import date

from tasks.config import Config
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.measurement.kpis import response_figures

READS = ("customer_segments", "engagement", "campaign_calendar", "orders")


def measure_engagement(lake: Lake, config: Config, as_of: date, known: Snapshots) -> Snapshot:
    """Write what messages brought until ``as_of`` into ``kpis``; the day's other figures stay as they are.

    Segments are those of the newest morning up to ``as_of``: the day's own may not exist yet.
    """
    with lake.database(known.only(READS)) as db:
        figures = response_figures(db, as_of, config.report.redemption_days)
    return lake.merge("kpis", figures) if figures.num_rows else lake.latest("kpis")
