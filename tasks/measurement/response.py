"""What campaigns brought: response by segment, and targeted against mass campaigns.

A response is a redeemed coupon of the same campaign, or an order that names it within the configured days of the
message. A rate comes with the 90 % interval of Wilson (1927), a ratio of two with that of Katz et al. (1978).
"""

import math
from dataclasses import dataclass
from datetime import date

import duckdb

Z_90 = 1.6448536269514722

# One row per customer and campaign that reached the customer before the run.
REACHED = """
    SELECT e.customer_id, e.campaign_id, min(e.event_date) AS reached_on, any_value(c.kind) AS kind
    FROM engagement e LEFT JOIN campaign_calendar c USING (campaign_id)
    WHERE e.kind = 'delivered' AND e.customer_id IS NOT NULL AND e.campaign_id IS NOT NULL AND e.event_date < $as_of
    GROUP BY ALL
"""

RESPONSES = f"""
    WITH reached AS ({REACHED}),
    redeemed AS (
        SELECT DISTINCT customer_id, campaign_id FROM engagement WHERE kind = 'redeem' AND event_date < $as_of
    ),
    ordered AS (
        SELECT DISTINCT r.customer_id, r.campaign_id FROM reached r JOIN orders o USING (customer_id)
        WHERE NOT o.is_return AND o.campaign_id = r.campaign_id
              AND o.order_date >= r.reached_on AND o.order_date < least($as_of, r.reached_on + $days)
    )
    SELECT r.*, d.customer_id IS NOT NULL OR o.customer_id IS NOT NULL AS responded
    FROM reached r LEFT JOIN redeemed d USING (customer_id, campaign_id)
    LEFT JOIN ordered o USING (customer_id, campaign_id)
"""


ANSWERS = {
    "open": "open_rate",
    "click": "click_rate",
    "unsubscribe": "unsubscribe_rate",
    "bounce": "bounce_rate",
    "spam": "spam_rate",
}
_ANSWERED = f"""
    WITH reached AS ({REACHED}),
    did AS (
        SELECT DISTINCT customer_id, campaign_id, kind FROM engagement
        WHERE event_date < $as_of AND NOT machine_open AND list_contains($kinds, kind)
    )
    SELECT k.kind, coalesce(r.campaign_id, '') AS campaign, count(*), count(d.customer_id)
    FROM reached r CROSS JOIN (SELECT DISTINCT kind FROM did) k
    LEFT JOIN did d ON d.customer_id = r.customer_id AND d.campaign_id = r.campaign_id AND d.kind = k.kind
    GROUP BY GROUPING SETS ((k.kind, r.campaign_id), (k.kind)) ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Responses among those reached, with a 90 % interval; ``value`` is nan where nobody was reached."""

    reached: int
    responded: int

    @property
    def value(self) -> float:
        """Share that responded."""
        return self.responded / self.reached if self.reached else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval."""
        if not self.reached:
            return math.nan, math.nan
        n, p, z = self.reached, self.value, Z_90
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as often one group responds as another, with a 90 % interval."""

    above: Rate
    below: Rate

    @property
    def value(self) -> float:
        """Ratio of the two rates; nan where the second is empty or never responded."""
        return self.above.value / self.below.value if self.below.responded else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the logarithm of the ratio, turned back."""
        if not (self.above.responded and self.below.responded):
            return math.nan, math.nan
        variance = sum(1 / rate.responded - 1 / rate.reached for rate in (self.above, self.below))
        spread = math.exp(Z_90 * math.sqrt(variance))
        return self.value / spread, self.value * spread


def rates_by(db: duckdb.DuckDBPyConnection, group: str, as_of: date, days: int) -> dict[str, Rate]:
    """Response rates per value of ``group``, an SQL expression over the reached ``r`` and their segments ``s``."""
    found = db.execute(
        f"""
        SELECT {group} AS part, count(*), count(*) FILTER (responded) FROM ({RESPONSES}) r
        LEFT JOIN (
            SELECT customer_id, segment FROM customer_segments
            WHERE as_of = (SELECT max(as_of) FROM customer_segments WHERE as_of <= $as_of)
        ) s USING (customer_id)
        GROUP BY part HAVING part IS NOT NULL ORDER BY part
        """,
        {"as_of": as_of, "days": days},
    ).fetchall()
    return {str(part): Rate(reached, responded) for part, reached, responded in found}


def answer_rates(db: duckdb.DuckDBPyConnection, as_of: date) -> dict[tuple[str, str], Rate]:
    """Of the customers a campaign reached, the shares that did each thing in ANSWERS, by (figure, campaign).

    Campaign "" is all of them together. Opens by privacy proxies are nobody's. A thing that no source ever reports is
    left out: unknown is not zero.
    """
    found = db.execute(_ANSWERED, {"as_of": as_of, "kinds": list(ANSWERS)}).fetchall()
    return {(ANSWERS[kind], campaign): Rate(reached, did) for kind, campaign, reached, did in found}


def relevance(db: duckdb.DuckDBPyConnection, as_of: date, days: int) -> Ratio | None:
    """Campaign relevance score: response to targeted over response to mass campaigns; ``None`` without both kinds."""
    rates = rates_by(db, "r.kind", as_of, days)
    if "targeted" not in rates or "mass" not in rates:
        return None
    return Ratio(rates["targeted"], rates["mass"])
