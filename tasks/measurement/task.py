"""The door of measurement."""

from datetime import date

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks.config import Config
from tasks.lake import Snapshots
from tasks.lake.opened import open_lake
from tasks.measurement.engagement import measure_engagement
from tasks.measurement.results import measure_results
from tasks.stage import RETRIES

_REPORT = "Who the customers are, who moved, what campaigns brought, and what to do"


@task(name="measure results", persist_result=False, **RETRIES)
def report_results(config: Config, as_of: date, known: Snapshots) -> str:
    """Write key figures and the insight report and show both in Prefect; returns the report's address."""
    lake = open_lake(config)
    done = measure_results(lake, config, as_of, known)
    figures = lake.read(done.kpis, where={"as_of": as_of}).to_pylist()
    overall = [row for row in figures if row["subject"] == "all"]
    create_table_artifact(
        key="key-figures",
        table=[{"figure": row["kpi"], "value": round(row["value"], 4), "unit": row["unit"]} for row in overall],
        description=f"Key figures of {as_of}",
    )
    create_table_artifact(
        key="segments",
        table=[
            {"segment": row["subject"].removeprefix("segment:"), "customers": int(row["value"])}
            for row in figures
            if row["kpi"] == "customers" and row["subject"].startswith("segment:")
        ],
        description=f"Segments of {as_of}",
    )
    if "://" in done.report:
        create_link_artifact(
            key="insight-report", link=done.report, link_text=f"Insight report of {as_of}", description=_REPORT
        )
    else:
        create_markdown_artifact(
            key="insight-report", markdown=f"Insight report of {as_of}: `{done.report}`", description=_REPORT
        )
    get_run_logger().info("report written to %s", done.report)
    return done.report


@task(name="update response", persist_result=False, **RETRIES)
def update_response(config: Config, as_of: date, known: Snapshots) -> None:
    """Bring the key figures up to date that answers to messages decide, and show the overall ones in Prefect."""
    lake = open_lake(config)
    written = measure_engagement(lake, config, as_of, known)
    rates = [row for row in lake.read(written, where={"as_of": as_of}).to_pylist() if row["unit"] in {"share", "ratio"}]
    create_table_artifact(
        key="campaign-response",
        table=[
            {"figure": row["kpi"], "about": row["subject"], "value": round(row["value"], 4)}
            for row in rates
            if row["low"] is not None or row["high"] is not None
        ],
        description=f"What campaigns brought until {as_of}",
    )
