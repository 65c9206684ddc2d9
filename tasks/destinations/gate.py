"""Who may not be pushed: forgotten people, opt-outs, missing consent. Asked by the plan and at the last moment."""

import duckdb

FORGOTTEN = "forgotten"
SUPPRESSED = "suppressed"
OPTED_OUT = "opted_out"
NO_CONSENT = "no_consent"

TABLES = ("customers", "consent", "suppressions", "forgotten")


def hash_sql(column: str) -> str:
    """The same hash in DuckDB; the key is the parameter ``$person_key``."""
    return f"sha256($person_key || sha256($person_key || lower(trim({column}))))"


def create_blocked(db: duckdb.DuckDBPyConnection, *, channel: str | None, granted_only: bool, person_key: str) -> None:
    """Create table ``blocked`` (customer_id, reason): everyone who may not be pushed on the channel.

    ``channel`` None asks for forgotten people only (nothing is addressed through a file or a warehouse table);
    ``granted_only`` blocks everyone who has not said yes. Reads the tables named in ``TABLES``.
    """
    listed = db.sql("SELECT (SELECT count(*) FROM forgotten) + (SELECT count(*) FROM suppressions)").fetchall()[0][0]
    db.execute("CREATE OR REPLACE TEMP TABLE marks (customer_id VARCHAR, reason VARCHAR, rank INTEGER)")
    if listed:
        _mark_listed(db, channel, person_key)
    if channel is not None:
        _mark_consent(db, channel, granted_only=granted_only)
    db.execute(
        "CREATE OR REPLACE TEMP TABLE blocked AS "
        "SELECT customer_id, arg_min(reason, rank) AS reason FROM marks WHERE customer_id IS NOT NULL GROUP BY ALL"
    )


def _mark_listed(db: duckdb.DuckDBPyConnection, channel: str | None, person_key: str) -> None:
    handles = " UNION ALL ".join(
        f"SELECT customer_id, {hash_sql(column)} AS person_hash FROM customers WHERE {column} IS NOT NULL"
        for column in ("customer_id", "email", "phone", "loyalty_id")
    )
    db.execute(f"CREATE OR REPLACE TEMP TABLE handles AS {handles}", {"person_key": person_key})
    db.execute(
        f"INSERT INTO marks SELECT customer_id, '{FORGOTTEN}', 0 FROM handles SEMI JOIN forgotten USING (person_hash)"
    )
    if channel is not None:
        db.execute(
            f"INSERT INTO marks SELECT customer_id, '{SUPPRESSED}', 1 FROM suppressions WHERE channel = $channel "
            f"UNION ALL SELECT customer_id, '{SUPPRESSED}', 1 FROM handles WHERE person_hash IN "
            "(SELECT address_hash FROM suppressions WHERE channel = $channel)",
            {"channel": channel},
        )


def _mark_consent(db: duckdb.DuckDBPyConnection, channel: str, *, granted_only: bool) -> None:
    """The newest word counts, 'unknown' is no word, and at the same moment a no beats a yes."""
    said = (
        "SELECT customer_id, arg_max(status, (changed_at, (status = 'denied')::INTEGER)) AS status FROM consent "
        "WHERE channel = $channel AND status <> 'unknown' AND customer_id IS NOT NULL GROUP BY customer_id"
    )
    db.execute(
        f"INSERT INTO marks SELECT customer_id, '{OPTED_OUT}', 2 FROM ({said}) WHERE status = 'denied'",
        {"channel": channel},
    )
    if granted_only:
        db.execute(
            f"INSERT INTO marks SELECT customer_id, '{NO_CONSENT}', 3 FROM customers "
            f"ANTI JOIN (SELECT * FROM ({said}) WHERE status = 'granted') USING (customer_id)",
            {"channel": channel},
        )
