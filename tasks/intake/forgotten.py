"""People who asked to be erased are never taken in again."""

import duckdb

from tasks.config import Source
from tasks.errors import ConfigurationError
from tasks.intake.columns import ABOUT_PEOPLE, DATASETS
from tasks.intake.contacts import plain_id_sql, replace_facts


def person_hash_sql(handle: str) -> str:
    """SQL of the keyed hash under which table ``forgotten`` lists an id, address or number; key: ``$person_key``."""
    return f"sha256($person_key || sha256($person_key || lower(trim({handle}))))"


def leave_out_forgotten(db: duckdb.DuckDBPyConnection, source: Source, person_key: str) -> None:
    """Make the rows of forgotten people in ``facts`` anonymous, or refuse them where a row is about the person.

    What they bought still counts in revenue, as a guest's; profiles and consent are refused with nothing kept of them.
    Raises ``ConfigurationError`` when people are listed and the key of their hashes is not known.
    """
    listed = db.sql("SELECT count(*) FROM forgotten").fetchall()[0][0]
    if not listed or all(column.name != "customer_id" for column in DATASETS[source.dataset]):
        return
    if not person_key:
        raise ConfigurationError(
            "Table forgotten lists people, but the key of their hashes is not given: set SEGMENTATION_PERSON_KEY."
        )
    handles = " UNION ALL ".join(
        f"SELECT row, {person_hash_sql(handle)} AS person_hash FROM facts WHERE {handle} IS NOT NULL"
        for handle in ("customer_key", plain_id_sql("customer_key"), "email", "phone", "loyalty_id")
    )
    db.execute(
        f"CREATE TABLE forgotten_rows AS SELECT DISTINCT row FROM ({handles}) SEMI JOIN forgotten USING (person_hash)",
        {"person_key": person_key},
    )
    hidden = "row IN (SELECT row FROM forgotten_rows)"
    blanks = ", ".join(
        f"CASE WHEN {hidden} THEN NULL ELSE {name} END AS {name}"
        for name in ("customer_id", "loyalty_id", "email", "phone", "customer_key")
    )
    refused = f"{hidden}" if source.dataset in ABOUT_PEOPLE else "false"
    replace_facts(
        db,
        f"SELECT * REPLACE ({blanks}, CASE WHEN {refused} THEN 'forgotten' ELSE reasons END AS reasons, "
        f"CASE WHEN {hidden} THEN '{{}}' ELSE raw END AS raw) FROM facts",
    )
