"""Keeping the lake small: days past their retention, small files, and files that only old versions need."""

from datetime import date

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.schedule import scheduled_day
from flows.turns import turn
from tasks.config import load_config
from tasks.lake.maintain import Tidied, tidy
from tasks.lake.opened import open_lake


@flow(name="tidy-lake")
def tidy_lake(config: str = "segmentation.yaml", as_of: date | None = None) -> tuple[Tidied, ...]:
    """Drop what is past its retention, join small files and remove files that nothing newer than a month reads.

    Args:
        config: Address of segmentation.yaml on any file system.
        as_of: Day from which the retention counts back; the scheduled day when left out.
    """
    settings = load_config(config)
    day = as_of or scheduled_day(settings.timezone)
    tables = open_lake(settings)
    with turn(tables):
        done = tuple(one for one in tidy(tables, day, settings.retention_days) if one.changed)
    create_table_artifact(
        key="tidied-lake",
        table=[
            {
                "table": one.table,
                "old days dropped": one.old_days_dropped,
                "files joined": one.files_joined,
                "files removed": one.files_removed,
            }
            for one in done
        ],
        description=f"What was tidied on {day}; tables that needed nothing are left out",
    )
    return done
