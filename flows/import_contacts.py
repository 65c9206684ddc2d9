"""A new file of contacts: taken in once, its people joined with those known, and only they brought up to date."""

from typing import Literal

from prefect import flow, get_run_logger

from flows.refresh_customers import Desk, RefreshSummary, refresh_source, tell
from flows.turns import turn
from tasks.config import load_config
from tasks.intake.contact_files import contact_source


@flow(name="import-contacts", persist_result=False)
def import_contacts(
    config: str = "segmentation.yaml", uri: str = "", push: Literal["plan", "apply"] = "plan"
) -> RefreshSummary:
    """Take in one file of contacts and bring the customers in it up to date.

    Args:
        config: Address of segmentation.yaml on any file system.
        uri: Address of the file (CSV, NDJSON or Parquet). A file that belongs to no configured source is read by the
            names of its columns.
        push: "plan" says what would be sent; "apply" sends exactly that.
    """
    desk = Desk.of(load_config(config))
    with turn(desk.lake):
        summary = refresh_source(desk, contact_source(desk.config, uri), push)
    tell(summary)
    get_run_logger().info("%s customers refreshed, %s changes planned", summary.customers, summary.planned)
    return summary
