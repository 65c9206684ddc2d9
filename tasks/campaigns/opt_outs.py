"""Opt-outs, bounces and complaints of the sending account, kept in the lake before anybody is chosen."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import pyarrow as pa

from tasks.lake import Lake, Snapshot
from tasks.lake.contracts import CONTRACTS
from tasks.lake.person_hash import hash_person

DESTINATION = "sendgrid-campaigns"


def store(lake: Lake, found: Mapping[str, str], as_of: date, person_key: str) -> Snapshot:
    """Make the rows of table suppressions under DESTINATION equal to ``found`` (address → kind).

    Addresses are kept as keyed hashes, beside the customer where the lake knows the address. A row keeps its first
    day; an address that is no longer suppressed at the platform is taken out. Nothing is written when nothing changed.
    """
    with lake.database([lake.latest("suppressions"), lake.latest("customers")]) as db:
        known = db.execute(
            'SELECT address_hash, customer_id, kind, "at" FROM suppressions WHERE destination = ?', [DESTINATION]
        ).fetchall()
        customers = dict(
            db.sql("SELECT lower(trim(email)), min(customer_id) FROM customers WHERE email <> '' GROUP BY 1").fetchall()
        )
    before = {row[0]: (row[1], row[2]) for row in known}
    since = {row[0]: row[3] for row in known}
    at = datetime.combine(as_of, time(), UTC)
    wanted = {hash_person(email, person_key): (customers.get(email), kind) for email, kind in sorted(found.items())}
    if gone := sorted(set(before) - set(wanted)):
        listed = ", ".join(f"'{digest}'" for digest in gone)  # hexadecimal digests, nothing to escape
        lake.delete("suppressions", f"destination = '{DESTINATION}' AND address_hash IN ({listed})")
    rows = [
        {
            "destination": DESTINATION,
            "address_hash": digest,
            "customer_id": customer_id,
            "channel": "email",
            "kind": kind,
            "at": since.get(digest, at),
        }
        for digest, (customer_id, kind) in wanted.items()
        if before.get(digest) != (customer_id, kind)
    ]
    if rows:
        return lake.merge("suppressions", pa.Table.from_pylist(rows, schema=CONTRACTS["suppressions"].schema))
    return lake.latest("suppressions")
