"""Products and campaigns: master data of which the newest word counts."""

from tasks.intake.incoming import Incoming
from tasks.intake.reading import quote
from tasks.lake.contracts import CONTRACTS


def land_products(incoming: Incoming) -> None:
    """Keep the newest row of each product in ``facts``; what is older than the lake or repeated is a duplicate."""
    told_at = f"coalesce(updated_at, {quote(incoming.batch.told_at.isoformat())}::TIMESTAMPTZ)"
    _land(incoming, "products", "product_id", f"* REPLACE ({told_at} AS updated_at)", newer="updated_at")


def land_campaigns(incoming: Incoming) -> None:
    """Keep each campaign as the file taken last describes it."""
    _land(incoming, "campaign_calendar", "campaign_id", f"*, {quote(incoming.source.name)} AS source", newer="row")


def _land(incoming: Incoming, table: str, key: str, columns: str, newer: str) -> None:
    db, lake = incoming.db, incoming.lake
    dated = newer in CONTRACTS[table].names
    db.execute(f"CREATE VIEW known_items AS {lake.scan(lake.latest(table))}")
    db.execute(f"CREATE TABLE items AS SELECT {columns} FROM facts WHERE reasons = ''")
    stale = f"known.{newer} > items.{newer}" if dated else "false"
    db.execute(
        f"CREATE TABLE fates AS SELECT row, CASE WHEN place = 1 AND NOT coalesce({stale}, false) THEN 'kept' "
        f"ELSE 'duplicate' END AS fate FROM (SELECT row, {key}, {newer}, row_number() OVER "
        f"(PARTITION BY {key} ORDER BY {newer} DESC, row DESC) AS place FROM items) items "
        f"LEFT JOIN known_items known USING ({key})"
    )
    names = ", ".join(CONTRACTS[table].names)
    fresh = db.sql(
        f"SELECT {names} FROM items SEMI JOIN (SELECT row FROM fates WHERE fate = 'kept') USING (row) "
        f"EXCEPT SELECT {names} FROM known_items ORDER BY {key}"
    ).to_arrow_table()
    if len(fresh):
        lake.merge(table, fresh)
