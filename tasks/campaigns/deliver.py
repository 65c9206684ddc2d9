"""Drafts into the account: contacts in batches, each acknowledged in the lake, then design and draft, then leavers.

A run that is killed goes on where no acknowledgement was written. Nothing here can schedule or send.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from tasks.campaigns import sendgrid_account, sendgrid_contacts, sendgrid_drafts
from tasks.campaigns.drafts import Contact, Draft, Studio, contacts
from tasks.campaigns.sendgrid_contacts import Outcome
from tasks.campaigns.sendgrid_wire import Wire
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS

TABLES = ("campaign_contacts", "campaign_drafts")
OPEN_FOR_DAYS = 60  # a draft that nobody sent for so long is not looked after any more

Blocked = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What the ledger says about one customer of a draft."""

    customer_id: str
    email: str
    list_id: str
    digest: str
    status: str


@dataclass
class Delivery:
    """What became of one draft."""

    draft: Draft
    list_id: str
    placed: sendgrid_drafts.Placed | None = None
    accepted: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # customer → reason
    stopped: dict[str, str] = field(default_factory=dict)  # customer → why blocked since the plan


def deliver(
    db: duckdb.DuckDBPyConnection,
    lake: Lake,
    wire: Wire,
    drafts: Sequence[Draft],
    studio: Studio,
    *,
    as_of: date,
    blocked: Blocked,
) -> tuple[Delivery, ...]:
    """Bring the account to the drafts of a day; ``blocked`` tells who may not be written to, asked before each batch.

    Reads the views named in TABLES as they were before; writes campaign_contacts as answers arrive.
    """
    ledger, contents = _ledger(db, as_of), _contents(db, as_of)
    sendgrid_account.check_account(wire)
    field_ids = sendgrid_account.ensure_fields(wire, {name for draft in drafts for name in draft.message.fields})
    lists = sendgrid_account.ensure_lists(wire, [draft.name for draft in drafts])
    deliveries = [Delivery(draft, lists[draft.name]) for draft in drafts]
    staying: dict[str, set[str]] = {}
    for delivery in deliveries:
        draft = delivery.draft
        entry = sendgrid_drafts.find(wire, draft.name)
        known = {row.customer_id: row for row in ledger.get(draft.name, ())}
        if sendgrid_drafts.is_open(entry):
            fresh = _only_changed(contacts(db, draft, studio), delivery, known, staying.setdefault(draft.name, set()))
            _push(lake, wire, delivery, fresh, field_ids=field_ids, blocked=blocked)
        delivery.placed = sendgrid_drafts.place(
            wire, draft, delivery.list_id, entry, last_content=contents.get(draft.name)
        )
    _withdraw(lake, wire, ledger, staying=staying, deliveries=deliveries, stop=blocked())
    return tuple(deliveries)


def _ledger(db: duckdb.DuckDBPyConnection, as_of: date) -> dict[str, list[Acknowledged]]:
    rows = db.execute(
        "SELECT draft, customer_id, email, list_id, digest, status FROM campaign_contacts WHERE as_of > ? "
        "ORDER BY draft, customer_id",
        [as_of - timedelta(days=OPEN_FOR_DAYS)],
    ).fetchall()
    ledger: dict[str, list[Acknowledged]] = {}
    for draft, *acknowledged in rows:
        ledger.setdefault(draft, []).append(Acknowledged(*acknowledged))
    return ledger


def _contents(db: duckdb.DuckDBPyConnection, as_of: date) -> dict[str, str | None]:
    return dict(db.execute("SELECT draft, content FROM campaign_drafts WHERE as_of = ?", [as_of]).fetchall())


def _only_changed(
    wanted: Iterable[Contact], delivery: Delivery, known: Mapping[str, Acknowledged], staying: set[str]
) -> Iterator[Contact]:
    for contact in wanted:
        staying.add(contact.email)
        before = known.get(contact.customer_id)
        if before and before.status != "withdrawn" and before.digest == contact.digest(delivery.list_id):
            delivery.unchanged += 1
        else:
            yield contact


def _push(
    lake: Lake,
    wire: Wire,
    delivery: Delivery,
    wanted: Iterable[Contact],
    *,
    field_ids: Mapping[str, str],
    blocked: Blocked,
) -> None:
    for batch in sendgrid_contacts.batches(wanted, field_ids, wire.settings.contacts_per_request):
        stop = blocked()
        delivery.stopped |= {c.customer_id: stop[c.customer_id] for c in batch if c.customer_id in stop}
        allowed = [contact for contact in batch if contact.customer_id not in stop]
        if not allowed:
            continue
        outcomes = sendgrid_contacts.upsert(wire, delivery.list_id, allowed, field_ids)
        delivery.accepted += sum(outcome.accepted for outcome in outcomes)
        delivery.refused |= {o.contact.customer_id: o.reason for o in outcomes if not o.accepted}
        _acknowledge(lake, delivery, outcomes)


def _acknowledge(lake: Lake, delivery: Delivery, outcomes: Collection[Outcome]) -> None:
    _write(
        lake,
        [
            {
                "draft": delivery.draft.name,
                "customer_id": outcome.contact.customer_id,
                "as_of": delivery.draft.as_of,
                "email": outcome.contact.email,
                "list_id": delivery.list_id,
                "digest": outcome.contact.digest(delivery.list_id),
                "status": "accepted" if outcome.accepted else "refused",
                "reason": outcome.reason,
            }
            for outcome in outcomes
        ],
    )


def _withdraw(
    lake: Lake,
    wire: Wire,
    ledger: Mapping[str, Sequence[Acknowledged]],
    *,
    staying: Mapping[str, Collection[str]],
    deliveries: Sequence[Delivery],
    stop: Mapping[str, str],
) -> None:
    """Take off the lists whoever may no longer be written to, and whoever left a draft of today.

    This reaches back to drafts of earlier days that nobody has sent yet: an opt-out counts for them as well.
    """
    by_name = {delivery.draft.name: delivery for delivery in deliveries}
    for name, rows in sorted(ledger.items()):
        keep = staying.get(name)
        leaving = [
            row for row in rows if row.status == "accepted"
            and (row.customer_id in stop or (keep is not None and row.email not in keep))
        ]  # fmt: skip
        entry = sendgrid_drafts.find(wire, name) if leaving else None
        if not leaving or (entry and entry.get("status") == "triggered"):
            continue
        for list_id in sorted({row.list_id for row in leaving}):
            sendgrid_contacts.take_off(wire, list_id, [row.email for row in leaving if row.list_id == list_id])
        _mark_withdrawn(lake, name, leaving)
        if name in by_name:
            by_name[name].withdrawn += len(leaving)
            by_name[name].stopped |= {r.customer_id: stop[r.customer_id] for r in leaving if r.customer_id in stop}


def _mark_withdrawn(lake: Lake, name: str, leaving: Sequence[Acknowledged]) -> None:
    listed = {row.customer_id: row for row in leaving}
    kept = lake.read(lake.latest("campaign_contacts"), where={"draft": name}).to_pylist()
    _write(
        lake,
        [
            {**row, "status": "withdrawn"} for row in kept
            if row["customer_id"] in listed and row["email"] == listed[row["customer_id"]].email
        ],
    )  # fmt: skip


def _write(lake: Lake, rows: list[dict[str, object]]) -> None:
    if rows:
        lake.merge("campaign_contacts", pa.Table.from_pylist(rows, schema=CONTRACTS["campaign_contacts"].schema))
