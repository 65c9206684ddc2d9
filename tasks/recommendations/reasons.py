"""The last step: names, dates and a reason that can be told to the customer."""

from datetime import date

import duckdb
import pyarrow as pa

from tasks.recommendations.purchases import Codes
from tasks.recommendations.ranking import KINDS, Offers

SCHEMA = pa.schema(
    [
        pa.field("customer_id", pa.string()),
        pa.field("as_of", pa.date32()),
        pa.field("rank", pa.int64()),
        pa.field("product_id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("kind", pa.string()),
        pa.field("because", pa.string()),
        pa.field("due_date", pa.date32()),
    ]
)

_REASONS = """
    WITH named AS (SELECT product, product_id, coalesce(name, category, product_id) AS name FROM known_products)
    SELECT customer_id, $as_of::DATE AS as_of, rank, p.product_id, round(score, 9) AS score, o.kind,
           CASE
               WHEN o.kind = 'replenish' AND NOT isnan(gap_days) THEN
                   format('You buy {} about every {} days', p.name, greatest(1, round(gap_days))::INT)
               WHEN o.kind = 'replenish' THEN format('You bought {} before', p.name)
               WHEN o.kind = 'up_sell' THEN format('A step up from {}, which you buy', a.name)
               WHEN o.kind = 'cross_sell' AND a.name <> p.name THEN
                   format('Customers who buy {} also buy {}', a.name, p.name)
               WHEN o.kind = 'cross_sell' THEN format('{} goes with what you buy', p.name)
               WHEN segment IS NULL THEN format('{} is popular at the moment', p.name)
               ELSE format('{} is popular with customers like you', p.name)
           END AS because,
           CASE WHEN NOT isnan(due_days) AND due_days < 3650 THEN $as_of::DATE + due_days::INT END AS due_date
    FROM chosen_offers o JOIN known_customers USING (customer) JOIN named p USING (product)
         LEFT JOIN named a ON a.product = o.anchor
    ORDER BY customer, rank
"""


def with_reasons(db: duckdb.DuckDBPyConnection, as_of: date, best: Offers, rank: Codes) -> pa.Table:
    """Rows of customer_recommendations for chosen offers, sorted by customer and rank."""
    kinds = pa.DictionaryArray.from_arrays(pa.array(best.kind, pa.int8()), pa.array(KINDS)).cast(pa.string())
    table = pa.table(
        {
            "customer": best.customer,
            "rank": rank,
            "product": best.product,
            "score": best.score,
            "kind": kinds,
            "anchor": best.anchor,
            "gap_days": best.gap_days,
            "due_days": best.due_days,
        }
    )
    db.register("chosen_offers", table)
    try:
        return db.execute(_REASONS, {"as_of": as_of}).to_arrow_table().cast(SCHEMA)
    finally:
        db.unregister("chosen_offers")
