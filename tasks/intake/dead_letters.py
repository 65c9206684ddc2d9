"""What could not be processed is kept with its reason, to be put back after a fix; nothing is lost in silence."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from tasks.intake.queue import Delivery, Queue
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS
from tasks.lake.storage import filesystem

TABLE = "dead_letters"
EVENT, SOURCE = "event", "source"
_FOLDER = "dead_letters/events"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that is put aside: ``code`` can be counted, ``reason`` names fields but no person."""

    delivery: Delivery
    code: str
    reason: str
    tries: int


def bury_events(lake: Lake, queue: str, refusals: Sequence[Refusal], at: datetime) -> None:
    """Keep refused deliveries as files in the lake and list them in dead_letters; the same one again is one letter."""
    rows = {}
    for refusal in refusals:
        text = json.dumps({"body": refusal.delivery.body, "attributes": dict(refusal.delivery.attributes)})
        letter = hashlib.sha256(f"{queue}\n{text}".encode()).hexdigest()[:24]
        reference = f"{_FOLDER}/{letter}.json"
        lake.write_text(reference, text)
        told = {"code": refusal.code, "reason": refusal.reason, "tries": refusal.tries, "payload_reference": reference}
        rows[letter] = _row(letter, EVENT, queue, at=at, **told)
    _merge(lake, list(rows.values()))


def bury_source(lake: Lake, source: str, *, code: str, reason: str, tries: int, at: datetime) -> None:
    """List a source that could not be read; it stays open until it was read again."""
    told = {"code": code, "reason": reason, "tries": tries, "payload_reference": ""}
    _merge(lake, [_row(_source_letter(source), SOURCE, source, at=at, **told)])


def close_source(lake: Lake, source: str, at: datetime) -> None:
    """The source was read: its letter, if there is one, is done."""
    _close(lake, [_source_letter(source)], at)


def replay_events(lake: Lake, queue: Queue, at: datetime) -> int:
    """Put every open dead letter of this queue back into it and close it; returns how many."""
    with lake.database([lake.latest(TABLE)]) as db:
        letters = db.execute(
            f'SELECT letter_id, payload_reference FROM {TABLE} WHERE open AND what = ? AND "where" = ? '
            "ORDER BY first_seen, letter_id",
            [EVENT, queue.name],
        ).fetchall()
    deliveries = []
    for _, reference in letters:
        address = lake.address(reference)
        found = json.loads(filesystem(address).cat_file(address))
        deliveries.append(Delivery(found["body"], tuple(sorted(found["attributes"].items()))))
    queue.put(deliveries)
    _close(lake, [letter for letter, _ in letters], at)
    return len(letters)


def _source_letter(source: str) -> str:
    return hashlib.sha256(f"{SOURCE}\n{source}".encode()).hexdigest()[:24]


def _row(letter: str, what: str, where: str, *, at: datetime, **told: object) -> dict[str, object]:
    """A row of dead_letters; ``told`` has code, reason, payload_reference and tries."""
    head = {"letter_id": letter, "what": what, "where": where, "customer_id": None, "digest": None}
    return {**head, **told, "first_seen": at, "last_seen": at, "value_at_stake": 0.0, "open": True}


def _merge(lake: Lake, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    known = _known(lake, [str(row["letter_id"]) for row in rows])
    merged = [{**row, "first_seen": known.get(str(row["letter_id"]), row["first_seen"])} for row in rows]
    lake.merge(TABLE, pa.Table.from_pylist(merged, schema=CONTRACTS[TABLE].schema))


def _known(lake: Lake, letters: Sequence[str]) -> dict[str, datetime]:
    with lake.database([lake.latest(TABLE)]) as db:
        found = db.execute(
            f"SELECT letter_id, first_seen FROM {TABLE} WHERE list_contains(?, letter_id)", [list(letters)]
        ).fetchall()
    return dict(found)


def _close(lake: Lake, letters: Sequence[str], at: datetime) -> None:
    with lake.database([lake.latest(TABLE)]) as db:
        closed = db.execute(
            f"SELECT * REPLACE (false AS open, ?::TIMESTAMPTZ AS last_seen) FROM {TABLE} "
            "WHERE open AND list_contains(?, letter_id)",
            [at, list(letters)],
        ).to_arrow_table()
    if len(closed):
        lake.merge(TABLE, closed)
