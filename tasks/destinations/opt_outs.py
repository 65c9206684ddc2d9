"""Opt-outs, bounces and complaints that platforms know of, read back into table suppressions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from tasks.config import DestinationSettings
from tasks.destinations.apply import Connect
from tasks.destinations.desired import chosen_fields, key_of
from tasks.destinations.gate import hash_sql
from tasks.destinations.platform import OptOut, Person, Platform, Session, Target, chunks
from tasks.destinations.registry import platform_of
from tasks.destinations.understood import understood
from tasks.lake import Lake, Snapshot
from tasks.lake.contracts import CONTRACTS
from tasks.lake.person_hash import hash_person

OVERLAP = timedelta(days=2)  # what a platform learns late is read again; the table holds it once
ROWS = 10_000
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
KINDS = {
    "bounce": "bounce",
    "clean": "bounce",
    "spam": "spam",
    "complaint": "spam",
    "invalid": "invalid",
    "redact": "blocked",
}


def read_opt_outs(
    lake: Lake, destinations: Sequence[DestinationSettings], connect: Connect, *, at: datetime, person_key: str
) -> tuple[Snapshot, dict[str, int]]:
    """Ask every platform that knows consent what changed since it was last asked; returns how many per destination.

    Addresses are kept as keyed hashes only. An opt-out counts for every destination from the next plan on.
    """
    counts: dict[str, int] = {}
    for destination in destinations:
        platform = platform_of(destination.platform)
        if platform.reads_opt_outs:
            with connect(destination, platform) as session:
                found = _ask(lake, destination, platform, session)
                counts[destination.name] = sum(
                    _keep(lake, destination.name, some, at, person_key) for some in chunks(found, ROWS)
                )
    return lake.latest("suppressions"), counts


def kind_of(reason: str) -> str:
    """The vendor's reason as one of unsubscribe, bounce, spam, invalid, blocked."""
    said = reason.lower()
    return next((kind for word, kind in KINDS.items() if word in said), "unsubscribe")


def people_pushed(lake: Lake, destination: str) -> Iterator[Person]:
    """Everyone the ledger says is at the destination."""
    with lake.database([lake.latest("sync_ledger")]) as db:
        stream = db.execute(
            "SELECT customer_id, payload->>'email', payload->>'phone', coalesce(native_id, '') FROM sync_ledger "
            "WHERE destination = $name AND digest <> '' ORDER BY customer_id",
            {"name": destination},
        )
        while rows := stream.fetchmany(ROWS):
            yield from (Person(*row) for row in rows)


def bare_target(destination: DestinationSettings, platform: Platform, session: Session) -> Target:
    """A target for asking and erasing, with what the platform calls our fields where it has them."""
    target = Target(
        destination.name, session.account, chosen_fields(destination, platform), key=key_of(destination, platform)
    )
    return replace(target, known=platform.known(session, target))


def _ask(lake: Lake, destination: DestinationSettings, platform: Platform, session: Session) -> Iterator[OptOut]:
    with lake.database([lake.latest("suppressions")]) as db:
        last = db.execute(
            'SELECT max("at") FROM suppressions WHERE destination = $name', {"name": destination.name}
        ).fetchall()[0][0]
    since = None if last is None else last - OVERLAP
    with understood(platform):
        target = bare_target(destination, platform, session)
        yield from platform.opt_outs(session, target, since, people_pushed(lake, destination.name))


def _keep(lake: Lake, destination: str, found: Sequence[OptOut], at: datetime, person_key: str) -> int:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        digest = hash_person(one.value, person_key)
        rows[digest, one.channel] = {
            "destination": destination,
            "address_hash": digest,
            "customer_id": None,
            "channel": one.channel,
            "kind": kind_of(one.reason),
            "at": one.at or at,
        }
    table = pa.Table.from_pylist(list(rows.values()), schema=CONTRACTS["suppressions"].schema)
    with lake.database([lake.latest("customers")]) as db:
        db.register("found", table)
        named = db.execute(
            f"SELECT f.* REPLACE (c.customer_id AS customer_id) FROM found f LEFT JOIN (SELECT min(customer_id) AS "
            f"customer_id, {hash_sql('email')} AS address_hash FROM customers WHERE email IS NOT NULL GROUP BY 2) c "
            "USING (address_hash)",
            {"person_key": person_key},
        ).to_arrow_table()
    lake.merge("suppressions", named)
    return len(named)
