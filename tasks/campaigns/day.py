"""The campaigns of one day from assignment to drafts: what is planned, what is applied, and what is written down."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, SecretStr

from tasks.campaigns import assignment, contactable, deliver, held_out, offers, preview, recipients
from tasks.campaigns.assignment import Lot
from tasks.campaigns.deliver import Delivery
from tasks.campaigns.drafts import Draft, Studio, build
from tasks.campaigns.sendgrid_wire import Wire
from tasks.lake import Lake, Snapshot
from tasks.lake.contracts import CONTRACTS
from tasks.lake.storage import filesystem

READS = tuple(
    sorted(
        {
            *assignment.TABLES, *recipients.TABLES, *offers.TABLES, *deliver.TABLES, *held_out.CONTAMINATION_TABLES,
        }
    )
)  # fmt: skip
OPT_OUT_TABLES = contactable.TABLES
WRITES = ("campaign_members", "campaigns", "holdouts", "campaign_drafts", "campaign_contacts", "offers")


class DraftLine(BaseModel):
    """One draft of a day, without personal data."""

    model_config = ConfigDict(frozen=True)

    name: str
    campaign_id: str
    recipients: int
    cost: str
    status: str
    native_id: str = ""
    accepted: int = 0
    unchanged: int = 0
    refused: int = 0
    stopped: int = 0
    withdrawn: int = 0
    approved_by: str = ""


class DaySummary(BaseModel):
    """What a day of campaigns came to, without personal data; ``page`` is the preview to open."""

    model_config = ConfigDict(frozen=True)

    as_of: date
    applied: bool
    page: str
    arms: dict[str, int]
    left_out: dict[str, int]
    drafts: tuple[DraftLine, ...]
    offers: int
    offer_changes: int
    contamination: tuple[str, ...]
    written: tuple[Snapshot, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: the day, whether for real, by whom it is approved, and the account to draft in (if any)."""

    as_of: date
    lot: Lot
    person_key: SecretStr
    applied: bool = False
    approved_by: str = ""
    wire: Wire | None = None


def make(lake: Lake, snapshots: Sequence[Snapshot], studio: Studio, order: Order) -> DaySummary:
    """Make the campaigns of a day from ``snapshots`` of the tables in READS; writes the tables in WRITES and files.

    Opt-outs are read as they stand now, whatever the snapshots say: one that arrived since the plan counts. Arms are
    written before the first contact leaves; whoever is stopped or refused on the way becomes left_out afterwards.
    Raises CheckFailedError without segments, ConfigurationError or TransientError from the account.
    """
    current = [lake.latest(s.table) if s.table in OPT_OUT_TABLES else s for s in snapshots]
    with lake.database(current) as db:
        _assign(db, studio, order)
        drafts = build(db, studio, order.as_of)
        held_out.create_campaigns(db, studio.playbook, order.as_of, _subjects(drafts, studio))
        offers.create_offers(db, studio, order.as_of)
        _write_tables(lake, db, order)
        deliveries: tuple[Delivery, ...] = ()
        if order.applied and order.wire is not None:
            deliveries = deliver.deliver(
                db, lake, order.wire, drafts, studio,
                as_of=order.as_of, blocked=blocked_now(lake, studio, order),
            )  # fmt: skip
            _correct_members(lake, db, deliveries)
        lines = _lines(db, drafts, deliveries, order)
        _write_drafts(lake, drafts, deliveries, lines)
        page, offer_rows, changes = _write_files(db, drafts, studio, order, lines)
        return DaySummary(
            as_of=order.as_of,
            applied=order.applied,
            page=page,
            arms=dict(db.sql("SELECT arm, count(*) FROM members GROUP BY 1 ORDER BY 1").fetchall()),
            left_out=dict(db.sql(_LEFT_OUT).fetchall()),
            drafts=lines,
            offers=offer_rows,
            offer_changes=changes,
            contamination=tuple(
                f"{campaign}: {customers:,} of {held:,} held-out customers {_CONTAMINATED[how]}"
                for campaign, how, customers, held in held_out.contamination(db, order.as_of)
            ),
            written=tuple(lake.latest(table) for table in WRITES),
        )


_LEFT_OUT = "SELECT reason, count(*) FROM members WHERE arm = 'left_out' GROUP BY 1 ORDER BY 2 DESC, 1"
_CONTAMINATED = {
    "engaged": "opened, clicked or received the message",
    "redeemed": "used its code",
    "drafted": "were in a draft of it",
    "address": "share an address with somebody who got it",
}


def blocked_now(lake: Lake, studio: Studio, order: Order) -> Callable[[], Mapping[str, str]]:
    """Who may not be written to, read anew whenever a table of opt-outs has a newer version."""
    seen: list[Snapshot] = []
    found: dict[str, str] = {}

    def look() -> Mapping[str, str]:
        latest = [lake.latest(table) for table in OPT_OUT_TABLES]
        if latest != seen:
            with lake.database(latest) as db:
                contactable.create_contactable(
                    db, order.as_of, consent=studio.settings.consent, person_key=order.person_key
                )
                rows = db.sql("SELECT customer_id, blocked FROM contactable WHERE blocked IS NOT NULL").fetchall()
            found.clear()
            found.update(rows)
            seen[:] = latest
        return found

    return look


def _assign(db: duckdb.DuckDBPyConnection, studio: Studio, order: Order) -> None:
    contactable.create_contactable(db, order.as_of, consent=studio.settings.consent, person_key=order.person_key)
    assignment.assign(db, studio.playbook, order.as_of, order.lot, applied=order.applied)
    held_out.create_holdouts(db, studio.playbook, order.as_of)
    recipients.create_recipients(db, studio.playbook, order.as_of, language=studio.settings.language)


def _subjects(drafts: Sequence[Draft], studio: Studio) -> dict[str, str | None]:
    """The subject of each play in the playbook's language, else of its first draft."""
    found: dict[str, str | None] = {}
    for draft in drafts:
        if draft.play.id not in found or draft.group.language == studio.playbook.language:
            found[draft.play.id] = draft.message.subject
    return found


def _write_tables(lake: Lake, db: duckdb.DuckDBPyConnection, order: Order) -> None:
    day = {"as_of": order.as_of}
    holdouts = db.sql("SELECT * FROM new_holdouts ORDER BY campaign_id, customer_id").to_arrow_table()
    if len(holdouts):
        lake.merge("holdouts", holdouts)
    lake.replace("campaign_members", db.sql("SELECT * FROM members ORDER BY customer_id"), where=day)
    lake.replace("campaigns", db.sql("SELECT * FROM campaign_rows ORDER BY campaign_id"), where=day)
    lake.replace("offers", db.sql("SELECT * FROM offer_rows ORDER BY customer_id"), where=day)


def _correct_members(lake: Lake, db: duckdb.DuckDBPyConnection, deliveries: Sequence[Delivery]) -> None:
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


def _lines(
    db: duckdb.DuckDBPyConnection, drafts: Sequence[Draft], deliveries: Sequence[Delivery], order: Order
) -> tuple[DraftLine, ...]:
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


def _write_drafts(
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


def _write_files(
    db: duckdb.DuckDBPyConnection, drafts: Sequence[Draft], studio: Studio, order: Order, lines: Sequence[DraftLine]
) -> tuple[str, int, int]:
    """Write the files of the day; returns the address of the page, and how many offers there are and changed."""
    root = f"{studio.settings.outbox.rstrip('/')}/{order.as_of}"
    files: dict[str, bytes] = {}
    for draft in drafts:
        with_contacts = order.applied and order.wire is None
        files |= preview.draft_files(db, draft, studio, with_contacts=with_contacts)
    files["index.html"] = preview.page(
        db,
        drafts,
        studio,
        order.as_of,
        states={line.name: line.status for line in lines},
        approved_by={line.name: line.approved_by for line in lines if line.approved_by},
    )
    told = offers.offer_files(db, order.as_of)
    files |= {f"offers/{name}": content for name, content in told.files.items()}
    storage = filesystem(root)
    for name, content in sorted(files.items()):
        address = f"{root}/{name}"
        storage.makedirs(address.rsplit("/", 1)[0], exist_ok=True)
        with storage.open(address, "wb") as handle:
            handle.write(content)
    return f"{root}/index.html", told.rows, told.changes
