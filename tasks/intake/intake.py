"""The whole of intake in order: people and goods first, so that facts meet the customers they belong to."""

from datetime import date

from tasks.config import Config, Dataset, Source
from tasks.errors import ConfigurationError
from tasks.intake.checks import check_intake
from tasks.intake.identity import resolve_identity
from tasks.intake.mapping import find_problems
from tasks.intake.orders import build_orders
from tasks.intake.report import IntakeReport, SourceReport
from tasks.intake.take import take_source
from tasks.lake import Lake
from tasks.lake.buckets import bucket_sql

_FIRST = (Dataset.CUSTOMERS, Dataset.CONTACTS, Dataset.PRODUCTS, Dataset.CAMPAIGNS)
TABLES = (
    "order_lines",
    "orders",
    "category_totals",
    "customers",
    "identity",
    "consent",
    "products",
    "sessions",
    "engagement",
    "campaign_calendar",
)


def in_order(sources: tuple[Source, ...]) -> list[Source]:
    """Sources of people and goods before sources of facts, each group as configured."""
    return sorted(sources, key=lambda source: source.dataset not in _FIRST)


def refuse_bad_mappings(config: Config) -> None:
    """Raise ``ConfigurationError`` with every mapping that no file could satisfy, before anything is read."""
    problems = [f"source {s.name}, {problem}" for s in config.sources for problem in find_problems(s)]
    if problems:
        raise ConfigurationError("\n".join(problems))


def refuse_other_buckets(lake: Lake, config: Config) -> None:
    """Raise ``ConfigurationError`` when the lake was filled with another number of buckets than configured."""
    bucket = bucket_sql("coalesce(customer_id, order_id)", config.buckets)
    with lake.database([lake.latest("order_lines")]) as db:
        if db.sql(f"SELECT 1 FROM (SELECT * FROM order_lines LIMIT 1000) WHERE bucket <> {bucket} LIMIT 1").fetchall():
            raise ConfigurationError(
                f"buckets: {config.lake} was filled with another number than {config.buckets}. Set the old one again, "
                "or fill a new lake."
            )


def take_in(lake: Lake, config: Config, as_of: date, person_key: str = "") -> IntakeReport:
    """Take all new files, join customers, build orders, check; the report with the snapshots that later stages read."""
    refuse_bad_mappings(config)
    refuse_other_buckets(lake, config)
    reports: list[SourceReport] = []
    facts_begin = False
    for source in in_order(config.sources):
        if not facts_begin and source.dataset not in _FIRST:
            facts_begin = True
            if any(report.files for report in reports):
                resolve_identity(lake, config, as_of)
        reports.append(take_source(lake, config, source, as_of, person_key=person_key))
    resolve_identity(lake, config, as_of)
    build_orders(lake, config)
    return IntakeReport(
        as_of=as_of,
        sources=tuple(reports),
        findings=check_intake(lake, config, as_of, tuple(reports)),
        snapshots=tuple(lake.latest(table) for table in TABLES),
    )
