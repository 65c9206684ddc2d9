"""The daily job: collect and cleanse, measure, segment, recommend, draft campaigns, report, plan and push."""

from datetime import date
from functools import partial
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows.approval import (
    APPROVE_WITHIN_HOURS,
    Prepared,
    await_approval,
    prepared_before,
    require_deployment,
    too_late,
    unapproved,
)
from flows.plan_page import show_plan
from flows.schedule import name_by_day, scheduled_day
from flows.stages import kept
from flows.summary import RunSummary, campaigns_of, pushes_of, summarise
from flows.telling import push_and_tell, take_in_and_tell
from flows.turns import turn
from tasks.campaigns.task import apply_campaigns, plan_campaigns, read_opt_outs, read_playbook, show_campaigns
from tasks.config import Config, load_config
from tasks.destinations.plan import SOURCES
from tasks.destinations.task import plan_push
from tasks.features.task import measure_customers
from tasks.intake.concerned import mark_refreshed
from tasks.intake.task import collect_sources
from tasks.lake import Lake
from tasks.lake.opened import open_lake
from tasks.measurement.task import report_results
from tasks.recommendations.task import recommend_products
from tasks.secrets import find_secret
from tasks.segments.segmentation import read_rules
from tasks.segments.task import assign_segments


@flow(name="segment-customers", flow_run_name=name_by_day)
def segment_customers(
    config: str = "segmentation.yaml",
    as_of: date | None = None,
    push: Literal["plan", "apply"] = "plan",
    lake: str | None = None,
    *,
    release: tuple[str, ...] = (),
    approve: bool = False,
    approve_within_hours: float = APPROVE_WITHIN_HOURS,
) -> RunSummary | State[RunSummary]:
    """Turn raw orders into segments, report them, and plan or push what changed.

    Args:
        config: Address of segmentation.yaml on any file system.
        as_of: Morning of the run; only what happened on earlier days counts. The scheduled day when left out.
        push: "plan" says what would be sent; "apply" sends exactly that.
        lake: Overrides the lake of the configuration.
        release: Brakes that a person releases for this run, as "destination" or "destination:check".
        approve: Before anything is drafted or pushed, wait until a person has looked at the plan and approved it.
        approve_within_hours: Without an approval by then, the run ends with nothing sent.
    """
    settings = load_config(config, {"lake": lake} if lake else None)
    day = as_of or scheduled_day(settings.timezone)
    tables = open_lake(settings)
    asks, sends = approve and push == "apply", push == "apply"
    if asks:
        require_deployment()
    with turn(tables):
        made = (prepared_before(tables) if asks else None) or prepare(settings, day, tables, draft=sends and not asks)
        campaigns = made.campaigns
        if asks:
            again = partial(plan_again, settings, day, tables)
            made, approval = await_approval(tables, made, approve_within_hours, again)
            if too_late(made):
                return unapproved(approve_within_hours)
            release = (*release, *approval.release)
            campaigns = apply_campaigns(settings, day, made.known, approval.approved_by)
            show_campaigns(campaigns)
        pushed = push_and_tell(settings, made.plan, release) if sends else None

    known = made.known.having(*campaigns.written, tables.latest("check_results"))
    summary = summarise(tables, known, day, settings.currency)
    done = {
        "pushes": pushes_of(made.plan, pushed),
        "campaigns": campaigns_of(campaigns),
        "mode": push,
        "report": made.report,
    }
    return summary.model_copy(update=done)


def prepare(settings: Config, day: date, tables: Lake, *, draft: bool) -> Prepared:
    """Everything from new orders to the plan of the push; campaigns are drafted, or planned only."""
    keep = kept(settings)
    rules = read_rules(tables, settings)
    read_playbook(settings)  # here only that a mistake in it is told before anything else is read
    collect_sources(settings, day, find_secret)
    known = read_opt_outs(settings, day, take_in_and_tell(settings, day, tables))
    known = keep(measure_customers)(settings, day, known)
    known = keep(assign_segments)(settings, day, known, rules)
    mark_refreshed(tables, known)
    known = keep(recommend_products)(settings, day, known)
    campaigns = apply_campaigns(settings, day, known) if draft else keep(plan_campaigns)(settings, day, known)
    show_campaigns(campaigns)
    known = known.having(*campaigns.written)
    report = report_results(settings, day, known)
    plan = plan_push(settings, day, known)
    show_plan(plan)
    return Prepared(known=known, campaigns=campaigns, report=report, plan=plan)


def plan_again(settings: Config, day: date, tables: Lake, made: Prepared) -> Prepared:
    """The push as it would be now that segments or destinations have changed; the rest stays as it was made."""
    known = made.known.having(*(tables.latest(table) for table in SOURCES))
    plan = plan_push.with_options(refresh_cache=True)(settings, day, known)
    show_plan(plan)
    return made.model_copy(update={"plan": plan})
