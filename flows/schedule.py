"""The day that a run is for, and its name."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from prefect.runtime import flow_run


def scheduled_day(timezone: str) -> date:
    """The day for which the run was scheduled, in the retailer's time zone."""
    start: datetime = flow_run.scheduled_start_time
    return start.astimezone(ZoneInfo(timezone)).date()


def name_by_day() -> str:
    """Name of the present run: its flow and the morning it is for."""
    start: datetime = flow_run.scheduled_start_time
    return f"{flow_run.flow_name}-{flow_run.parameters.get('as_of') or start.date()}"
