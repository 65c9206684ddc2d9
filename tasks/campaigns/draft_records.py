"""What is written down about drafts: who was stopped on the way, what lies where, and who approved which content."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from tasks.campaigns import assignment
from tasks.campaigns.deliver import Delivery
from tasks.campaigns.drafts import Draft
from tasks.campaigns.order import Order
from tasks.campaigns.summary import DraftLine
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS


def correct_members(lake: Lake, db: duckdb.DuckDBPyConnection, deliveries: Sequence[Delivery]) -> None:
    """Make whoever was stopped or refused on the way left_out, in ``members`` and in the lake."""
    reasons = {
        customer: assignment.WORDS.get(why, why)
        for delivery in deliveries
        for customer, why in (*delivery.stopped.items(), *_refused(delivery))
    }
    if not reasons:
        return
    table = pa.table({"customer_id": pa.array(reasons, pa.string()), "why": pa.array(reasons.values(), pa.string())})
    db.register("arriving", table)
    db.execute(
        "UPDATE members SET arm = 'left_out', applied = false, reason = arriving.why FROM arriving "
        "WHERE members.customer_id = arriving.customer_id"
    )
    corrected = db.sql("SELECT members.* FROM members SEMI JOIN arriving USING (customer_id)").to_arrow_table()
    db.unregister("arriving")
    if len(corrected):
        lake.merge("campaign_members", corrected)


def _refused(delivery: Delivery) -> list[tuple[str, str]]:
    return [(customer, f"refused by the platform: {reason}") for customer, reason in delivery.refused.items()]


def describe(
    db: duckdb.DuckDBPyConnection, drafts: Sequence[Draft], deliveries: Sequence[Delivery], order: Order
) -> tuple[DraftLine, ...]:
    """One line per draft: what became of it, and whether somebody approved exactly this content."""
    by_name = {delivery.draft.name: delivery for delivery in deliveries}
    before = {
        name: (approved_by, digest, status)
        for name, approved_by, digest, status in db.execute(
            "SELECT draft, approved_by, digest, status FROM campaign_drafts WHERE as_of = ?", [order.as_of]
        ).fetchall()
    }
    lines = []
    for draft in drafts:
        delivery = by_name.get(draft.name)
        approved_by, digest, status = before.get(draft.name, (None, "", "planned"))
        still = approved_by if digest == draft.digest else None  # an approval counts for this very content
        lines.append(
            DraftLine(
                name=draft.name,
                campaign_id=draft.group.campaign_id,
                recipients=draft.recipients,
                cost=str(draft.cost),
                status=_status(delivery, order, status),
                native_id=delivery.placed.native_id if delivery and delivery.placed else "",
                accepted=delivery.accepted if delivery else 0,
                unchanged=delivery.unchanged if delivery else 0,
                refused=len(delivery.refused) if delivery else 0,
                stopped=len(delivery.stopped) if delivery else 0,
                withdrawn=delivery.withdrawn if delivery else 0,
                approved_by=(order.approved_by if order.applied else "") or still or "",
            )
        )
    return tuple(lines)


def _status(delivery: Delivery | None, order: Order, before: str) -> str:
    if delivery and delivery.placed:
        return delivery.placed.status
    return "outbox" if order.applied else before


def write_drafts(
    lake: Lake, drafts: Sequence[Draft], deliveries: Sequence[Delivery], lines: Sequence[DraftLine]
) -> None:
    """One row per draft; ids of an earlier apply stay when a day is only planned again."""
    by_name = {delivery.draft.name: delivery for delivery in deliveries}
    if not drafts:
        return
    as_of = drafts[0].as_of
    known = {row["draft"]: row for row in lake.read(lake.latest("campaign_drafts"), where={"as_of": as_of}).to_pylist()}
    rows: list[dict[str, Any]] = []
    for draft, line in zip(drafts, lines, strict=True):
        delivery, before = by_name.get(draft.name), known.get(draft.name, {})
        placed = delivery.placed if delivery else None
        rows.append(
            {
                "as_of": as_of,
                "draft": draft.name,
                "campaign_id": draft.group.campaign_id,
                "language": draft.group.language,
                "products_shown": draft.group.shown,
                "subject": draft.message.subject,
                "recipients": draft.recipients,
                "cost": draft.cost,
                "digest": draft.digest,
                "status": line.status,
                "list_id": delivery.list_id if delivery else before.get("list_id"),
                "design_id": (placed.design_id if placed else None) or before.get("design_id"),
                "native_id": placed.native_id if placed else before.get("native_id"),
                "content": placed.content if placed else before.get("content"),
                "approved_by": line.approved_by or None,
            }
        )
    schema = CONTRACTS["campaign_drafts"].schema
    lake.replace("campaign_drafts", pa.Table.from_pylist(rows, schema=schema), where={"as_of": as_of})
