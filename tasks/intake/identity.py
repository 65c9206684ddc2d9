"""One customer out of many records: records that share a loyalty card, an address or a number are one person.

Deterministic keys and connected components; a key shared by too many records (a shop's own number) joins nobody. An id
once given stays: of the ids of a component the one known longest names it, and nothing in the data can change that
order later.
"""

from datetime import date

import duckdb
import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.config import Config, IdentitySettings
from tasks.intake.contacts import plain_id_sql
from tasks.intake.customers import join_customers
from tasks.intake.reading import quote
from tasks.lake import Lake, Snapshot
from tasks.lake.buckets import bucket_of, bucket_sql
from tasks.lake.contracts import CONTRACTS

_BY_KEY = ("sessions", "engagement", "consent")


def resolve_identity(lake: Lake, config: Config, as_of: date) -> dict[str, Snapshot]:
    """Bring identity, customers and the customer ids of all facts up to date; the snapshots of the tables concerned.

    Facts are relabelled before table identity is written: a run that ends in between finds the same work again.
    """
    with lake.database([lake.latest("customer_records"), lake.latest("identity")]) as db:
        resolve(db, config.identity, as_of)
        _relabel_lines(lake, config, db)
        for table in _BY_KEY:
            _relabel(lake, db, table)
        _write_if_changed(lake, db, "identity", "resolved")
        join_customers(db)
        _write_if_changed(lake, db, "customers", "joined")
    return {table: lake.latest(table) for table in ("identity", "customers", "order_lines", *_BY_KEY)}


def resolve(db: duckdb.DuckDBPyConnection, settings: IdentitySettings, as_of: date) -> None:
    """From ``customer_records`` and ``identity``: table ``resolved``, identity as it should be, and ``moved`` keys."""
    _number_records(db, as_of)
    _find_components(db, settings)
    _name_components(db, settings)


def _number_records(db: duckdb.DuckDBPyConnection, as_of: date) -> None:
    db.execute(
        "CREATE TABLE records AS SELECT row_number() OVER (ORDER BY customer_key) - 1 AS node, customer_key, "
        "coalesce(identity.source, seen.source) AS source, "
        f"coalesce(known_since, DATE {quote(as_of.isoformat())}) AS known_since, "
        f"coalesce(identity.customer_id, plain_id) AS old_id, plain_id "
        "FROM (SELECT customer_key, arg_min(source, (coalesce(created_at, updated_at), source)) AS source, "
        f"{plain_id_sql('customer_key')} AS plain_id FROM customer_records GROUP BY customer_key) seen "
        "LEFT JOIN identity USING (customer_key)"
    )


def _find_components(db: duckdb.DuckDBPyConnection, settings: IdentitySettings) -> None:
    """Table ``components`` (node, component) and ``links`` (node, shared key, its rank)."""
    parts = " UNION ALL ".join(
        f"SELECT customer_key, {rank} AS rank, {quote(name + ':')} || {name} AS shared "
        f"FROM customer_records WHERE {name} IS NOT NULL"
        for rank, name in enumerate(settings.match_on)
    )
    db.execute(
        "CREATE TABLE links AS SELECT node, rank, dense_rank() OVER (ORDER BY shared) - 1 AS hub FROM ("
        "SELECT DISTINCT node, rank, shared, count(*) OVER (PARTITION BY shared) AS sharers "
        f"FROM (SELECT DISTINCT customer_key, rank, shared FROM ({parts or _NO_LINKS})) "
        "JOIN records USING (customer_key)) "
        f"WHERE sharers BETWEEN 2 AND {settings.max_records_per_key}"
    )
    records = db.sql("SELECT count(*) FROM records").fetchall()[0][0]
    found = db.sql("SELECT node, hub FROM links ORDER BY node, hub").fetchnumpy()
    nodes, hubs = np.asarray(found["node"]), np.asarray(found["hub"])
    size = records + (int(hubs.max()) + 1 if len(hubs) else 0)
    graph = coo_array((np.ones(len(nodes), np.int8), (nodes, records + hubs)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:records] if records else np.empty(0, np.int32)
    db.register("labels", pa.table({"node": np.arange(records), "component": labels}))
    db.execute("CREATE TABLE components AS SELECT * FROM labels")
    db.unregister("labels")


_NO_LINKS = "SELECT NULL::VARCHAR AS customer_key, 0 AS rank, NULL::VARCHAR AS shared WHERE false"


def _name_components(db: duckdb.DuckDBPyConnection, settings: IdentitySettings) -> None:
    """Table ``resolved``: identity as it should be; ``moved``: keys whose customer id changes."""
    names = " ".join(f"WHEN {rank} THEN {quote(name)}" for rank, name in enumerate(settings.match_on))
    by = f"CASE min(rank) {names} END" if names else "NULL"
    db.execute(
        "CREATE TABLE resolved AS SELECT customer_key, named.customer_id, "
        "CASE WHEN plain_id = named.customer_id THEN 'own id' ELSE coalesce(matched.matched_on, 'own id') END "
        "AS matched_on, "
        "source, known_since FROM records JOIN components USING (node) JOIN ("
        "SELECT component, arg_min(plain_id, (known_since, NOT starts_with(customer_key, 'main:'), customer_key)) "
        "AS customer_id "
        "FROM records JOIN components USING (node) GROUP BY component) named USING (component) "
        f"LEFT JOIN (SELECT node, {by} AS matched_on FROM links GROUP BY node) matched USING (node)"
    )
    db.execute(
        "CREATE TABLE moved AS SELECT customer_key, old_id, customer_id FROM resolved JOIN "
        "(SELECT customer_key, old_id FROM records) USING (customer_key) WHERE old_id <> customer_id"
    )


def _relabel_lines(lake: Lake, config: Config, db: duckdb.DuckDBPyConnection) -> None:
    """Move the lines of renamed customers to their new bucket: all buckets concerned in one atomic commit."""
    moved = db.sql("SELECT old_id, customer_id FROM moved").fetchall()
    buckets = sorted({bucket_of(name, config.buckets) for pair in moved for name in pair})
    if not buckets:
        return
    db.execute(f"CREATE VIEW order_lines AS {lake.scan(lake.latest('order_lines'))}")
    concerned = f"bucket IN ({', '.join(map(str, buckets))})"
    stale = (
        f"SELECT 1 FROM order_lines JOIN moved USING (customer_key) WHERE {concerned} "
        "AND order_lines.customer_id <> moved.customer_id LIMIT 1"
    )
    if not db.sql(stale).fetchall():
        return
    rows = db.sql(
        f"SELECT {', '.join(CONTRACTS['order_lines'].names)} FROM (SELECT order_lines.* REPLACE ("
        "coalesce(moved.customer_id, order_lines.customer_id) AS customer_id, "
        f"{bucket_sql('coalesce(moved.customer_id, order_lines.customer_id, order_id)', config.buckets)} AS bucket) "
        f"FROM order_lines LEFT JOIN moved USING (customer_key) WHERE {concerned})"
    )
    lake.replace("order_lines", rows, where={"bucket": buckets})


def _relabel(lake: Lake, db: duckdb.DuckDBPyConnection, table: str) -> None:
    names = ", ".join(
        "moved.customer_id" if name == "customer_id" else f'facts."{name}"' for name in CONTRACTS[table].names
    )
    rows = db.sql(
        f"SELECT {names} FROM ({lake.scan(lake.latest(table))}) facts JOIN moved USING (customer_key) "
        "WHERE facts.customer_id IS DISTINCT FROM moved.customer_id"
    ).to_arrow_table()
    if len(rows):
        lake.merge(table, rows)


def _write_if_changed(lake: Lake, db: duckdb.DuckDBPyConnection, table: str, rows: str) -> None:
    """Replace the table when its content differs, so that an unchanged day makes no new version."""
    snapshot = lake.latest(table)
    names = ", ".join(CONTRACTS[table].names)
    new, old = f"SELECT {names} FROM {rows}", f"SELECT {names} FROM ({lake.scan(snapshot)})"
    changed = db.sql(
        f"SELECT 1 FROM ({new} EXCEPT {old}) UNION ALL SELECT 1 FROM ({old} EXCEPT {new}) LIMIT 1"
    ).fetchall()
    if changed or snapshot.version is None:
        lake.replace(table, db.sql(f"{new} ORDER BY {', '.join(CONTRACTS[table].key)}"))
