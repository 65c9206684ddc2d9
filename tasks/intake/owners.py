"""An order belongs to one customer, whatever its single lines say."""

from tasks.intake.contacts import replace_facts
from tasks.intake.incoming import Incoming
from tasks.intake.reading import quote

CONFLICT = "order_conflict"


def settle_owners(incoming: Incoming) -> None:
    """Table ``owners`` (order_id, owner) of orders whose lines do not agree; refuse lines that belong to somebody else.

    A line without customer takes the customer of its order. The same source may change its mind (the file taken last
    wins, known lines follow); a second customer within a file, or another source with the same order number and another
    customer, means that two orders share a number: such lines are quarantined as ``order_conflict``.
    """
    db = incoming.db
    db.execute(f"""
        CREATE TABLE owners AS
        WITH told AS (
            SELECT order_id, arg_min(customer_key, row) FILTER (customer_key IS NOT NULL) AS first_key,
                min(customer_key) <> max(customer_key) OR count(customer_key) BETWEEN 1 AND count(*) - 1 AS mixed
            FROM facts WHERE reasons = '' GROUP BY order_id
        ),
        known AS (
            SELECT order_id, min(customer_key) AS known_key, bool_or(source = {quote(incoming.source.name)}) AS own
            FROM known_lines GROUP BY order_id
        )
        SELECT order_id,
            CASE WHEN own THEN coalesce(first_key, known_key) ELSE coalesce(known_key, first_key) END AS owner
        FROM told LEFT JOIN known USING (order_id)
        WHERE mixed OR (known.order_id IS NOT NULL AND first_key IS DISTINCT FROM known_key)
    """)
    foreign = "SELECT row FROM facts JOIN owners USING (order_id) WHERE reasons = '' AND customer_key <> owner"
    if db.sql(f"{foreign} LIMIT 1").fetchall():
        replace_facts(
            db,
            f"SELECT * REPLACE (CASE WHEN row IN ({foreign}) THEN '{CONFLICT}' ELSE reasons END AS reasons, "
            f"CASE WHEN row IN ({foreign}) THEN {_OUR_ROW} ELSE raw END AS raw) FROM facts",
        )


_OUR_ROW = (
    "to_json({order_id: order_id, customer_id: customer_id, ordered_at: ordered_at, product_id: product_id, "
    "quantity: quantity, amount: amount})::VARCHAR"
)
