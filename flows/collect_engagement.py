"""What customers did with messages and said about consent: collected before the day begins, and measured."""

from datetime import date

from prefect import flow, get_run_logger
from pydantic import BaseModel, ConfigDict

from flows.schedule import name_by_day, scheduled_day
from flows.telling import take_in_and_tell
from flows.turns import turn
from tasks.alerts.messages import Alert, named
from tasks.alerts.task import raise_alert
from tasks.campaigns.task import read_opt_outs
from tasks.config import Config, Dataset, load_config
from tasks.destinations.task import fetch_opt_outs
from tasks.errors import SegmentationError
from tasks.intake.task import collect_sources
from tasks.lake import Lake, Snapshots
from tasks.lake.opened import open_lake
from tasks.measurement.engagement import READS
from tasks.measurement.task import update_response
from tasks.secrets import find_secret

ANSWERS = frozenset({Dataset.ENGAGEMENT, Dataset.CONSENT, Dataset.CAMPAIGNS})


class EngagementSummary(BaseModel):
    """What the lake knows after a run: messages and their answers, and addresses that may not be written to."""

    model_config = ConfigDict(frozen=True)

    as_of: date
    answers: int = 0
    consents: int = 0
    suppressed: int = 0
    figures: int = 0


@flow(name="collect-engagement", flow_run_name=name_by_day)
def collect_engagement(
    config: str = "segmentation.yaml", as_of: date | None = None, lake: str | None = None
) -> EngagementSummary:
    """Take in answers to messages and changes of consent, ask platforms for opt-outs, measure what campaigns brought.

    Args:
        config: Address of segmentation.yaml on any file system.
        as_of: Morning of the run; answers of earlier days are measured. The scheduled day when left out.
        lake: Overrides the lake of the configuration.
    """
    settings = load_config(config, {"lake": lake} if lake else None)
    day = as_of or scheduled_day(settings.timezone)
    tables = open_lake(settings)

    with turn(tables):
        silent = ask_platforms(settings)  # first: who opted out is known even when a source stops the run
        read_opt_outs(settings, day, Snapshots())
        replies = answering(settings)
        if replies.sources:
            collect_sources(replies, day, find_secret, partial=True)
            take_in_and_tell(replies, day, tables, partial=True)
        update_response(settings, day, Snapshots.of(tables.latest(table) for table in READS))
    if silent:
        raise silent[0]
    summary = look(tables, day)
    get_run_logger().info("%s answers and %s suppressed addresses are known", summary.answers, summary.suppressed)
    return summary


def answering(config: Config) -> Config:
    """The configuration with the sources of answers to messages alone."""
    return config.model_copy(update={"sources": tuple(one for one in config.sources if one.dataset in ANSWERS)})


def ask_platforms(settings: Config) -> list[SegmentationError]:
    """Read opt-outs from every destination; one that does not answer is told of and leaves the others alone."""
    silent = []
    for destination in settings.destinations:
        try:
            fetch_opt_outs(settings.model_copy(update={"destinations": (destination,)}), Snapshots())
        except SegmentationError as error:
            raise_alert(Alert("destination-degraded", named(destination.name)))
            silent.append(error)
    return silent


def look(lake: Lake, as_of: date) -> EngagementSummary:
    """The summary of a lake."""
    with lake.database([lake.latest(table) for table in ("engagement", "consent", "suppressions", "kpis")]) as db:
        counts = [
            db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
            for table in ("engagement", "consent", "suppressions")
        ]
        figures = db.execute("SELECT count(*) FROM kpis WHERE as_of = ?", [as_of]).fetchall()[0][0]
    return EngagementSummary(as_of=as_of, answers=counts[0], consents=counts[1], suppressed=counts[2], figures=figures)
