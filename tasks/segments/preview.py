"""What an audience would be before it is saved: how many, worth what, who else they are, what a few look like."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from tasks.segments.compile import Parameters, compile_condition
from tasks.segments.fields import FIELDS
from tasks.segments.reasons import field_sql, reasons_sql
from tasks.segments.rules import Rule

SAMPLE = 10
_SHOWN = ("recency_days", "orders", "spend_365d", "average_order_value", "lifetime_value", "churn_probability")


@dataclass(frozen=True, slots=True)
class Overlap:
    """How much of the audience is in an existing segment or audience, and how much of that is in the audience."""

    kind: str
    segment: str
    customers: int
    share_of_audience: float
    share_of_segment: float


@dataclass(frozen=True, slots=True)
class Preview:
    """An audience on one morning; amounts in the retailer's currency, ``sample`` in words and without names."""

    customers: int
    share: float
    spend_365d: float
    revenue_share: float
    lifetime_value: float
    overlaps: tuple[Overlap, ...]
    sample: tuple[tuple[str, ...], ...]


def preview(db: duckdb.DuckDBPyConnection, rule: Rule, as_of: date) -> Preview:
    """Count, value, overlaps (largest first) and a few customers; nothing is written.

    ``db`` has the views ``customer_features`` and ``customer_segments`` with the morning ``as_of``.
    """
    parameters = Parameters()
    morning = parameters.add(as_of.isoformat())
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE previewed AS
        SELECT *, {compile_condition(rule.when, parameters)} AS inside,
               {reasons_sql(rule.when, parameters)} AS reasons
        FROM customer_features WHERE as_of = CAST({morning} AS DATE)""",
        parameters.values,
    )
    everyone, customers, spend, all_spend, value = db.sql(
        """
        SELECT count(*), count(*) FILTER (inside), coalesce(CAST(sum(spend_365d) FILTER (inside) AS DOUBLE), 0),
               coalesce(CAST(sum(spend_365d) AS DOUBLE), 0),
               coalesce(CAST(sum(CAST(lifetime_value AS DECIMAL(30, 6))) FILTER (inside) AS DOUBLE), 0)
        FROM previewed"""
    ).fetchall()[0]
    return Preview(
        customers=customers,
        share=customers / everyone if everyone else 0.0,
        spend_365d=spend,
        revenue_share=spend / all_spend if all_spend else 0.0,
        lifetime_value=value,
        overlaps=_overlaps(db, as_of, customers),
        sample=_sample(db),
    )


def _overlaps(db: duckdb.DuckDBPyConnection, as_of: date, customers: int) -> tuple[Overlap, ...]:
    rows: list[tuple[Any, ...]] = db.execute(
        """
        WITH today AS (SELECT * FROM customer_segments WHERE as_of = ?),
        members AS (
            SELECT 'segment' AS kind, segment AS id, customer_id FROM today
            UNION ALL SELECT 'audience', unnest(audiences), customer_id FROM today)
        SELECT kind, id, count(*) FILTER (inside) AS common, count(*) AS members
        FROM members JOIN previewed USING (customer_id)
        GROUP BY kind, id HAVING common > 0 ORDER BY common DESC, kind, id""",
        [as_of],
    ).fetchall()
    return tuple(
        Overlap(kind, name, common, common / customers, common / members) for kind, name, common, members in rows
    )


def _sample(db: duckdb.DuckDBPyConnection) -> tuple[tuple[str, ...], ...]:
    shown = ", ".join(field_sql(FIELDS[name]) for name in _SHOWN)
    rows = db.sql(
        f"""
        SELECT list_concat(reasons, [{shown}])
        FROM previewed WHERE inside ORDER BY md5(customer_id), customer_id LIMIT {SAMPLE}"""
    ).fetchall()
    return tuple(tuple(dict.fromkeys(told)) for (told,) in rows)


def tell_preview(rule: Rule, seen: Preview, currency: str) -> str:
    """The preview as Markdown; no customer can be recognised in it."""
    past = f"who spent **{seen.spend_365d:,.0f} {currency}** in the last year ({seen.revenue_share:.1%} of all spend)"
    future = f"and are expected to spend {seen.lifetime_value:,.0f} {currency} in the next."
    who = f"**{seen.customers:,} {'customer' if seen.customers == 1 else 'customers'}** ({seen.share:.1%} of all)"
    lines = [f"# {rule.label}", "", f"{who} {past} {future}"]
    if not seen.customers:
        return "\n".join([*lines, "", "Nobody fulfils the conditions today. Make them wider before you save."])
    people = [f"- {'; '.join(told)}" for told in seen.sample]
    return "\n".join([*lines, "", f"### {len(people)} of them", "", *people])


def overlap_rows(seen: Preview) -> list[dict[str, str | int]]:
    """The overlaps as rows of a table for people."""
    return [
        {
            "kind": overlap.kind,
            "segment": overlap.segment,
            "customers in both": overlap.customers,
            "share of the new audience": f"{overlap.share_of_audience:.0%}",
            "share of the segment": f"{overlap.share_of_segment:.0%}",
        }
        for overlap in seen.overlaps
    ]
