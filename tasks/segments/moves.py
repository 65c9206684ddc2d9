"""Who moved between primary segments since the run before, what is at stake, and why."""

from datetime import date

import duckdb

_MOVES = """
    WITH before AS (SELECT max(as_of) AS day FROM customer_segments WHERE as_of < $as_of),
    old AS (SELECT customer_id, as_of, segment FROM customer_segments WHERE as_of = (SELECT day FROM before)),
    new AS (SELECT customer_id, as_of, segment, reasons FROM customer_segments WHERE as_of = $as_of),
    worth AS (
        SELECT customer_id, as_of, coalesce(lifetime_value, CAST(spend_365d AS DOUBLE)) AS expected
        FROM customer_features WHERE as_of = $as_of OR as_of = (SELECT day FROM before))
    SELECT new.as_of, new.customer_id, old.segment AS from_segment, new.segment AS to_segment, old.as_of AS since,
           greatest(coalesce(worth_old.expected, 0), coalesce(worth_new.expected, 0)) AS value_at_stake,
           coalesce(new.reasons[1], '') AS why
    FROM new JOIN old USING (customer_id)
    LEFT JOIN worth AS worth_new ON worth_new.customer_id = new.customer_id AND worth_new.as_of = new.as_of
    LEFT JOIN worth AS worth_old ON worth_old.customer_id = old.customer_id AND worth_old.as_of = old.as_of
    WHERE new.segment <> old.segment
    ORDER BY customer_id
"""


def find_moves(db: duckdb.DuckDBPyConnection, as_of: date) -> duckdb.DuckDBPyRelation:
    """Rows of ``segment_moves``: customers known in both runs whose segment changed.

    ``db`` has the views ``customer_features`` and ``customer_segments`` with this morning and the one before. The value
    at stake is the larger of the lifetime values then and now; without a forecast, the spend of the last year.
    """
    db.execute(f"CREATE OR REPLACE TEMP TABLE found_moves AS {_MOVES}", {"as_of": as_of})
    return db.table("found_moves")
