"""Customers: the records of one person joined, the newest word for each field."""

import duckdb

from tasks.lake.contracts import CONTRACTS

_OWN = {"customer_id", "created_at", "sources"}


def join_customers(db: duckdb.DuckDBPyConnection) -> None:
    """Table ``joined`` with the columns of table customers, from ``customer_records`` and ``resolved`` identities."""
    newest = ", ".join(
        f"arg_max({name}, (updated_at, source, customer_key)) FILTER ({name} IS NOT NULL) AS {name}"
        for name in CONTRACTS["customers"].names
        if name not in _OWN
    )
    db.execute(
        f"CREATE TABLE joined AS SELECT resolved.customer_id, {newest}, min(created_at) AS created_at, "
        "list_sort(list_distinct(list(records.source))) AS sources "
        "FROM customer_records records "
        "JOIN (SELECT customer_key, customer_id FROM resolved) resolved USING (customer_key) "
        "GROUP BY resolved.customer_id"
    )
