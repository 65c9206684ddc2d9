"""The treated customers of a day with everything their message shows: address, language and products in stock."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import get_args

import duckdb
import pyarrow as pa

from tasks.campaigns.clean_text import product_name
from tasks.campaigns.personal import Person, Product
from tasks.campaigns.playbook import Kind, Play, Playbook

TABLES = ("customers", "customer_recommendations", "products")
_FAVOURITES = 8
_REMEMBERED = 65_536  # products come back with many customers
_WITHOUT_PLAY = 3  # products for staff where no play fits
_PRODUCT = "product_id, name, kind, because, price, stock, url, image_url"


@dataclass(frozen=True, slots=True)
class Group:
    """Recipients who get the same message: one campaign, one language, as many products."""

    campaign_id: str
    play: str
    language: str
    shown: int
    recipients: int


def create_recipients(db: duckdb.DuckDBPyConnection, playbook: Playbook, as_of: date, *, language: str) -> None:
    """Create table ``recipients``: customer_id, email, first_name, campaign_id, play, language, shown, products.

    Needs ``members``, ``pairs`` and ``contactable``; leaves ``acting`` and ``shown_products`` for the offers. Products
    come from the customer's own recommendations, in the play's order of kinds; gaps are filled with what is
    recommended most in the segment. Sold out and nameless ones are left away.
    """
    _create_acting(db)
    _create_showable(db, as_of)
    _create_plays(db, playbook, language)
    _create_shown_products(db, as_of)
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE recipients AS
        SELECT m.customer_id, k.email, c.first_name, m.campaign_id, m.play,
            coalesce(l.language, p.fallback) AS language, coalesce(len(s.products), 0) AS shown,
            coalesce(s.products, []) AS products
        FROM members m JOIN contactable k USING (customer_id) JOIN customers c USING (customer_id)
        JOIN play_facts p ON p.play = m.play
        LEFT JOIN play_languages l ON l.play = m.play AND l.language = lower(c.language)
        LEFT JOIN shown_products s ON s.customer_id = m.customer_id
        WHERE m.arm = 'treated' AND m.channel = 'email'
        ORDER BY m.customer_id
        """
    )


def groups(db: duckdb.DuckDBPyConnection) -> tuple[Group, ...]:
    """The groups of ``recipients``, in a fixed order."""
    rows = db.sql(
        "SELECT campaign_id, play, language, shown, count(*) FROM recipients GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return tuple(Group(*row) for row in rows)


def people(db: duckdb.DuckDBPyConnection, group: Group, limit: int | None = None) -> Iterator[Person]:
    """Recipients of a group in the order of their ids."""
    reader = db.execute(
        "SELECT customer_id, email, first_name, products FROM recipients WHERE campaign_id = ? AND language = ? "
        f"AND shown = ? ORDER BY customer_id {'' if limit is None else f'LIMIT {limit:d}'}",
        [group.campaign_id, group.language, group.shown],
    ).to_arrow_reader(10_000)
    same = lru_cache(_REMEMBERED)(Product)
    for batch in reader:
        each = batch.column("products").flatten()  # as many for each person: that is what makes the group
        parts = zip(*(each.field(name).to_pylist() for name in _PRODUCT.split(", ")), strict=True)
        products = [same(*part) for part in parts]
        persons = zip(*(batch.column(name).to_pylist() for name in ("customer_id", "email", "first_name")), strict=True)
        for place, (customer_id, email, first_name) in enumerate(persons):
            shown = products[place * group.shown : (place + 1) * group.shown]
            yield Person(customer_id, email, first_name, tuple(shown))


def _create_acting(db: duckdb.DuckDBPyConnection) -> None:
    """Create ``acting`` (customer_id, segment, play): the play that staff and message follow; '' where there is none.

    Who is held out of the best play, or never gets campaigns, is not on it: nothing may hint at what is measured.
    Who could not be written to still has the play, as staff can act on it.
    """
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE acting AS
        WITH top AS (
            SELECT customer_id, play, draw < share AS held FROM pairs
            QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY priority, play) = 1
        )
        SELECT m.customer_id, m.segment, m.arm = 'treated' AS treated,
            CASE WHEN m.arm = 'treated' THEN m.play ELSE coalesce(t.play, '') END AS play
        FROM members m LEFT JOIN top t USING (customer_id)
        WHERE m.arm = 'treated' OR (m.arm = 'left_out' AND NOT coalesce(t.held, false))
        """
    )


def _create_showable(db: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Recommended products in stock whose name can be shown."""
    found = db.execute(
        """
        SELECT DISTINCT p.product_id, p.name FROM products p JOIN customer_recommendations r USING (product_id)
        WHERE r.as_of = $as_of AND (p.stock_on_hand IS NULL OR p.stock_on_hand > 0) ORDER BY p.product_id
        """,
        {"as_of": as_of},
    ).fetchall()
    usable = [product_id for product_id, name in found if product_name(name)]
    db.register("arriving", pa.table({"product_id": pa.array(usable, pa.string())}))
    db.execute(
        "CREATE OR REPLACE TEMP TABLE showable AS SELECT p.product_id, p.name, p.price, p.stock_on_hand AS stock, "
        "p.url, p.image_url FROM arriving JOIN products p USING (product_id)"
    )
    db.unregister("arriving")


def _create_plays(db: duckdb.DuckDBPyConnection, playbook: Playbook, language: str) -> None:
    emails = [play for play in playbook.plays if play.channel == "email"]
    for table, columns, rows in (
        ("play_kinds", "play VARCHAR, kind VARCHAR, place INTEGER",
         [(play.id, kind, place) for play in playbook.plays for place, kind in enumerate(play.products)]
         + [("", kind, 0) for kind in get_args(Kind)]),
        ("play_languages", "play VARCHAR, language VARCHAR",
         [(play.id, spoken) for play in emails for spoken in sorted(play.texts)]),
        ("play_facts", "play VARCHAR, most INTEGER, fallback VARCHAR",
         [(play.id, play.products_shown, _fallback(play, language, playbook.language)) for play in playbook.plays]
         + [("", _WITHOUT_PLAY, "")]),
    ):  # fmt: skip
        db.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({columns})")
        if rows:
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _fallback(play: Play, *languages: str) -> str:
    return next((language for language in languages if language in play.texts), languages[-1])


def _create_shown_products(db: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Create ``shown_products`` (customer_id, products) for everybody in ``acting``, whatever the channel."""
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE shown_products AS
        WITH wanted AS (
            SELECT a.customer_id, a.segment, a.play, p.most FROM acting a JOIN play_facts p ON p.play = a.play
            WHERE p.most > 0
        ), own AS (
            SELECT t.customer_id, r.product_id, r.kind, r.because, k.place, r.rank
            FROM wanted t JOIN customer_recommendations r ON r.customer_id = t.customer_id AND r.as_of = $as_of
            JOIN showable s ON s.product_id = r.product_id
            JOIN play_kinds k ON k.play = t.play AND k.kind = r.kind
        ), favourites AS (
            SELECT m.segment, r.product_id, count(*) AS times
            FROM members m JOIN customer_recommendations r ON r.customer_id = m.customer_id AND r.as_of = $as_of
            SEMI JOIN showable s ON s.product_id = r.product_id
            GROUP BY m.segment, r.product_id
            QUALIFY row_number() OVER (PARTITION BY m.segment ORDER BY count(*) DESC, r.product_id) <= {_FAVOURITES}
        ), short AS (
            SELECT t.customer_id, t.segment FROM wanted t
            LEFT JOIN (SELECT customer_id, count(DISTINCT product_id) AS has FROM own GROUP BY customer_id) o
                USING (customer_id)
            WHERE coalesce(o.has, 0) < t.most
        ), filled AS (
            SELECT * FROM own
            UNION ALL
            SELECT s.customer_id, f.product_id, 'popular', '', 99, row_number() OVER (
                PARTITION BY s.customer_id ORDER BY f.times DESC, f.product_id)
            FROM short s JOIN favourites f USING (segment)
        ), single AS (
            SELECT * FROM filled
            QUALIFY row_number() OVER (PARTITION BY customer_id, product_id ORDER BY place, rank) = 1
        ), placed AS (
            SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY place, rank, product_id) AS position
            FROM single
        )
        SELECT t.customer_id, list(struct_pack({", ".join(f"{c} := {c}" for c in _PRODUCT.split(", "))})
            ORDER BY position) AS products
        FROM placed JOIN wanted t USING (customer_id) JOIN showable USING (product_id)
        WHERE position <= t.most GROUP BY t.customer_id
        """,
        {"as_of": as_of},
    )
