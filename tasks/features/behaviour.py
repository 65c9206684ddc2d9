"""What customers did, measured from their orders: recency, frequency, monetary, rhythm, baskets, channels, habits.

Everything is one DuckDB query over ``orders`` (one row per order), so the cost follows orders, not lines. Sums run
over DECIMAL and whole numbers only: the same orders in any sequence give the same bytes. Orders that only give money
back are not counted as orders, but their value is taken off.
"""

from datetime import date

STORE_CHANNELS = ("pos", "store")
BULK_FACTOR = 5  # an order this many times the median basket points to resale or an office

_BEHAVIOUR = """
WITH known AS (
    SELECT *, timezone($timezone, ordered_at) AS local_at,
           lag(order_date) OVER (PARTITION BY customer_id, is_return ORDER BY order_date, order_id) AS previous_date
    FROM orders WHERE customer_id IS NOT NULL AND order_date < $as_of
), usual AS (
    SELECT coalesce(quantile_disc(items, 0.5), 0) AS items FROM {everyone}
    WHERE customer_id IS NOT NULL AND order_date < $as_of AND NOT is_return
)
SELECT
    customer_id,
    $as_of::DATE - max(order_date) FILTER (NOT is_return) AS recency_days,
    count(*) FILTER (NOT is_return) AS orders,
    sum(amount)::DECIMAL(18,4) AS monetary,
    $as_of::DATE - min(order_date) FILTER (NOT is_return) AS days_since_first_order,
    count(DISTINCT order_date) FILTER (NOT is_return) AS active_days,
    sum(order_date - previous_date) FILTER (NOT is_return AND order_date > previous_date) AS gap_days,
    sum((order_date - previous_date) * (order_date - previous_date))
        FILTER (NOT is_return AND order_date > previous_date) AS gap_days_squared,
    sum(items::DECIMAL(18,3)) FILTER (NOT is_return)::DOUBLE AS items,
    sum(discount)::DOUBLE AS discount,
    sum(returned_amount)::DOUBLE AS returned,
    count(*) FILTER (NOT is_return AND weekend) AS weekend_orders,
    count(*) FILTER (NOT is_return AND channel NOT IN {store_channels}) AS web_orders,
    count(DISTINCT channel) FILTER (NOT is_return) AS channels,
    count(DISTINCT store_id) FILTER (NOT is_return) AS stores,
    {windows},
    coalesce(sum(amount) FILTER (order_date >= $as_of::DATE - 180 AND order_date < $as_of::DATE - 90), 0)::DOUBLE
        AS earlier_spend,
    count(*) FILTER (NOT is_return AND is_gift) AS gift_orders,
    coalesce(sum(amount) FILTER (month(order_date) IN (11, 12)), 0)::DOUBLE AS season_spend,
    count(*) FILTER (NOT is_return AND items > {bulk_factor} * (SELECT items FROM usual)) AS bulk_orders,
    count(*) FILTER (NOT is_return AND NOT weekend AND hour(local_at) >= $opens AND hour(local_at) < $closes)
        AS office_orders,
    count(*) FILTER (NOT is_return AND campaign_id IS NOT NULL) AS coupon_orders
FROM known GROUP BY customer_id
"""

_CHANNELS = """
SELECT customer_id, channel AS main_channel, orders AS main_channel_orders FROM (
    SELECT customer_id, channel, count(*) AS orders FROM orders
    WHERE customer_id IS NOT NULL AND order_date < $as_of AND NOT is_return GROUP BY ALL
) QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY orders DESC, channel) = 1
"""

WINDOWS_DAYS = (30, 90, 365)


def _window(days: int) -> str:
    inside = f"order_date >= $as_of::DATE - {days}"
    return (
        f"count(*) FILTER (NOT is_return AND {inside}) AS orders_{days}d, "
        f"coalesce(sum(amount) FILTER ({inside}), 0)::DECIMAL(18,4) AS spend_{days}d"
    )


def behaviour_sql(everyone: str = "orders") -> str:
    """SQL over ``orders``: one row per customer with an order before ``$as_of``; also takes ``$timezone``, ``$opens``,
    ``$closes``. What is usual is measured over ``everyone``, should ``orders`` hold some customers only."""
    return _BEHAVIOUR.format(
        everyone=everyone,
        windows=", ".join(_window(days) for days in WINDOWS_DAYS),
        store_channels=STORE_CHANNELS,
        bulk_factor=BULK_FACTOR,
    )


def main_channel_sql() -> str:
    """SQL over ``orders``: each customer's channel with the most orders before ``$as_of``."""
    return _CHANNELS


def parameters(as_of: date, timezone: str, business_hours: tuple[int, int]) -> dict[str, object]:
    """Values of the parameters in ``behaviour_sql``."""
    return {"as_of": as_of, "timezone": timezone, "opens": business_hours[0], "closes": business_hours[1]}
