"""The insight report: one self-contained page, pictures first, readable on a phone and on paper."""

from datetime import date
from functools import lru_cache
from importlib.resources import files

import duckdb
from jinja2 import Environment, StrictUndefined

from tasks.measurement.insights import chapters

READS = (
    "customer_features",
    "customer_segments",
    "segment_profiles",
    "segment_moves",
    "kpis",
    "model_grades",
    "check_results",
    "intake_log",
    "quarantine",
)

_FIGURES = """
    SELECT kpi, value FROM kpis WHERE as_of = $as_of AND subject = 'all'
    AND list_contains($kpis, kpi)
"""
_NAMES = {
    "customers": ("customers", "{:,.0f}"),
    "segment_coverage": ("in exactly one segment", "{:.1%}"),
    "active_customers_90d": ("bought in 90 days", "{:,.0f}"),
    "repeat_rate": ("came back at least once", "{:.0%}"),
    "average_order_value": ("average order", "{:,.2f}"),
    "lifetime_value": ("expected in 365 days", "{:,.0f}"),
}


@lru_cache(maxsize=1)
def _template() -> str:
    return files("tasks.measurement").joinpath("templates/report.html").read_text(encoding="utf-8")


def render_report(db: duckdb.DuckDBPyConnection, as_of: date, title: str, currency: str, sources: str) -> str:
    """The page as HTML, from the views named in ``READS``; the same tables give the same bytes."""
    values = dict(db.execute(_FIGURES, {"as_of": as_of, "kpis": list(_NAMES)}).fetchall())
    checks = db.execute(
        "SELECT verdict, \"check\", subject, message FROM check_results WHERE as_of = ? AND verdict <> 'passed' "
        'ORDER BY verdict, "check", subject',
        [as_of],
    ).fetchall()
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(_template())
    return page.render(
        title=title,
        as_of=as_of.isoformat(),
        currency=currency,
        figures=[(name, show.format(values[kpi])) for kpi, (name, show) in _NAMES.items() if kpi in values],
        stopped=[check for check in checks if check[0] == "stopped"],
        told=[check for check in checks if check[0] == "told"],
        chapters=chapters(db, as_of, currency),
        sources=sources,
    )
