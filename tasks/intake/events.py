"""Visits and answers to messages: things that happened once and never change."""

from tasks.intake.contacts import plain_id_sql
from tasks.intake.incoming import Incoming
from tasks.intake.reading import quote
from tasks.lake.contracts import CONTRACTS


def land_sessions(incoming: Incoming) -> None:
    """Append new visits of ``facts``; known ones are duplicates."""
    _land(
        incoming,
        "sessions",
        "session_id",
        f"* EXCLUDE (products_viewed), coalesce(products_viewed, []) AS products_viewed, "
        f"{_day(incoming, 'started_at')} AS session_date",
    )


def land_engagement(incoming: Incoming) -> None:
    """Append new events of ``facts``; an event without a number is known by what it says, as often as it occurs."""
    said = "concat_ws('|', customer_key, campaign_id, lower(kind), epoch_us(\"at\"))"
    made = (
        f"substr(sha256({quote(incoming.source.name + '|')} || {said} || '|' || "
        f"row_number() OVER (PARTITION BY {said} ORDER BY row)), 1, 24)"
    )
    _land(
        incoming,
        "engagement",
        "event_id",
        f"* REPLACE (coalesce(event_id, {made}) AS event_id, lower(kind) AS kind, "
        f"coalesce(machine_open, false) AS machine_open), {_day(incoming, 'at')} AS event_date",
    )


def _day(incoming: Incoming, at: str) -> str:
    return f'("{at}" AT TIME ZONE {quote(incoming.config.timezone)})::DATE'


def _land(incoming: Incoming, table: str, key: str, columns: str) -> None:
    db, lake, batch = incoming.db, incoming.lake, incoming.batch.name
    contract = CONTRACTS[table]
    db.execute(f"CREATE VIEW known_events AS {lake.scan(lake.latest(table))}")
    db.execute(
        f"CREATE TABLE events AS SELECT *, {quote(incoming.source.name)} AS source, {quote(batch)} AS batch FROM ("
        f"SELECT {columns}, coalesce(identity.customer_id, {plain_id_sql('customer_key')}) AS canonical_id "
        "FROM facts LEFT JOIN (SELECT customer_key, customer_id FROM identity) identity USING (customer_key) "
        "WHERE reasons = '')"
    )
    db.execute(
        "CREATE TABLE fates AS "
        "SELECT row, CASE WHEN place = 1 AND known_key IS NULL THEN 'kept' ELSE 'duplicate' END AS fate "
        f"FROM (SELECT row, {key}, row_number() OVER (PARTITION BY {key} ORDER BY row) AS place FROM events) "
        f"LEFT JOIN (SELECT DISTINCT {key}, {key} AS known_key FROM known_events "
        f"WHERE batch <> {quote(batch)}) USING ({key})"
    )
    names = ", ".join("canonical_id AS customer_id" if n == "customer_id" else f'"{n}"' for n in contract.names)
    kept = db.sql(
        f"SELECT {names} FROM events SEMI JOIN (SELECT row FROM fates WHERE fate = 'kept') USING (row) ORDER BY {key}"
    )
    lake.append(table, kept, transaction=f"intake:{batch}")
