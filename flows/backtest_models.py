"""Grades of every model on a window that has closed: what the daily job uses from then on, and how good it is."""

from datetime import date, timedelta
from tempfile import TemporaryDirectory

from prefect import flow

from flows.alarms import grade_alarms
from flows.grade_report import BacktestReport, Window, read_report
from flows.schedule import name_by_day, scheduled_day
from flows.stages import kept
from flows.telling import take_in_and_tell
from flows.turns import turn
from tasks.alerts.task import raise_alerts
from tasks.config import Config, load_config
from tasks.errors import ConfigurationError
from tasks.features.graded import first_unknown_day, usual_horizon
from tasks.features.task import grade_predictions, measure_past_customers
from tasks.intake.task import collect_sources
from tasks.lake import Lake, Snapshots
from tasks.lake.contracts import CONTRACTS
from tasks.lake.opened import open_lake
from tasks.recommendations.task import grade_recommendations
from tasks.secrets import find_secret
from tasks.segments.segmentation import read_rules
from tasks.segments.task import grade_segments


@flow(name="backtest-models", flow_run_name=name_by_day)
def backtest_models(
    config: str = "segmentation.yaml",
    cutoff: date | None = None,
    horizon_days: int | None = None,
    lake: str | None = None,
) -> BacktestReport:
    """Grade predictions, recommendations and segments against their naive rivals, and store who is used from now on.

    Args:
        config: Address of segmentation.yaml on any file system.
        cutoff: Models know only earlier days. When left out, the last window that the data closed.
        horizon_days: Days of the window. When left out, the horizon of the daily job; recommendations look at most
            as far as their own setting.
        lake: Overrides the lake of the configuration.
    """
    settings = load_config(config, {"lake": lake} if lake else None)
    tables = open_lake(settings)
    known = _filled(settings, tables)
    morning, window, offers = _windows(settings, tables, known, cutoff, horizon_days)
    days, offer_days = (window.end - window.first).days, (offers.end - offers.first).days
    keep = kept(settings)

    keep(grade_predictions)(settings, window.first, known, days, morning)
    keep(grade_recommendations)(settings, offers.first, known, offer_days, morning)
    with TemporaryDirectory(prefix="segmentation-past-") as past:  # customers of a past day do not outlive the run
        then = _looking_ahead(settings, days)
        measured = measure_past_customers(then, window.first, known, past)
        rules = read_rules(tables, settings)
        grade_segments(then, window.first, known, measured, rules, past=past, horizon_days=days, graded_on=morning)
    predicted = ("lifetime_value", "churn", "next_order", "segments", "adoption")
    offered = ("recommendations.repeat", "recommendations.new", "replenishment")
    graded = dict.fromkeys(predicted, window) | dict.fromkeys(offered, offers)
    raise_alerts(grade_alarms(tables.read(tables.latest("model_grades")).to_pylist(), graded))
    return read_report(tables, graded, morning)


def _filled(settings: Config, tables: Lake) -> Snapshots:
    """Every table as it is; a lake without orders is filled first."""
    if tables.latest("orders").version is None:
        day = scheduled_day(settings.timezone)
        with turn(tables):
            collect_sources(settings, day, find_secret)
            take_in_and_tell(settings, day, tables)
    return Snapshots.of(tables.latest(table) for table in CONTRACTS)


def _windows(
    settings: Config, tables: Lake, known: Snapshots, cutoff: date | None, horizon_days: int | None
) -> tuple[date, Window, Window]:
    """The first morning without data, the window of predictions and segments, and that of recommendations."""
    morning = first_unknown_day(tables, known)
    if morning is None:
        raise ConfigurationError("There is no order of a known customer yet, so no model can be graded.")
    days = horizon_days or usual_horizon(tables, settings, known, cutoff or morning)
    offer_days = min(days, settings.recommendations.horizon_days)
    window = Window.of(cutoff or morning - timedelta(days=days), days)
    if window.end > morning:
        raise ConfigurationError(
            f"The window from {window.first} on, {days} days, has not closed: the newest order is of "
            f"{morning - timedelta(days=1)}. Take a cut-off on or before {morning - timedelta(days=days)}, "
            "or a shorter horizon."
        )
    return morning, window, Window.of(cutoff or morning - timedelta(days=offer_days), offer_days)


def _looking_ahead(settings: Config, days: int) -> Config:
    return settings.model_copy(update={"features": settings.features.model_copy(update={"horizon_days": days})})
