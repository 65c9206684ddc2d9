"""The key figures of a run: how many customers are covered, how fresh the data is, what segments are worth."""

from collections.abc import Iterator
from datetime import date
from math import isnan

import duckdb
import pyarrow as pa

from tasks.lake.contracts import CONTRACTS
from tasks.measurement.response import Rate, Ratio, answer_rates, rates_by, relevance

Row = dict[str, object]

_COVERAGE = """
    SELECT count(s.customer_id), count(f.customer_id) FROM (
        SELECT customer_id FROM customer_features WHERE as_of = $as_of
    ) f FULL JOIN (SELECT customer_id FROM customer_segments WHERE as_of = $as_of) s USING (customer_id)
"""
_FRESHNESS = """
    SELECT source, $as_of::DATE - timezone($timezone, max(last_at))::DATE FROM intake_log
    WHERE status = 'taken' AND last_at IS NOT NULL AND timezone($timezone, last_at)::DATE < $as_of
    GROUP BY source ORDER BY source
"""
_SEGMENTS = """
    SELECT kind, segment, customers, share, revenue_share, average_order_value, lifetime_value
    FROM segment_profiles WHERE as_of = $as_of ORDER BY kind, segment
"""
_TOTALS = """
    SELECT sum(lifetime_value), sum(monetary)::DOUBLE / nullif(sum(orders), 0), sum(spend_30d)::DOUBLE,
           count(*) FILTER (orders_90d > 0),
           count(*) FILTER (orders > 1)::DOUBLE / nullif(count(*) FILTER (orders > 0), 0)
    FROM customer_features WHERE as_of = $as_of
"""
_LIFETIME_BEFORE = """
    SELECT max(as_of), arg_max(value, as_of) FROM kpis
    WHERE as_of < $as_of AND kpi = 'lifetime_value' AND subject = 'all'
"""
_QUARANTINED = """
    SELECT source, sum(rows_quarantined)::DOUBLE / nullif(sum(rows_read), 0) FROM intake_log
    GROUP BY source ORDER BY source
"""


def key_figures(db: duckdb.DuckDBPyConnection, as_of: date, timezone: str, redemption_days: int) -> pa.Table:
    """Rows of the ``kpis`` table for one day, from the views of the tables that the stages wrote."""
    figures = [*_totals(db, as_of), *_freshness(db, as_of, timezone), *_segments(db, as_of)]
    return _rows([*figures, *_campaigns(db, as_of, redemption_days)], as_of)


def response_figures(db: duckdb.DuckDBPyConnection, as_of: date, redemption_days: int) -> pa.Table:
    """Those rows of the ``kpis`` table that answers to messages decide: opens, clicks, conversion, relevance."""
    return _rows(list(_campaigns(db, as_of, redemption_days)), as_of)


def _rows(rows: list[Row], as_of: date) -> pa.Table:
    return pa.Table.from_pylist(
        [{"as_of": as_of, "low": None, "high": None, **row} for row in rows], CONTRACTS["kpis"].schema
    )


def _figure(kpi: str, value: object, unit: str, subject: str = "all") -> Iterator[Row]:
    if value is not None and not (isinstance(value, float) and isnan(value)):
        yield {"kpi": kpi, "subject": subject, "value": float(str(value)), "unit": unit}


def _totals(db: duckdb.DuckDBPyConnection, as_of: date) -> Iterator[Row]:
    covered, known = db.execute(_COVERAGE, {"as_of": as_of}).fetchall()[0]
    yield from _figure("customers", known, "customers")
    yield from _figure("segment_coverage", covered / known if known else None, "share")
    value, basket, recent, active, repeating = db.execute(_TOTALS, {"as_of": as_of}).fetchall()[0]
    yield from _figure("lifetime_value", value, "currency")
    yield from _figure("average_order_value", basket, "currency")
    yield from _figure("spend_30d", recent, "currency")
    yield from _figure("active_customers_90d", active, "customers")
    yield from _figure("repeat_rate", repeating, "share")
    before = db.execute(_LIFETIME_BEFORE, {"as_of": as_of}).fetchall()[0][1]
    yield from _figure("lifetime_value_change", value / before - 1 if before and value is not None else None, "share")


def _freshness(db: duckdb.DuckDBPyConnection, as_of: date, timezone: str) -> Iterator[Row]:
    for source, days in db.execute(_FRESHNESS, {"as_of": as_of, "timezone": timezone}).fetchall():
        yield from _figure("freshness", days, "days", source)
    for source, share in db.execute(_QUARANTINED).fetchall():
        yield from _figure("quarantined", share, "share", source)


def _segments(db: duckdb.DuckDBPyConnection, as_of: date) -> Iterator[Row]:
    found = db.execute(_SEGMENTS, {"as_of": as_of}).fetchall()
    for kind, segment, customers, share, revenue_share, basket, value in found:
        subject = f"{kind}:{segment}"
        yield from _figure("customers", customers, "customers", subject)
        yield from _figure("customer_share", share, "share", subject)
        yield from _figure("revenue_share", revenue_share, "share", subject)
        yield from _figure("average_order_value", basket, "currency", subject)
        yield from _figure("lifetime_value", value, "currency", subject)


def _campaigns(db: duckdb.DuckDBPyConnection, as_of: date, redemption_days: int) -> Iterator[Row]:
    for group, prefix in (("s.segment", "segment:"), ("r.kind", "kind:"), ("r.campaign_id", "campaign:")):
        for part, rate in rates_by(db, group, as_of, redemption_days).items():
            yield from _with_interval("conversion", rate, "share", f"{prefix}{part}")
    for (kpi, campaign), rate in answer_rates(db, as_of).items():
        yield from _with_interval(kpi, rate, "share", f"campaign:{campaign}" if campaign else "all")
    score = relevance(db, as_of, redemption_days)
    if score is not None:
        yield from _with_interval("campaign_relevance", score, "ratio", "all")


def _with_interval(kpi: str, estimate: Rate | Ratio, unit: str, subject: str) -> Iterator[Row]:
    low, high = estimate.interval
    for row in _figure(kpi, estimate.value, unit, subject):
        yield {**row, "low": None if isnan(low) else low, "high": None if isnan(high) else high}
