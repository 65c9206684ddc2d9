"""Events become rows of our datasets, landed as files that intake takes like any other.

Order of arrival does not matter: of several events about one order the newest is kept, within a batch and against what
came before (table ``event_times``); of profiles and consent intake itself keeps the newest word. A duplicate says the
same again and changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tasks.config import Config, Dataset, Source
from tasks.intake.event import Event, EventKind
from tasks.intake.landing import land_once, source_of, whole_rows
from tasks.lake import Lake, Snapshot
from tasks.lake.contracts import CONTRACTS

_TABLE = "event_times"
_PROFILES = {EventKind.REGISTRATION, EventKind.PROFILE_UPDATE}
_DATASETS = {
    EventKind.PURCHASE: Dataset.ORDERS,
    EventKind.REGISTRATION: Dataset.CUSTOMERS,
    EventKind.PROFILE_UPDATE: Dataset.CUSTOMERS,
    EventKind.LOYALTY_RETURN: Dataset.SESSIONS,
}


@dataclass(frozen=True, slots=True)
class Landed:
    """What a batch of events put into ``landing``: the sources concerned, and how many events were superseded."""

    sources: tuple[Source, ...]
    superseded: int
    versions: pa.Table


def land_events(lake: Lake, config: Config, events: Sequence[Event]) -> Landed:
    """Land purchases, profiles and visits, one file per source; the same batch again lands the same files."""
    current, versions, superseded = _current_orders(lake, [e for e in events if e.kind is EventKind.PURCHASE])
    facts = [*current, *(event for event in events if event.kind in _DATASETS and event.kind is not EventKind.PURCHASE)]
    groups: dict[tuple[str, Dataset], list[Event]] = {}
    for event in sorted(facts, key=lambda one: (one.at, one.id)):
        groups.setdefault((event.source, _DATASETS[event.kind]), []).append(event)
    sources = []
    for (sender, dataset), group in sorted(groups.items()):
        source = source_of(lake, config, sender, dataset)
        rows = [row for event in group for row in event_rows(event)]
        land_once(lake, source.name, "events", whole_rows(dataset, rows))
        sources.append(source)
    return Landed(tuple(sources), superseded, versions)


def remember_versions(lake: Lake, landed: Landed) -> Snapshot:
    """Write down how new each order of the batch is; done last, so that a batch that broke off is landed again."""
    return lake.merge(_TABLE, landed.versions) if len(landed.versions) else lake.latest(_TABLE)


def event_rows(event: Event) -> list[dict[str, Any]]:
    """The rows of one event in the columns of its dataset."""
    if event.kind is EventKind.PURCHASE:
        return _order_rows(event)
    if event.kind in _PROFILES:
        return [_profile_row(event)]
    person = event.customer.model_dump(include={"customer_id", "loyalty_id", "email", "phone"})
    return [{**person, "session_id": event.id, "started_at": event.at.isoformat(), "device": "loyalty"}]


def _order_rows(event: Event) -> list[dict[str, Any]]:
    order = event.order
    if order is None:
        return []
    head = {
        "order_id": order.order_id,
        "ordered_at": event.happened_at.isoformat(),
        "channel": order.channel,
        "store_id": order.store_id,
        "currency": order.currency,
        "campaign_id": order.campaign_id,
        "cancelled": order.cancelled,
        **event.customer.model_dump(include={"customer_id", "loyalty_id", "email", "phone"}),
    }
    return [
        {
            **head,
            "line": position,
            "product_id": line.product_id,
            "quantity": str(line.quantity),
            "unit_price": None if line.unit_price is None else str(line.unit_price),
            "discount": str(line.discount),
            "amount": str(line.net),
            "gift": line.gift,
        }
        for position, line in enumerate(order.lines, start=1)
    ]


def _profile_row(event: Event) -> dict[str, Any]:
    told = event.customer.model_dump(exclude={"consent"}, mode="json")
    if event.kind is EventKind.REGISTRATION and told["created_at"] is None:
        told["created_at"] = event.at.isoformat()
    consent = {f"consent_{channel}": status for channel, status in event.customer.consent.items()}
    return {**told, **consent, "updated_at": event.at.isoformat()}


def _current_orders(lake: Lake, purchases: Sequence[Event]) -> tuple[list[Event], pa.Table, int]:
    """Of each order the newest event, unless a newer one came before; with their times, and how many fell away."""
    newest: dict[tuple[str, str], Event] = {}
    for event in sorted(purchases, key=lambda one: (one.at, one.id)):
        newest[(event.source, _subject(event))] = event
    known = _known_times(lake, newest)
    kept = {key: event for key, event in newest.items() if not (key in known and known[key] > event.at)}
    rows = [{"source": source, "subject": subject, "at": event.at} for (source, subject), event in kept.items()]
    versions = pa.Table.from_pylist(rows, schema=CONTRACTS[_TABLE].schema)
    return list(kept.values()), versions, len(purchases) - len(kept)


def _subject(event: Event) -> str:
    return event.order.order_id if event.order else event.id


def _known_times(lake: Lake, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    pairs = list(keys)
    asked = pa.table(
        {
            "source": pa.array([source for source, _ in pairs], pa.string()),
            "subject": pa.array([subject for _, subject in pairs], pa.string()),
        }
    )
    with lake.database([lake.latest(_TABLE)]) as db:
        db.register("asked", asked)
        found = db.sql(f'SELECT source, subject, "at" FROM {_TABLE} SEMI JOIN asked USING (source, subject)').fetchall()
    return {(source, subject): at for source, subject, at in found}
