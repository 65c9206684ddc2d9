"""All that can be measured without a model: one row per customer known on the morning of ``as_of``."""

from datetime import date

import duckdb

from tasks.config import FeatureSettings
from tasks.features import affinity, attention, behaviour, regular, rfm

BUSINESS_BULK_SHARE = 0.5
BUSINESS_OFFICE_SHARE = 0.6
BUSINESS_ORDERS = 3

# A profile without a date counts as known unless orders show that the customer came later.
_KNOWN = """
    SELECT c.*, b.* EXCLUDE (customer_id), first_known
    FROM (
        SELECT customers.*, timezone($timezone, created_at)::DATE AS first_known,
               customer_id IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL) AS ever_bought
        FROM customers
    ) c LEFT JOIN behaviour b USING (customer_id)
    WHERE b.customer_id IS NOT NULL OR first_known < $as_of OR (first_known IS NULL AND NOT ever_bought)
"""

_MEASURES = f"""
SELECT
    k.customer_id, $as_of::DATE AS as_of, recency_days, coalesce(k.orders, 0) AS orders,
    coalesce(k.monetary, 0)::DECIMAL(18,4) AS monetary,
    k.monetary::DOUBLE / nullif(k.orders, 0) AS average_order_value,
    days_since_first_order,
    greatest(days_since_first_order, $as_of::DATE - first_known) AS tenure_days,
    active_days,
    gap_days::DOUBLE / nullif(active_days - 1, 0) AS interorder_days_mean,
    CASE WHEN active_days > 2 THEN
        sqrt(greatest(0, (gap_days_squared::DOUBLE - gap_days::DOUBLE * gap_days::DOUBLE / (active_days - 1))
             / (active_days - 2)))
    END AS interorder_days_deviation,
    recency_days * (active_days - 1) / nullif(gap_days::DOUBLE, 0) AS gap_ratio,
    items / nullif(k.orders, 0) AS items_per_order,
    coalesce(distinct_products, 0) AS distinct_products,
    coalesce(distinct_categories, 0) AS distinct_categories,
    coalesce(top_categories, []) AS top_categories, top_category, top_category_share,
    discount / nullif(k.monetary::DOUBLE + discount, 0) AS discount_share,
    CASE WHEN k.monetary + returned > 0 THEN least(1, returned / (k.monetary::DOUBLE + returned)) END AS return_rate,
    weekend_orders::DOUBLE / nullif(k.orders, 0) AS weekend_share,
    main_channel, main_channel_orders::DOUBLE / nullif(k.orders, 0) AS main_channel_share,
    web_orders::DOUBLE / nullif(k.orders, 0) AS web_share,
    channels, stores,
    coalesce(orders_30d, 0) AS orders_30d, coalesce(spend_30d, 0)::DECIMAL(18,4) AS spend_30d,
    coalesce(orders_90d, 0) AS orders_90d, coalesce(spend_90d, 0)::DECIMAL(18,4) AS spend_90d,
    coalesce(orders_365d, 0) AS orders_365d, coalesce(spend_365d, 0)::DECIMAL(18,4) AS spend_365d,
    CASE WHEN earlier_spend > 0 THEN spend_90d::DOUBLE / earlier_spend END AS spend_trend,
    coalesce(gift_orders, 0) AS gift_orders, gift_orders::DOUBLE / nullif(k.orders, 0) AS gift_share,
    CASE WHEN k.monetary > 0 THEN season_spend / k.monetary::DOUBLE END AS december_share,
    bulk_orders::DOUBLE / nullif(k.orders, 0) AS bulk_share,
    office_orders::DOUBLE / nullif(k.orders, 0) AS office_hours_share,
    coalesce(is_business, false) OR (
        k.orders >= {BUSINESS_ORDERS} AND bulk_orders >= {BUSINESS_BULK_SHARE} * k.orders
        AND office_orders >= {BUSINESS_OFFICE_SHARE} * k.orders
    ) IS TRUE AS is_business,
    coupon_orders,
    coalesce(sessions_90d, 0) AS sessions_90d, days_since_session,
    coalesce(messages_90d, 0) AS messages_90d, coalesce(opens_90d, 0) AS opens_90d,
    coalesce(clicks_90d, 0) AS clicks_90d,
    CASE WHEN messages_90d > 0 THEN least(1, responses_90d::DOUBLE / messages_90d) END AS engagement_rate,
    coalesce(redemptions, 0) AS redemptions,
    age_band, income_band, household_size, country,
    coalesce(replenishment_due, false) AS replenishment_due,
    email IS NOT NULL AS has_email, coalesce(email_consent, 'unknown') AS email_consent
FROM known k
LEFT JOIN main_channel USING (customer_id)
LEFT JOIN affinity USING (customer_id)
LEFT JOIN bought USING (customer_id)
LEFT JOIN visits USING (customer_id)
LEFT JOIN messages USING (customer_id)
LEFT JOIN email_consent USING (customer_id)
LEFT JOIN due USING (customer_id)
"""


def measure(
    db: duckdb.DuckDBPyConnection, as_of: date, timezone: str, settings: FeatureSettings, everyone: str = "orders"
) -> None:
    """Create the temporary table ``measures``: the columns of ``customer_features`` that need no model.

    Reads the views customers, orders, order_lines, category_totals, products, sessions, engagement and consent; uses
    only what happened on local days before ``as_of``. ``everyone`` names a view with the orders of all customers,
    should the others hold those of some.
    """
    values = behaviour.parameters(as_of, timezone, settings.business_hours)
    scores = rfm.scores_sql("unscored")
    steps = {
        "behaviour": behaviour.behaviour_sql(everyone),
        "main_channel": behaviour.main_channel_sql(),
        "affinity": affinity.affinity_sql(affinity.category_spend_sql(db, as_of)),
        "bought": affinity.distinct_products_sql(),
        "visits": attention.SESSIONS,
        "messages": attention.MESSAGES,
        "email_consent": attention.EMAIL_CONSENT,
        "due": regular.DUE,
        "known": _KNOWN,
        "unscored": _MEASURES,
        "measures": f"SELECT * FROM unscored JOIN ({scores}) USING (customer_id) ORDER BY customer_id",
    }
    for name, sql in steps.items():
        used = {key: value for key, value in values.items() if f"${key}" in sql}
        db.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}", used)
