"""Checks on what came in: some stop the run before anything leaves, some only tell.

A source is judged by its last batch (the files it gave in its last run with new files), so a stop stands on every run
until better data arrives, a limit is changed, or somebody mends the file: running again does not make it go away.
"""

from datetime import date
from typing import Any

import duckdb

from tasks.config import Config, Dataset, Source
from tasks.intake.report import Finding, SourceReport
from tasks.lake import Lake

STAGE = "intake"
_SEVERE = "stopped"


def check_intake(lake: Lake, config: Config, as_of: date, reports: tuple[SourceReport, ...]) -> tuple[Finding, ...]:
    """The verdict on each source: files, rows, quarantine, shrinkage, currencies, and the sums of the lake."""
    told = {report.source: report for report in reports}
    tables = [lake.latest(name) for name in ("intake_log", "quarantine", "order_lines", "orders")]
    with lake.database(tables) as db:
        findings = [
            finding
            for source in config.sources
            if source.name in told
            for finding in _check_source(db, source, as_of, told[source.name])
        ]
        findings += [
            _lateness(db, source, as_of, config) for source in config.sources if source.dataset is Dataset.ORDERS
        ]
        findings += _check_lake(db)
    return tuple(findings)


def finding_rows(findings: tuple[Finding, ...], as_of: date) -> list[dict[str, Any]]:
    """The findings as rows of table check_results."""
    return [{"as_of": as_of, "stage": STAGE, **finding.model_dump()} for finding in findings]


def _check_source(db: duckdb.DuckDBPyConnection, source: Source, as_of: date, report: SourceReport) -> list[Finding]:
    findings = [_files_exist(source, report.files_found), _whole_files(db, source, report)]
    batch = _last_batch(db, source, as_of)
    if batch is None:
        return findings
    findings += [
        _row_count(source, batch),
        _quarantined_share(db, source, batch),
        _shrinkage(db, source, batch),
    ]
    if source.dataset is Dataset.ORDERS:
        findings.append(_currencies(db, source, batch))
    return findings


def _last_batch(db: duckdb.DuckDBPyConnection, source: Source, as_of: date) -> dict[str, Any] | None:
    row = db.execute(
        "SELECT as_of, sum(rows_read)::BIGINT AS rows, "
        "(sum(rows_quarantined) - coalesce(any_value(forgotten), 0))::BIGINT AS quarantined, "
        "sum(amount_quarantined) AS amount "
        "FROM intake_log LEFT JOIN (SELECT as_of, count(*) AS forgotten FROM quarantine "
        "WHERE source = $source AND reasons = ['forgotten'] GROUP BY as_of) USING (as_of) "
        "WHERE source = $source AND status = 'taken' AND as_of <= $as_of GROUP BY as_of ORDER BY as_of DESC LIMIT 1",
        {"source": source.name, "as_of": as_of},
    ).fetchone()
    return None if row is None else dict(zip(("as_of", "rows", "quarantined", "amount"), row, strict=True))


def _files_exist(source: Source, files_found: int) -> Finding:
    return Finding(
        check="files",
        subject=source.name,
        verdict=_verdict(failed=files_found == 0, stops=source.required),
        value=files_found,
        limit=1,
        message=f"{files_found} files match {source.files or source.connector}."
        + ("" if files_found else f" Put files there, or mend `files` of source {source.name}."),
    )


def _whole_files(db: duckdb.DuckDBPyConnection, source: Source, report: SourceReport) -> Finding:
    """Files refused whole; they stop the run while nothing good has come since, and are told of afterwards."""
    refused = [file for file in report.files if file.status == "quarantined"]
    good_since = db.execute(
        "SELECT count(*) FROM intake_log WHERE source = $source AND status = 'taken' AND as_of >= "
        "(SELECT max(as_of) FROM intake_log "
        "WHERE source = $source AND status = 'quarantined' AND list_contains($uris, uri))",
        {"source": source.name, "uris": [file.uri for file in refused]},
    ).fetchall()[0][0]
    first = f" {refused[0].uri}: {refused[0].reason}" if refused else ""
    return Finding(
        check="whole_files",
        subject=source.name,
        verdict=_verdict(failed=bool(refused), stops=source.checks.on_breach == "stop" and not good_since),
        value=len(refused),
        limit=0,
        message=f"Source {source.name}: {len(refused)} files could not be taken at all.{first}",
    )


def _lateness(db: duckdb.DuckDBPyConnection, source: Source, as_of: date, config: Config) -> Finding:
    """How old the newest order is; a shop may be closed, so this only tells."""
    limit = config.report.fresh_within_days
    age = db.execute(
        "SELECT $as_of::DATE - max(timezone($timezone, last_at)::DATE) FROM intake_log WHERE source = $source "
        "AND status = 'taken' AND timezone($timezone, last_at)::DATE < $as_of",
        {"source": source.name, "as_of": as_of, "timezone": config.timezone},
    ).fetchall()[0][0]
    late = age is not None and age > limit
    return Finding(
        check="freshness",
        subject=source.name,
        verdict=_verdict(failed=late, stops=False),
        value=age or 0,
        limit=limit,
        message=f"The newest order of source {source.name} is {age} days old; the limit is {limit}. "
        "See whether its export still runs, or change report.fresh_within_days."
        if late
        else f"Source {source.name} is fresh.",
    )


def _row_count(source: Source, batch: dict[str, Any]) -> Finding:
    floor = source.checks.min_rows or 1
    return Finding(
        check="rows",
        subject=source.name,
        verdict=_verdict(failed=batch["rows"] < floor, stops=source.checks.on_breach == "stop"),
        value=batch["rows"],
        limit=floor,
        message=f"{batch['rows']} rows in the batch of {batch['as_of']}; at least {floor} are expected. "
        "See whether the export is complete, or change checks.min_rows.",
    )


def _quarantined_share(db: duckdb.DuckDBPyConnection, source: Source, batch: dict[str, Any]) -> Finding:
    share = batch["quarantined"] / batch["rows"] if batch["rows"] else 0.0
    reasons = db.execute(
        "SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason FROM quarantine WHERE source = $source "
        "AND as_of = $as_of AND row > 0) WHERE reason <> 'forgotten' GROUP BY reason ORDER BY 2 DESC, 1 LIMIT 3",
        {"source": source.name, "as_of": batch["as_of"]},
    ).fetchall()
    named = ", ".join(f"{reason} ({rows})" for reason, rows in reasons) or "none"
    return Finding(
        check="quarantined",
        subject=source.name,
        verdict=_verdict(failed=share > source.checks.max_quarantined, stops=source.checks.on_breach == "stop"),
        value=share,
        limit=source.checks.max_quarantined,
        message=f"{batch['quarantined']} of {batch['rows']} rows are quarantined, {batch['amount']} at stake: {named}. "
        f"Table quarantine has the rows; mend the export, the mapping or checks of source {source.name}.",
    )


def _shrinkage(db: duckdb.DuckDBPyConnection, source: Source, batch: dict[str, Any]) -> Finding:
    expected = _expected_rows(db, source, batch)
    drop = max(0.0, 1 - batch["rows"] / expected) if expected else 0.0
    return Finding(
        check="shrinkage",
        subject=source.name,
        verdict=_verdict(failed=drop > source.checks.max_shrink, stops=source.checks.on_breach == "stop"),
        value=drop,
        limit=source.checks.max_shrink,
        message=f"{batch['rows']} rows in the batch of {batch['as_of']}, {round(expected)} expected from earlier "
        "batches. See whether the export is complete, or change checks.max_shrink.",
    )


def _expected_rows(db: duckdb.DuckDBPyConnection, source: Source, batch: dict[str, Any]) -> float:
    """Rows that the last eight batches let expect; 0 without any.

    Sources of facts are judged by rows per day, or the day after the first load of years would look like a collapse.
    """
    rows, batches, first, last, newest = db.execute(
        "WITH earlier AS (SELECT as_of, sum(rows_read) AS rows, min(first_at) AS first_at, max(last_at) AS last_at "
        "FROM intake_log WHERE source = $source AND status = 'taken' AND as_of < $as_of "
        "GROUP BY as_of ORDER BY as_of DESC LIMIT 8) "
        "SELECT sum(rows)::BIGINT, count(*), min(first_at)::DATE, max(last_at)::DATE, (SELECT max(last_at)::DATE "
        "FROM intake_log WHERE source = $source AND status = 'taken' AND as_of = $as_of) FROM earlier",
        {"source": source.name, "as_of": batch["as_of"]},
    ).fetchall()[0]
    if not rows:
        return 0.0
    if first is None or newest is None:
        return float(rows) / float(batches)
    return float(rows / ((last - first).days + 1) * max(1, (newest - last).days))


def _currencies(db: duckdb.DuckDBPyConnection, source: Source, batch: dict[str, Any]) -> Finding:
    rows = db.execute(
        "SELECT count(*) FROM quarantine WHERE source = $source AND as_of = $as_of "
        "AND list_contains(reasons, 'unknown_currency')",
        {"source": source.name, "as_of": batch["as_of"]},
    ).fetchall()[0][0]
    return Finding(
        check="currencies",
        subject=source.name,
        verdict=_verdict(failed=rows > 0, stops=True),
        value=rows,
        limit=0,
        message=f"{rows} rows are in a currency without a rate. Add it to exchange_rates; no rate is guessed.",
    )


def _check_lake(db: duckdb.DuckDBPyConnection) -> list[Finding]:
    """What the log says was kept is what order_lines holds, and orders add up to their lines."""
    in_lines, in_orders = db.sql(
        "SELECT (SELECT coalesce(sum(amount), 0) FROM order_lines), (SELECT coalesce(sum(amount), 0) FROM orders)"
    ).fetchall()[0]
    return [
        Finding(
            check="reconciled",
            subject="orders",
            verdict=_verdict(failed=in_lines != in_orders, stops=True),
            value=float(in_lines - in_orders),
            limit=0,
            message=f"Lines hold {in_lines}, orders {in_orders}. Delete table derived to build orders anew.",
        )
    ]


def _verdict(*, failed: bool, stops: bool) -> str:
    if not failed:
        return "passed"
    return _SEVERE if stops else "told"
