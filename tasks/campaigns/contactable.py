"""Who may be written to: a usable address, consent, and nobody who was forgotten, opted out, bounced or complained."""

from datetime import date
from typing import Literal

import duckdb
import pyarrow as pa
from pydantic import SecretStr

from tasks.lake.person_hash import hash_person

TABLES = ("customers", "consent", "engagement", "suppressions", "forgotten")

WORDS = {
    "forgotten": "asked to be erased",
    "suppressed": "opted out, bounced or complained on a sending platform",
    "opted_out": "said no to e-mail",
    "no_consent": "never said yes to e-mail",
    "no_address": "no usable e-mail address",
}
_ADDRESS = r"""[^\s@<>,;:\\"()\[\]]{1,64}@[^\s@<>,;:\\"()\[\]]+\.[^\s@.<>]{2,}"""
_HANDLES = ("customer_id", "email", "phone", "loyalty_id")


def create_contactable(
    db: duckdb.DuckDBPyConnection, as_of: date, *, consent: Literal["granted", "not_denied"], person_key: SecretStr
) -> None:
    """Create table ``contactable`` (customer_id, email, blocked): ``blocked`` is a key of WORDS, null where allowed.

    An address is blocked for everybody who shares it as soon as one of them opted out, complained or bounced.
    Reads the views named in TABLES; consent is read as it stands, engagement up to the day before ``as_of``.
    """
    _create_said(db)
    _create_stopped(db, as_of, person_key)
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE contactable AS
        WITH person AS (SELECT customer_id, nullif(lower(trim(email)), '') AS email FROM customers),
        own AS (
            SELECT person.customer_id, person.email, stopped.reason AS stop, said.status
            FROM person LEFT JOIN stopped USING (customer_id) LEFT JOIN said USING (customer_id)
        ),
        address AS (
            SELECT email, min(stop) AS stop, bool_or(status = 'denied') AS denied
            FROM own WHERE email IS NOT NULL GROUP BY email
        )
        SELECT own.customer_id, own.email, CASE
            WHEN own.stop = 'forgotten' THEN 'forgotten'
            WHEN own.email IS NULL OR NOT regexp_full_match(own.email, $address) THEN 'no_address'
            WHEN address.stop IS NOT NULL THEN address.stop
            WHEN own.status = 'denied' OR address.denied THEN 'opted_out'
            WHEN $granted_only AND own.status IS DISTINCT FROM 'granted' THEN 'no_consent'
            END AS blocked
        FROM own LEFT JOIN address USING (email)
        """,
        {"granted_only": consent == "granted", "address": _ADDRESS},
    )


def _create_said(db: duckdb.DuckDBPyConnection) -> None:
    """The newest word on e-mail; 'unknown' is no word, and at the same moment a no beats a yes."""
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE said AS
        SELECT customer_id, arg_max(status, (changed_at, (status = 'denied')::INTEGER)) AS status FROM consent
        WHERE channel = 'email' AND status <> 'unknown' AND customer_id IS NOT NULL GROUP BY customer_id
        """
    )


def _create_stopped(db: duckdb.DuckDBPyConnection, as_of: date, person_key: SecretStr) -> None:
    db.register("listed", _listed(db, person_key))
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE stopped AS
        SELECT customer_id, min(reason) AS reason FROM (
            SELECT customer_id, reason FROM listed
            UNION ALL SELECT customer_id, 'suppressed' FROM suppressions WHERE channel = 'email'
            UNION ALL SELECT customer_id, 'suppressed' FROM engagement
                WHERE kind IN ('unsubscribe', 'bounce', 'spam') AND event_date < $as_of
        ) WHERE customer_id IS NOT NULL GROUP BY customer_id
        """,
        {"as_of": as_of},
    )
    db.unregister("listed")


def _listed(db: duckdb.DuckDBPyConnection, person_key: SecretStr) -> pa.Table:
    """Customers found on the lists of hashes; hashed here because DuckDB's sha256 takes ten times as long."""
    key = person_key.get_secret_value()
    forgotten = {row[0] for row in db.sql("SELECT person_hash FROM forgotten").fetchall()}
    suppressed = {row[0] for row in db.sql("SELECT address_hash FROM suppressions WHERE channel = 'email'").fetchall()}
    found: dict[str, str] = {}
    if forgotten or suppressed:
        for row in db.sql(f"SELECT {', '.join(_HANDLES)} FROM customers").fetchall():
            hashes = {hash_person(handle, key) for handle in row if handle}
            if hashes & forgotten:
                found[row[0]] = "forgotten"
            elif row[1] and hash_person(row[1], key) in suppressed:
                found[row[0]] = "suppressed"
    return pa.table({"customer_id": pa.array(found, pa.string()), "reason": pa.array(found.values(), pa.string())})
