"""The campaigns of one day from assignment to drafts: what is planned, what is applied, and what is written down."""

from collections.abc import Callable, Mapping, Sequence

import duckdb

from tasks.campaigns import assignment, contactable, deliver, held_out, offers, preview, recipients
from tasks.campaigns.deliver import Delivery
from tasks.campaigns.draft_records import correct_members, describe, write_drafts
from tasks.campaigns.drafts import Draft, Studio, build
from tasks.campaigns.order import Order
from tasks.campaigns.summary import DaySummary, DraftLine
from tasks.lake import Lake, Snapshot
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


def make(lake: Lake, snapshots: Sequence[Snapshot], studio: Studio, order: Order) -> DaySummary:
    """Make the campaigns of a day from ``snapshots`` of the tables in READS; writes the tables in WRITES and files.

    Opt-outs are read as they stand now, whatever the snapshots say: one that arrived since the plan counts. So are the
    tables written here: caps and drafts build on earlier days. Arms are written before the first contact leaves;
    whoever is stopped or refused on the way becomes left_out afterwards.
    Raises CheckFailedError without segments, ConfigurationError or TransientError from the account.
    """
    current = [lake.latest(s.table) if s.table in {*OPT_OUT_TABLES, *WRITES} else s for s in snapshots]
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
            correct_members(lake, db, deliveries)
        lines = describe(db, drafts, deliveries, order)
        write_drafts(lake, drafts, deliveries, lines)
        page, offer_rows, changes = _write_files(db, drafts, studio, order, lines)
        return DaySummary(
            as_of=order.as_of,
            applied=order.applied,
            page=page,
            remark=studio.settings.remark,
            arms=dict(db.sql("SELECT arm, count(*) FROM members GROUP BY 1 ORDER BY 1").fetchall()),
            left_out=dict(db.sql(_LEFT_OUT).fetchall()),
            resting=dict(preview.resting(studio.playbook, order.as_of)),
            advice=dict(db.sql("SELECT name, advice FROM campaign_rows ORDER BY priority").fetchall()),
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


def _write_files(
    db: duckdb.DuckDBPyConnection, drafts: Sequence[Draft], studio: Studio, order: Order, lines: Sequence[DraftLine]
) -> tuple[str, int, int]:
    """Write the files of the day; returns the address of the page, and how many offers there are and changed."""
    root = f"{studio.settings.outbox.rstrip('/')}/{order.as_of}"
    files: dict[str, bytes] = {}
    for draft in drafts:
        with_contacts = order.applied and order.wire is None
        files |= preview.draft_files(db, draft, studio, with_contacts=with_contacts)
    told = offers.offer_files(db, order.as_of)
    files |= {f"offers/{name}": content for name, content in told.files.items()}
    files["index.html"] = preview.page(
        db,
        drafts,
        studio,
        order.as_of,
        states={line.name: line.status for line in lines},
        approved_by={line.name: line.approved_by for line in lines if line.approved_by},
        offers=told.rows,
        changed_offers=told.changes,
    )
    storage = filesystem(root)
    for name, content in sorted(files.items()):
        address = f"{root}/{name}"
        storage.makedirs(address.rsplit("/", 1)[0], exist_ok=True)
        with storage.open(address, "wb") as handle:
            handle.write(content)
    return f"{root}/index.html", told.rows, told.changes
