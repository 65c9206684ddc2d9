"""What staff and till should know: one recommended action per customer, and a file of offers by loyalty card."""

import hashlib
import io
import json
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.campaigns.content import offer_words
from tasks.campaigns.drafts import Studio
from tasks.campaigns.personal import personal_code

TABLES = ("offers", "customers")
FORMAT = "offers/1"  # readers at the till look at this; a column added at the end does not change it
_FILE_COLUMNS = "loyalty_id, play, action, why, offer, code, valid_until, products"


def create_offers(db: duckdb.DuckDBPyConnection, studio: Studio, as_of: date) -> None:
    """Create table ``offer_rows`` (columns of offers), one row for each customer of the day's segments.

    Needs ``members``, ``pairs``, ``acting`` and ``shown_products``. An offer made on an earlier day keeps its last day
    while it runs; a message of today starts it anew, so that message and till say the same.
    """
    _create_play_offers(db, studio, as_of)
    _create_codes(db, studio, as_of)
    playbook = studio.playbook
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE offer_rows AS
        WITH before AS (
            SELECT customer_id, play, valid_until FROM offers
            WHERE as_of = $before AND valid_until >= $as_of
        )
        SELECT $as_of::DATE AS as_of, m.customer_id, nullif(trim(c.loyalty_id), '') AS loyalty_id,
            nullif(a.play, '') AS play, coalesce(p.action, $action) AS action,
            coalesce(rtrim(p.why, '.') || ' (' || f.why || ').', p.why, $why) AS why,
            p.offer, coalesce(k.code, p.code) AS code,
            CASE WHEN p.offer IS NULL THEN NULL WHEN a.treated THEN p.valid_until
                ELSE coalesce(b.valid_until, p.valid_until) END AS valid_until,
            coalesce(list_transform(s.products, lambda x: x.product_id), []) AS products
        FROM members m
        LEFT JOIN acting a USING (customer_id)
        LEFT JOIN customers c USING (customer_id)
        LEFT JOIN play_offers p ON p.play = a.play
        LEFT JOIN pairs f ON f.customer_id = m.customer_id AND f.play = a.play
        LEFT JOIN codes k ON k.customer_id = m.customer_id
        LEFT JOIN before b ON b.customer_id = m.customer_id AND b.play = a.play
        LEFT JOIN shown_products s ON s.customer_id = m.customer_id
        ORDER BY m.customer_id
        """,
        {
            "as_of": as_of,
            "before": _day_before(db, as_of),
            "action": playbook.default_action.what,
            "why": playbook.default_action.why,
        },
    )


def _day_before(db: duckdb.DuckDBPyConnection, as_of: date) -> date | None:
    """The last earlier day with offers; None on the first."""
    # max() of a partition column is answered from file statistics, which ends in an internal error (duckdb 1.5.5).
    days = db.execute("SELECT DISTINCT as_of FROM offers WHERE as_of < ?", [as_of]).fetchall()
    return max((day for (day,) in days), default=None)


def _create_play_offers(db: duckdb.DuckDBPyConnection, studio: Studio, as_of: date) -> None:
    words = studio.words[studio.playbook.language]
    db.execute(
        "CREATE OR REPLACE TEMP TABLE play_offers "
        "(play VARCHAR, action VARCHAR, why VARCHAR, offer VARCHAR, code VARCHAR, valid_until DATE)"
    )
    for play in studio.playbook.plays:
        said = offer_words(play.offer, words, studio.currency) if play.offer else None
        code = play.offer.code if play.offer else None
        row = (play.id, play.action.what, play.action.why, said, code, play.offer_until(as_of))
        db.execute("INSERT INTO play_offers VALUES (?, ?, ?, ?, ?, ?)", row)


def _create_codes(db: duckdb.DuckDBPyConnection, studio: Studio, as_of: date) -> None:
    """The same personal codes as in the messages."""
    rows: dict[str, str] = {}
    for play in studio.playbook.plays:
        prefix = play.offer.personal_code_prefix if play.offer else None
        if prefix:
            campaign_id = play.campaign_id(as_of)
            found = db.execute("SELECT customer_id FROM acting WHERE play = ?", [play.id]).fetchall()
            rows |= {one: personal_code(studio.key, prefix, campaign_id, one) for (one,) in found}
    table = pa.table({"customer_id": pa.array(rows, pa.string()), "code": pa.array(rows.values(), pa.string())})
    db.register("arriving", table)
    db.execute("CREATE OR REPLACE TEMP TABLE codes AS SELECT * FROM arriving")
    db.unregister("arriving")


@dataclass(frozen=True, slots=True)
class OfferFiles:
    """Name → content of the files for the till, with the number of offers and of changes."""

    files: dict[str, bytes]
    rows: int
    changes: int


def offer_files(db: duckdb.DuckDBPyConnection, as_of: date) -> OfferFiles:
    """Files for the till: all offers, what changed since the last day, and a manifest; as Parquet and as JSON.

    Rows are keyed and ordered by loyalty_id; only cards with a play are on it. ``changes`` adds ``change``: set or
    removed. A card on two customers takes the first customer's row.
    """
    full = _rows(db, "SELECT * FROM offer_rows")
    before = _day_before(db, as_of)
    earlier = _rows(db, "SELECT * FROM offers WHERE as_of = $as_of", before) if before else full.slice(0, 0)
    db.register("full_rows", full)
    db.register("earlier_rows", earlier)
    changes = db.sql(
        f"""
        SELECT 'set' AS change, {_FILE_COLUMNS} FROM (SELECT * FROM full_rows EXCEPT SELECT * FROM earlier_rows)
        UNION ALL
        SELECT 'removed', {_FILE_COLUMNS} FROM earlier_rows
        WHERE loyalty_id NOT IN (SELECT loyalty_id FROM full_rows)
        ORDER BY loyalty_id, change
        """
    ).to_arrow_table()
    db.unregister("full_rows")
    db.unregister("earlier_rows")
    files = {
        "offers.parquet": _parquet(full, as_of),
        "offers.json": _json(db, full),
        "changes.parquet": _parquet(changes, as_of),
        "changes.json": _json(db, changes),
    }
    manifest = {
        "format": FORMAT, "as_of": str(as_of), "compared_with": str(before) if before else None,
        "offers": len(full), "changes": len(changes),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }  # fmt: skip
    files["manifest.json"] = (json.dumps(manifest, indent=2) + "\n").encode()
    return OfferFiles(files, len(full), len(changes))


def _rows(db: duckdb.DuckDBPyConnection, source: str, as_of: date | None = None) -> pa.Table:
    return db.sql(
        f"""
        SELECT {_FILE_COLUMNS} FROM ({source}) WHERE loyalty_id IS NOT NULL AND play IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY loyalty_id ORDER BY customer_id) = 1 ORDER BY loyalty_id
        """,
        params={"as_of": as_of} if as_of else None,
    ).to_arrow_table()


def _parquet(table: pa.Table, as_of: date) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"format": FORMAT, "as_of": str(as_of)}), sink)
    return sink.getvalue()


def _json(db: duckdb.DuckDBPyConnection, table: pa.Table) -> bytes:
    """One JSON array, one line for each card, so that two days can be compared by eye."""
    db.register("cards", table)
    lines = db.sql("SELECT to_json(cards)::VARCHAR AS line FROM cards").to_arrow_table()["line"].to_pylist()
    db.unregister("cards")
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()
