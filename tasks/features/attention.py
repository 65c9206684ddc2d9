"""How customers respond: web visits, messages opened and clicked, coupons redeemed, consent."""

SESSIONS = """
    SELECT customer_id,
           count(*) FILTER (session_date >= $as_of::DATE - 90) AS sessions_90d,
           $as_of::DATE - max(session_date) AS days_since_session
    FROM sessions WHERE customer_id IS NOT NULL AND session_date < $as_of GROUP BY customer_id
"""

# A message counts once however often it is opened; opens by a privacy proxy are no person's doing.
MESSAGES = """
    WITH recent AS (
        SELECT *, event_date >= $as_of::DATE - 90 AS in_window,
               coalesce(campaign_id, event_id) AS message,
               kind = 'click' OR (kind = 'open' AND NOT machine_open) AS responds
        FROM engagement WHERE customer_id IS NOT NULL AND event_date < $as_of
    )
    SELECT customer_id,
           count(DISTINCT message) FILTER (in_window AND kind = 'delivered') AS messages_90d,
           count(DISTINCT message) FILTER (in_window AND kind = 'open' AND NOT machine_open) AS opens_90d,
           count(DISTINCT message) FILTER (in_window AND kind = 'click') AS clicks_90d,
           count(DISTINCT message) FILTER (in_window AND responds) AS responses_90d,
           count(*) FILTER (kind = 'redeem') AS redemptions
    FROM recent GROUP BY customer_id
"""

EMAIL_CONSENT = """
    SELECT customer_id, status AS email_consent FROM consent
    WHERE channel = 'email' AND customer_id IS NOT NULL AND changed_at < $as_of::TIMESTAMPTZ + INTERVAL 1 DAY
    QUALIFY row_number() OVER (
        PARTITION BY customer_id
        ORDER BY changed_at DESC, CASE status WHEN 'denied' THEN 0 WHEN 'granted' THEN 1 ELSE 2 END, customer_key
    ) = 1
"""
