"""The up-sell ladder: from a product to the next better one of its category."""

import duckdb
import numpy as np

from tasks.recommendations.purchases import Codes
from tasks.recommendations.settings import RecommendationSettings

PRICE_DAYS = 180
RUNGS_PER_CATEGORY = 20

# A product without a price in the assortment has the median price that was really paid for it.
_PRICES = f"""
    CREATE OR REPLACE TEMP TABLE priced AS
    WITH paid AS (
        SELECT product_id, median(amount::DOUBLE / quantity) AS paid_price
        FROM order_lines
        WHERE order_date < $until AND order_date >= $until - {PRICE_DAYS} AND quantity > 0 AND amount > 0
        GROUP BY product_id
    ), sold AS (
        SELECT product, count(DISTINCT customer) AS buyers FROM bought
        WHERE day >= $until - DATE '1970-01-01' - {PRICE_DAYS} GROUP BY product
    )
    SELECT product, kind, coalesce(price::DOUBLE, paid_price) AS price, margin, coalesce(buyers, 0) AS buyers
    FROM known_products LEFT JOIN paid USING (product_id) LEFT JOIN sold USING (product)
    WHERE kind IS NOT NULL AND coalesce(price::DOUBLE, paid_price) > 0
"""
_STEPS = f"""
    WITH rungs AS (
        SELECT * FROM priced WHERE buyers > 0 AND product IN (SELECT product FROM offerable)
        QUALIFY row_number() OVER (PARTITION BY kind ORDER BY buyers DESC, product) <= {RUNGS_PER_CATEGORY}
    )
    SELECT low.product, high.product AS step
    FROM priced low JOIN rungs high USING (kind)
    WHERE high.price BETWEEN low.price * $smallest_step AND low.price * $largest_step
      AND coalesce(high.price * high.margin >= low.price * low.margin, true)
    QUALIFY row_number() OVER (
        PARTITION BY low.product
        ORDER BY high.buyers * coalesce(high.price * high.margin, high.price) DESC, high.product
    ) = 1
    ORDER BY low.product
"""


def next_steps(
    db: duckdb.DuckDBPyConnection, until: object, offerable: Codes, products: int, settings: RecommendationSettings
) -> Codes:
    """Per product code the code of its up-sell, -1 where there is none.

    An up-sell is in the same category, costs ``smallest_step`` to ``largest_step`` times as much, earns at least as
    much money per unit where margins are known, is sold at present and may be offered; the best by buyers times margin.
    """
    offerable_products = {"product": offerable}
    db.execute(_PRICES, {"until": until})
    db.execute(
        "CREATE OR REPLACE TEMP TABLE offerable AS SELECT unnest($product) AS product",
        {"product": offerable_products["product"].tolist()},
    )
    rows = db.execute(
        _STEPS, {"smallest_step": settings.smallest_step, "largest_step": settings.largest_step}
    ).fetchnumpy()
    steps = np.full(products, -1, np.int64)
    steps[np.asarray(rows["product"], np.int64)] = np.asarray(rows["step"], np.int64)
    return steps
