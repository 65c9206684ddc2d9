"""What each source last said about writing to a customer, channel by channel."""

from tasks.intake.columns import CONSENT_CHANNELS
from tasks.intake.contacts import plain_id_sql
from tasks.intake.incoming import Incoming
from tasks.intake.other_rows import status_sql
from tasks.intake.reading import quote
from tasks.lake.contracts import CONTRACTS

TABLE = "consent"


def land_consent(incoming: Incoming) -> None:
    """Take every statement of ``facts``; one that is older than the same source's last word is a duplicate."""
    told_at = quote(incoming.batch.told_at.isoformat()) + "::TIMESTAMPTZ"
    incoming.db.execute(
        f"CREATE TABLE words AS SELECT row, customer_key, coalesce(lower(channel), {quote(incoming.source.channel)}) "
        f"AS channel, {status_sql('status')} AS status, coalesce(changed_at, {told_at}) AS changed_at, "
        "changed_at IS NOT NULL AS dated FROM facts WHERE reasons = ''"
    )
    _merge_words(incoming)
    incoming.db.execute(
        "CREATE TABLE fates AS SELECT row, CASE WHEN place = 1 AND NOT stale THEN 'kept' ELSE 'duplicate' END AS fate "
        "FROM ranked"
    )


def take_consent_of_profiles(incoming: Incoming) -> None:
    """Take the ``consent_…`` columns of profiles; an empty one says nothing."""
    mapped = [channel for channel in CONSENT_CHANNELS if f"consent_{channel}" in incoming.source.columns]
    if not mapped:
        return
    told_at = quote(incoming.batch.told_at.isoformat()) + "::TIMESTAMPTZ"
    parts = [
        f"SELECT row, customer_key, '{channel}' AS channel, {status_sql(f'consent_{channel}')} AS status, "
        f"coalesce(updated_at, {told_at}) AS changed_at, false AS dated FROM facts "
        f"WHERE reasons = '' AND consent_{channel} IS NOT NULL"
        for channel in mapped
    ]
    incoming.db.execute(f"CREATE TABLE words AS {' UNION ALL '.join(parts)}")
    _merge_words(incoming)


def take_consent_of_events(incoming: Incoming) -> None:
    """Who unsubscribed or complained has said no on the channel of the message."""
    channel = incoming.source.channel if incoming.source.channel in CONSENT_CHANNELS else "email"
    incoming.db.execute(
        f"CREATE TABLE words AS SELECT row, customer_key, '{channel}' AS channel, 'denied' AS status, "
        '"at" AS changed_at, true AS dated FROM facts '
        "WHERE reasons = '' AND customer_key IS NOT NULL AND lower(kind) IN ('unsubscribe', 'spam')"
    )
    _merge_words(incoming)


def _merge_words(incoming: Incoming) -> None:
    """Write the newest word per customer and channel of this source.

    A profile repeats its consent in every export: while it says the same, the time it first said so stands, or a yes of
    last year would outlive the no of yesterday.
    """
    db, lake = incoming.db, incoming.lake
    source = quote(incoming.source.name)
    db.execute(f"CREATE VIEW known_words AS SELECT * FROM ({lake.scan(lake.latest(TABLE))}) WHERE source = {source}")
    db.execute(
        "CREATE TABLE ranked AS SELECT words.*, known.status AS known_status, known.changed_at AS known_at, "
        "coalesce(words.changed_at < known.changed_at, false) AS stale, "
        "row_number() OVER (PARTITION BY customer_key, channel "
        "ORDER BY words.changed_at DESC, words.status = 'denied' DESC, words.status = 'granted' DESC, row DESC) "
        "AS place "
        "FROM words LEFT JOIN known_words known USING (customer_key, channel)"
    )
    names = ", ".join(CONTRACTS[TABLE].names)
    changed_at = "CASE WHEN NOT dated AND status = known_status THEN known_at ELSE changed_at END"
    fresh = db.sql(
        f"SELECT {names} FROM (SELECT customer_key, coalesce(identity.customer_id, {plain_id_sql('customer_key')}) "
        f"AS customer_id, channel, status, {source} AS source, {changed_at} AS changed_at "
        "FROM ranked LEFT JOIN identity USING (customer_key) WHERE place = 1 AND NOT stale) "
        f"EXCEPT SELECT {names} FROM known_words ORDER BY customer_key, channel"
    ).to_arrow_table()
    if len(fresh):
        lake.merge(TABLE, fresh)
