"""Drafts of e-mail campaigns, hold-outs, and offers for staff and till, for one day."""

from datetime import date
from typing import Literal

from prefect import flow

from flows.schedule import scheduled_day
from flows.turns import turn
from tasks.campaigns.day import OPT_OUT_TABLES, READS
from tasks.campaigns.summary import DaySummary
from tasks.campaigns.task import apply_campaigns, plan_campaigns, read_opt_outs, show_campaigns
from tasks.config import load_config
from tasks.lake import Snapshots
from tasks.lake.opened import open_lake

Mode = Literal["plan", "apply"]


@flow(name="draft campaigns", flow_run_name="draft-campaigns-{mode}")
def draft_campaigns(
    config: str = "segmentation.yaml",
    as_of: date | None = None,
    mode: Mode = "plan",
    approved_by: str = "",
    lake: str | None = None,
) -> DaySummary:
    """Plan or apply the campaigns of a day; the default plans, and neither ever sends.

    Args:
        config: Address of the configuration.
        as_of: Morning of the day; the scheduled start of the run when left out.
        mode: plan shows what would be drafted; apply drafts it in SendGrid, or in the outbox without an account.
        approved_by: Who has looked at the drafts and approves them; counts for exactly the present content.
        lake: Overrides the lake of the configuration.
    """
    settings = load_config(config, {"lake": lake} if lake else None)
    day = as_of or scheduled_day(settings.timezone)
    opened = open_lake(settings)
    with turn(opened):
        known = Snapshots.of(opened.latest(table) for table in sorted({*READS, *OPT_OUT_TABLES}))
        known = read_opt_outs(settings, day, known)
        if mode == "apply":
            summary = apply_campaigns(settings, day, known, approved_by)
        else:
            summary = plan_campaigns(settings, day, known)
    show_campaigns(summary)
    return summary
