"""What customers like: categories and products they buy.

The totals per customer and category are kept up to date at intake, so a daily run never rereads old lines; a run for a
day before the newest line reads the lines themselves, because totals cannot be turned back.
"""

from datetime import date

import duckdb

TOP_CATEGORIES = 3

_FROM_LINES = """
    SELECT customer_id, coalesce(category, 'unknown') AS category, sum(amount)::DECIMAL(18,4) AS amount
    FROM order_lines LEFT JOIN products USING (product_id)
    WHERE customer_id IS NOT NULL AND order_date < $as_of GROUP BY ALL
"""
_FROM_TOTALS = "SELECT customer_id, category, amount FROM category_totals"


def category_spend_sql(db: duckdb.DuckDBPyConnection, as_of: date) -> str:
    """SQL for ``customer_id, category, amount`` as known on ``as_of``."""
    newest = db.execute("SELECT max(last_on) FROM category_totals").fetchone()
    covered = newest is not None and newest[0] is not None and newest[0] < as_of
    return _FROM_TOTALS if covered else _FROM_LINES.replace("$as_of", f"DATE '{as_of}'")


def affinity_sql(category_spend: str) -> str:
    """SQL that gives ``customer_id, distinct_categories, top_categories, top_category, top_category_share``."""
    return f"""
        WITH spend AS ({category_spend}),
        positive AS (SELECT * FROM spend WHERE amount > 0 AND category <> 'unknown'),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY amount DESC, category) AS place,
                   sum(amount) OVER (PARTITION BY customer_id) AS total
            FROM positive
        )
        SELECT customer_id, count(*) AS distinct_categories,
               coalesce(list(category ORDER BY place) FILTER (place <= {TOP_CATEGORIES}), []) AS top_categories,
               max(category) FILTER (place = 1) AS top_category,
               max(amount::DOUBLE / total::DOUBLE) FILTER (place = 1) AS top_category_share
        FROM ranked GROUP BY customer_id
    """


def distinct_products_sql() -> str:
    """SQL over ``order_lines``: ``customer_id, distinct_products`` bought before ``$as_of``."""
    return """
        SELECT customer_id, count(DISTINCT product_id) AS distinct_products FROM order_lines
        WHERE customer_id IS NOT NULL AND order_date < $as_of AND amount > 0 GROUP BY customer_id
    """
