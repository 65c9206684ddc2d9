"""Erasure: a person goes on the list of the forgotten, off every platform and out of every table, with receipts.

What they bought stays in revenue as a guest's. The list holds keyed hashes of every handle, so that nobody on it is
taken in or pushed again, and names nobody.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa

from tasks.config import DestinationSettings
from tasks.destinations.apply import Connect
from tasks.destinations.forget_files import Places, erase_files
from tasks.destinations.mentions import Handles, text_is_about
from tasks.destinations.opt_outs import bare_target
from tasks.destinations.platform import Person, Receipt, chunks
from tasks.destinations.registry import platform_of
from tasks.destinations.understood import understood
from tasks.errors import SegmentationError
from tasks.lake import Lake, Snapshot
from tasks.lake.buckets import bucket_sql
from tasks.lake.contracts import CONTRACTS
from tasks.lake.maintain import vacuum
from tasks.lake.person_hash import hash_person

BOUGHT = {"order_lines": "order_id, line", "orders": "order_id"}
NEEDED = frozenset({"customers", "identity", "sync_ledger"})
DELETED_AT_ONCE = 200
KEPT = frozenset({"forgotten", "erasure_receipts", "suppressions", *BOUGHT})


def forget(
    lake: Lake,
    who: str,
    destinations: Sequence[DestinationSettings],
    connect: Connect,
    *,
    request_id: str,
    buckets: int,
    at: datetime,
    person_key: str,
    places: Places = Places(),  # noqa: B008 - a frozen value
) -> tuple[Snapshot, list[dict[str, object]]]:
    """Erase the person known by ``who`` (customer id, address, number or loyalty id) everywhere; returns the receipts.

    The list of the forgotten is written first, so that a failure later cannot bring the person back. The same request
    again finishes what failed: tables already cleared answer ``absent``.
    """
    handles = find_handles(lake, who)
    _list_forgotten(lake, handles, at, person_key)
    person_hash = hash_person(who, person_key)
    told = list(_erase_platforms(lake, handles, destinations, connect))
    failed = ", ".join(place for place, status, _ in told if status == "failed")
    found = [*told, *erase_files(lake, handles, places), _erase_quarantine(lake, handles)]
    found += _erase_tables(lake, handles, request_id, buckets, failed)
    receipts: list[dict[str, object]] = [
        {
            "request_id": request_id,
            "place": place,
            "person_hash": person_hash,
            "status": status,
            "detail": detail,
            "at": at,
        }
        for place, status, detail in found
    ]
    table = pa.Table.from_pylist(receipts, schema=CONTRACTS["erasure_receipts"].schema)
    return lake.merge("erasure_receipts", table), receipts


def find_handles(lake: Lake, who: str) -> Handles:
    """Every handle of the person; someone unknown is still listed under the handle that was given."""
    with lake.database([lake.latest("customers"), lake.latest("identity")]) as db:
        rows = db.execute(
            "SELECT customer_id, email, phone, loyalty_id FROM customers "
            "WHERE $who IN (customer_id, email, phone, loyalty_id) OR lower($who) = email ORDER BY customer_id LIMIT 1",
            {"who": who},
        ).fetchall()
        customer_id, email, phone, loyalty_id = rows[0] if rows else (who, None, None, None)
        keys = db.execute(
            "SELECT customer_key FROM identity WHERE customer_id = $id ORDER BY customer_key", {"id": customer_id}
        ).fetchall()
    return Handles(customer_id, email, phone, loyalty_id, tuple(key for (key,) in keys))


def _list_forgotten(lake: Lake, handles: Handles, at: datetime, person_key: str) -> None:
    named = [(handles.email, "email"), (handles.phone, "phone"), (handles.loyalty_id, "loyalty_id")]
    named += [(key, "customer_key") for key in (handles.customer_id, *handles.customer_keys)]
    rows = {hash_person(name, person_key): {"kind": kind, "at": at} for name, kind in named if name}
    records = [{"person_hash": digest, **row} for digest, row in rows.items()]
    lake.merge("forgotten", pa.Table.from_pylist(records, schema=CONTRACTS["forgotten"].schema))


def _erase_platforms(
    lake: Lake, handles: Handles, destinations: Sequence[DestinationSettings], connect: Connect
) -> Iterator[tuple[str, str, str]]:
    """Ask each destination to erase; one that fails is told in its receipt and does not stop the others."""
    for destination in destinations:
        platform = platform_of(destination.platform)
        person = Person(handles.customer_id, handles.email, handles.phone, _native_id(lake, destination.name, handles))
        try:
            with connect(destination, platform) as session, understood(platform):
                answers = list(platform.erase(session, bare_target(destination, platform, session), [person]))
        except SegmentationError as error:
            yield destination.name, "failed", str(error)
            continue
        receipt = answers[0] if answers else Receipt(person.customer_id, done=False, note="no answer")
        detail = " ".join(filter(None, (receipt.reference, receipt.note)))
        yield destination.name, "accepted" if receipt.done else "manual", detail


def _native_id(lake: Lake, destination: str, handles: Handles) -> str:
    with lake.database([lake.latest("sync_ledger")]) as db:
        rows = db.execute(
            "SELECT coalesce(native_id, '') FROM sync_ledger WHERE destination = $name AND customer_id = $id",
            {"name": destination, "id": handles.customer_id},
        ).fetchall()
    return str(rows[0][0]) if rows else ""


def _erase_tables(
    lake: Lake, handles: Handles, request_id: str, buckets: int, failed: str
) -> Iterator[tuple[str, str, str]]:
    """Delete the person's rows from every table, keep purchases as a guest's, and remove the old files.

    While a platform has ``failed``, the tables that say how to find the person there wait for the next try.
    """
    for contract in CONTRACTS.values():
        conditions = []
        if "customer_id" in contract.names:
            conditions.append(f"customer_id = {_text(handles.customer_id)}")
        if "customer_key" in contract.names and handles.customer_keys:
            conditions.append(f"customer_key IN ({', '.join(map(_text, handles.customer_keys))})")
        if not conditions or contract.table in KEPT - set(BOUGHT):
            continue
        if failed and contract.table in NEEDED:
            yield contract.table, "failed", f"kept until {failed} has answered; ask again"
            continue
        where = " OR ".join(conditions)
        with lake.database([lake.latest(contract.table)]) as db:
            rows = int(db.sql(f"SELECT count(*) FROM {contract.table} WHERE {where}").fetchall()[0][0])
        if rows:
            if contract.table in BOUGHT:
                _make_guest(lake, contract.table, where, request_id, buckets)
            lake.delete(contract.table, where)
            vacuum(lake, contract.table, 0)
        yield contract.table, "erased" if rows else "absent", f"{rows} rows"


def _erase_quarantine(lake: Lake, handles: Handles) -> tuple[str, str, str]:
    """Refused rows stand there as they came: those about the person go."""
    with lake.database([lake.latest("quarantine")]) as db:
        likely = " OR ".join(f"contains(lower(raw), {_text(one.lower())})" for one in handles.needles)
        found = db.sql(f'SELECT source, uri, etag, "row", raw FROM quarantine WHERE {likely} ORDER BY ALL').fetchall()
    mine = [row[:4] for row in found if text_is_about(row[4], handles)]
    for some in chunks(mine, DELETED_AT_ONCE):
        lake.delete(
            "quarantine",
            " OR ".join(
                f"(source = {_text(source)} AND uri = {_text(uri)} AND etag = {_text(etag)} AND row = {row})"
                for source, uri, etag, row in some
            ),
        )
    if mine:
        vacuum(lake, "quarantine", 0)
    return "quarantine", "erased" if mine else "absent", f"{len(mine)} rows"


def _make_guest(lake: Lake, table: str, where: str, request_id: str, buckets: int) -> None:
    """Add the purchases once more without a name, before the named ones are deleted."""
    key = ", NULL AS customer_key" if "customer_key" in CONTRACTS[table].names else ""
    with lake.database([lake.latest(table)]) as db:
        rows = db.sql(
            f"SELECT * REPLACE (NULL AS customer_id{key}, {bucket_sql('order_id', buckets)} AS bucket) FROM {table} "
            f"WHERE {where} ORDER BY {BOUGHT[table]}"
        ).to_arrow_table()
    lake.append(table, rows, transaction=f"forget:{request_id}")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
