"""What each source knows about each customer, before records are joined into one customer."""

from tasks.intake.incoming import Incoming
from tasks.intake.reading import quote
from tasks.lake.contracts import CONTRACTS

TABLE = "customer_records"
_HINTS = ("email", "phone", "loyalty_id")


def land_profiles(incoming: Incoming) -> None:
    """Keep the newest profile of each customer in ``facts``; what is older than the lake or repeated is a duplicate."""
    db = incoming.db
    told_at = f"coalesce(updated_at, {quote(incoming.batch.told_at.isoformat())}::TIMESTAMPTZ)"
    fields = ", ".join(name for name in CONTRACTS[TABLE].names if name not in {"source", "updated_at"})
    db.execute(
        f"CREATE TABLE profiles AS SELECT row, {quote(incoming.source.name)} AS source, {fields}, "
        f"{told_at} AS updated_at FROM facts WHERE reasons = ''"
    )
    _view_known(incoming)
    db.execute(
        "CREATE TABLE fates AS SELECT row, CASE WHEN place = 1 AND (known.updated_at IS NULL "
        "OR profiles.updated_at >= known.updated_at) THEN 'kept' ELSE 'duplicate' END AS fate "
        "FROM (SELECT row, customer_key, updated_at, "
        "row_number() OVER (PARTITION BY customer_key ORDER BY updated_at DESC, row DESC) AS place "
        "FROM profiles) profiles "
        "LEFT JOIN known_records known USING (customer_key)"
    )
    _write(
        incoming,
        "SELECT * EXCLUDE (row) FROM profiles SEMI JOIN (SELECT row FROM fates WHERE fate = 'kept') USING (row)",
    )


def record_sightings(incoming: Incoming, at: str) -> None:
    """Remember who was seen in the good rows of ``facts``, with the contacts they carry; ``at`` is their time."""
    db = incoming.db
    _view_known(incoming)
    hints = ", ".join(f"arg_max({name}, ({at}, {name})) FILTER ({name} IS NOT NULL) AS {name}" for name in _HINTS)
    newest = ", ".join(
        f"CASE WHEN seen.updated_at >= known.updated_at THEN coalesce(seen.{name}, known.{name}) "
        f"ELSE coalesce(known.{name}, seen.{name}) END AS {name}"
        for name in _HINTS
    )
    db.execute(
        f"CREATE TABLE sightings AS SELECT {quote(incoming.source.name)} AS source, customer_key, {newest}, "
        "least(seen.created_at, known.created_at) AS created_at, "
        "greatest(seen.updated_at, known.updated_at) AS updated_at "
        f"FROM (SELECT customer_key, {hints}, min({at}) AS created_at, max({at}) AS updated_at FROM facts "
        "WHERE reasons = '' AND customer_key IS NOT NULL GROUP BY customer_key) seen "
        "LEFT JOIN known_records known USING (customer_key)"
    )
    _write(incoming, "SELECT * FROM sightings")


def _view_known(incoming: Incoming) -> None:
    records = incoming.lake.scan(incoming.lake.latest(TABLE))
    incoming.db.execute(
        f"CREATE VIEW known_records AS SELECT * FROM ({records}) WHERE source = {quote(incoming.source.name)}"
    )


def _write(incoming: Incoming, records: str) -> None:
    """Merge the records that differ from the known ones."""
    names = ", ".join(CONTRACTS[TABLE].names)
    fresh = incoming.db.sql(
        f"SELECT {names} FROM (SELECT * FROM known_records WHERE false UNION ALL BY NAME {records}) "
        f"EXCEPT SELECT {names} FROM known_records ORDER BY source, customer_key"
    ).to_arrow_table()
    if len(fresh):
        incoming.lake.merge(TABLE, fresh)
