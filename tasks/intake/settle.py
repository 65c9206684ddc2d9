"""Closing the account of a file: refused rows to quarantine, sums to the log, each exactly once."""

import json
from datetime import datetime

import pyarrow as pa

from tasks.config import Dataset
from tasks.intake.batch import Batch
from tasks.intake.incoming import Incoming
from tasks.intake.reading import quote
from tasks.intake.report import FileReport, Sums
from tasks.lake.contracts import CONTRACTS

_TIMES = {Dataset.ORDERS: "ordered_at", Dataset.SESSIONS: "started_at", Dataset.ENGAGEMENT: '"at"'}
Span = tuple[datetime | None, datetime | None]


def quarantine_rows(incoming: Incoming) -> None:
    """Write the refused rows of ``facts`` with their reasons, as they came."""
    file, source = incoming.file, incoming.source
    if not incoming.db.sql("SELECT 1 FROM facts WHERE reasons <> '' LIMIT 1").fetchall():
        return
    refused = incoming.db.sql(
        f"SELECT {quote(source.name)} AS source, {quote(source.dataset)} AS dataset, "
        f"{quote(source.channel)} AS channel, {quote(file.uri)} AS uri, {quote(file.etag)} AS etag, row, "
        "list_sort(list_distinct(string_split(reasons, ','))) AS reasons, coalesce(raw, '{}') AS raw, "
        f"stake AS amount_at_stake, DATE {quote(incoming.as_of.isoformat())} AS as_of "
        "FROM facts WHERE reasons <> '' ORDER BY row"
    )
    incoming.lake.append("quarantine", refused, transaction=f"quarantine:{source.name}:{file.batch}")


def log_taken(incoming: Incoming) -> FileReport:
    """Write the line of intake_log that ends the taking of a file; ``fates`` says what became of good rows."""
    db, batch = incoming.db, incoming.batch
    read, amount = db.sql("SELECT count(*), coalesce(sum(stake), 0) FROM facts").fetchall()[0]
    values = {"rows_read": read, "amount_read": amount}
    for fate, rows, net in db.sql(
        "SELECT coalesce(fate, 'quarantined'), count(*), sum(stake) FROM facts LEFT JOIN fates USING (row) GROUP BY ALL"
    ).fetchall():
        values |= {f"rows_{fate}": rows, f"amount_{fate}": net}
    at = _TIMES.get(incoming.source.dataset, "NULL::TIMESTAMPTZ")
    span = db.sql(f"SELECT min({at}), max({at}) FROM facts WHERE reasons = ''").fetchall()[0]
    report = FileReport(uri=batch.file.uri, status="taken", sums=Sums(**values))
    if batch.refused_before:
        batch.lake.delete("quarantine", f"{_same_file(batch)} AND row = 0")
    _write_log(batch, report, span)
    return report


def quarantine_file(batch: Batch, reason: str) -> FileReport:
    """Refuse a file whole, as row 0 of its quarantine; said once, however often it is tried."""
    report = FileReport(uri=batch.file.uri, status="quarantined", reason=reason)
    if reason == batch.refused_before:
        return report
    row = {
        **_place(batch),
        "row": 0,
        "reasons": ["unreadable_file"],
        "raw": json.dumps({"file": batch.file.uri, "reason": reason}),
        "amount_at_stake": 0,
    }
    batch.lake.merge("quarantine", pa.Table.from_pylist([row], schema=CONTRACTS["quarantine"].schema))
    _write_log(batch, report, (None, None))
    return report


def _place(batch: Batch) -> dict[str, object]:
    return {
        "source": batch.source.name,
        "dataset": batch.source.dataset.value,
        "channel": batch.source.channel,
        "uri": batch.file.uri,
        "etag": batch.file.etag,
        "as_of": batch.as_of,
    }


def _same_file(batch: Batch) -> str:
    return f"source = {quote(batch.source.name)} AND uri = {quote(batch.file.uri)} AND etag = {quote(batch.file.etag)}"


def _write_log(batch: Batch, report: FileReport, span: Span) -> None:
    row = {
        **_place(batch),
        "status": report.status,
        "reason": report.reason,
        **report.sums.model_dump(),
        "first_at": span[0],
        "last_at": span[1],
    }
    batch.lake.merge("intake_log", pa.Table.from_pylist([row], schema=CONTRACTS["intake_log"].schema))
