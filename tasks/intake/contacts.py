"""People in rows: e-mail addresses and telephone numbers in one spelling, and the key that names a customer."""

import re

import duckdb
import phonenumbers
import pyarrow as pa

from tasks.config import Config, Source
from tasks.intake.columns import ABOUT_PEOPLE, DATASETS, SQL_TYPES
from tasks.intake.reading import quote

_INTERNATIONAL = re.compile(r"^(?:\+|00)([1-9]\d{7,14})$")
_FILLING = re.compile(r"[\s().\-/]+")
_MAIL = r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"


def normal_phone(text: str, country: str) -> str | None:
    """A telephone number as E.164, or None where it is none; ``country`` completes numbers without a prefix."""
    bare = _FILLING.sub("", text)
    if international := _INTERNATIONAL.match(bare):
        return f"+{international[1]}"
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def normal_email_sql(text: str) -> str:
    """SQL of an address in lower case without blanks around it; null where it is none."""
    return f"CASE WHEN regexp_matches(trim({text}), '{_MAIL}') THEN lower(trim({text})) END"


def customer_key_sql(id_space: str) -> str:
    """SQL of the key of the customer in a row: the id in its id space, else the strongest contact, else null (a guest).

    Addresses and numbers are digested, so that no key spells out a person.
    """
    return (
        f"CASE WHEN customer_id IS NOT NULL THEN {quote(id_space + ':')} || customer_id "
        "WHEN loyalty_id IS NOT NULL THEN 'loyalty:' || loyalty_id "
        "WHEN email IS NOT NULL THEN 'contact:' || substr(sha256(email), 1, 16) "
        "WHEN phone IS NOT NULL THEN 'contact:' || substr(sha256(phone), 1, 16) END"
    )


def plain_id_sql(key: str) -> str:
    """SQL of the customer id that a key gets by itself: the plain id in id space main, the whole key elsewhere.

    A plain id with a colon stays whole too, or it could be taken for a key of another id space.
    """
    plain = f"substr({key}, 6)"
    return f"CASE WHEN starts_with({key}, 'main:') AND NOT contains({plain}, ':') THEN {plain} ELSE {key} END"


def name_people(db: duckdb.DuckDBPyConnection, source: Source, config: Config) -> None:
    """View ``facts`` over table ``incoming``: all columns, contacts in one spelling, ``customer_key`` of people.

    A row of a dataset about people that nothing names is refused with ``missing_customer``.
    """
    filled = {name for (name,) in db.sql("SELECT column_name FROM (DESCRIBE incoming)").fetchall()}
    columns = [
        f'"{column.name}"' if column.name in filled else f'NULL::{SQL_TYPES[column.kind]} AS "{column.name}"'
        for column in DATASETS[source.dataset]
    ]
    rows = f"SELECT row, {', '.join(columns)}, reasons, stake, raw FROM incoming"
    if any(column.name == "customer_id" for column in DATASETS[source.dataset]):
        rows = _named(db, source, config, rows)
    db.execute(f"CREATE VIEW facts AS {rows}")


def _named(db: duckdb.DuckDBPyConnection, source: Source, config: Config, rows: str) -> str:
    email = f"{normal_email_sql('email')} AS email" if "email" in source.columns else "email AS email"
    if "phone" in source.columns:
        _spell_phones(db, config.country)
        rows = f"SELECT given.* REPLACE (spelled AS phone) FROM ({rows}) given LEFT JOIN phones ON phone = written"
    nameless = "customer_key IS NULL AND reasons = ''" if source.dataset in ABOUT_PEOPLE else "false"
    return (
        f"SELECT * REPLACE (CASE WHEN {nameless} THEN 'missing_customer' ELSE reasons END AS reasons) FROM ("
        f"SELECT *, {customer_key_sql(source.id_space)} AS customer_key FROM ("
        f"SELECT * REPLACE ({email}) FROM ({rows})))"
    )


def _spell_phones(db: duckdb.DuckDBPyConnection, country: str) -> None:
    written = [text for (text,) in db.sql("SELECT DISTINCT phone FROM incoming WHERE phone IS NOT NULL").fetchall()]
    spelled = [normal_phone(text, country) for text in written]
    table = pa.table({"written": pa.array(written, pa.string()), "spelled": pa.array(spelled, pa.string())})
    db.register("spelled_phones", table)
    db.execute("CREATE TABLE phones AS SELECT * FROM spelled_phones")
    db.unregister("spelled_phones")


def replace_facts(db: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Put the result of a query over ``facts`` in its place."""
    db.execute(f"CREATE TABLE facts_to_be AS {rows}")
    kind = db.sql(
        "SELECT table_type FROM information_schema.tables WHERE table_name = 'facts' "
        "AND table_catalog = current_database()"
    ).fetchall()[0][0]
    db.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} facts")
    db.execute("ALTER TABLE facts_to_be RENAME TO facts")
