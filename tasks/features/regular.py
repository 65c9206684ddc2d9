"""Which customers are due to buy again something that they buy at a steady pace."""

STEADY_PURCHASES = 4  # fewer gaps say nothing about a pace
STEADY_DEVIATION = 0.5  # standard deviation of the gaps over their mean
LONGEST_GAP_DAYS = 120
OVERDUE_DAYS, AHEAD_DAYS = 3, 7

# Days count once: three packs on one day are one purchase. Whole numbers only, so sums do not depend on row order.
DUE = f"""
    WITH days AS (
        SELECT DISTINCT customer_id, product_id, order_date FROM order_lines
        WHERE customer_id IS NOT NULL AND order_date < $as_of AND amount > 0
    ), gaps AS (
        SELECT *, order_date - lag(order_date) OVER (PARTITION BY customer_id, product_id ORDER BY order_date) AS gap
        FROM days
    ), paces AS (
        SELECT customer_id, product_id, max(order_date) AS last_on, count(gap) AS gaps,
               sum(gap)::DOUBLE / count(gap) AS mean, sum(gap * gap)::DOUBLE / count(gap) AS square
        FROM gaps GROUP BY ALL HAVING count(*) >= {STEADY_PURCHASES}
    )
    SELECT customer_id, true AS replenishment_due FROM paces
    WHERE mean <= {LONGEST_GAP_DAYS} AND sqrt(greatest(0, square - mean * mean)) <= {STEADY_DEVIATION} * mean
          AND last_on + round(mean)::INTEGER BETWEEN $as_of::DATE - {OVERDUE_DAYS} AND $as_of::DATE + {AHEAD_DAYS}
    GROUP BY customer_id
"""
