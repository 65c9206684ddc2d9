"""Taking the new files of a source, each exactly once."""

import json
from collections.abc import Callable
from datetime import date

import duckdb
import pyarrow as pa

from tasks.config import Config, Dataset, Source
from tasks.intake.catalogue import land_campaigns, land_products
from tasks.intake.consent import land_consent, take_consent_of_events, take_consent_of_profiles
from tasks.intake.events import land_engagement, land_sessions
from tasks.intake.files import SourceFile, list_files
from tasks.intake.incoming import Incoming, receive
from tasks.intake.order_lines import land_order_lines
from tasks.intake.reading import UnreadableFileError, quote
from tasks.intake.records import land_profiles, record_sightings
from tasks.intake.report import FileReport, SourceReport, Sums
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS


def take_source(lake: Lake, config: Config, source: Source, as_of: date, person_key: str = "") -> SourceReport:
    """Take every file of the source that was not taken yet; what was taken half before is completed.

    The line in intake_log is written last. A file that was quarantined whole is tried again on every run, because the
    remedy may lie in the configuration.
    """
    files = list_files(source)
    taken = _taken(lake, source)
    reports = [
        _take_file(lake, config, source, file, as_of, person_key)
        for file in files
        if (file.uri, file.etag) not in taken
    ]
    return SourceReport(
        source=source.name, dataset=source.dataset, channel=source.channel, files_found=len(files), files=tuple(reports)
    )


def _taken(lake: Lake, source: Source) -> set[tuple[str, str]]:
    with lake.database([lake.latest("intake_log")]) as db:
        return set(
            db.execute(
                "SELECT uri, etag FROM intake_log WHERE source = $source AND status = 'taken'", {"source": source.name}
            ).fetchall()
        )


def _take_file(
    lake: Lake, config: Config, source: Source, file: SourceFile, as_of: date, person_key: str
) -> FileReport:
    try:
        with receive(lake, config, source, file, as_of, person_key) as incoming:
            _land(incoming)
            _quarantine_rows(incoming)
            return _log_taken(incoming)
    except UnreadableFileError as error:
        return _quarantine_file(lake, source, file, as_of, str(error))


def _land(incoming: Incoming) -> None:
    _LANDINGS[incoming.source.dataset](incoming)


def _land_orders(incoming: Incoming) -> None:
    land_order_lines(incoming)
    record_sightings(incoming, "ordered_at")


def _land_people(incoming: Incoming) -> None:
    land_profiles(incoming)
    take_consent_of_profiles(incoming)


def _land_visits(incoming: Incoming) -> None:
    land_sessions(incoming)
    record_sightings(incoming, "started_at")


def _land_answers(incoming: Incoming) -> None:
    land_engagement(incoming)
    take_consent_of_events(incoming)
    record_sightings(incoming, '"at"')


def _land_statements(incoming: Incoming) -> None:
    land_consent(incoming)
    record_sightings(incoming, f"coalesce(changed_at, {quote(incoming.told_at.isoformat())}::TIMESTAMPTZ)")


_LANDINGS: dict[Dataset, Callable[[Incoming], None]] = {
    Dataset.ORDERS: _land_orders,
    Dataset.CUSTOMERS: _land_people,
    Dataset.CONTACTS: _land_people,
    Dataset.PRODUCTS: land_products,
    Dataset.SESSIONS: _land_visits,
    Dataset.ENGAGEMENT: _land_answers,
    Dataset.CAMPAIGNS: land_campaigns,
    Dataset.CONSENT: _land_statements,
}


def _quarantine_rows(incoming: Incoming) -> None:
    file, source = incoming.file, incoming.source
    refused = incoming.db.sql(
        f"SELECT {quote(source.name)} AS source, {quote(source.dataset)} AS dataset, {quote(source.channel)} AS channel, "
        f"{quote(file.uri)} AS uri, {quote(file.etag)} AS etag, row, list_sort(list_distinct(string_split(reasons, ','))) AS reasons, coalesce(raw, '{{}}') AS raw, "
        f"stake AS amount_at_stake, DATE {quote(incoming.as_of.isoformat())} AS as_of "
        "FROM facts WHERE reasons <> '' ORDER BY row"
    )
    if incoming.db.sql("SELECT 1 FROM facts WHERE reasons <> '' LIMIT 1").fetchall():
        incoming.lake.append("quarantine", refused, transaction=f"quarantine:{source.name}:{file.batch}")


def _log_taken(incoming: Incoming) -> FileReport:
    at = {Dataset.ORDERS: "ordered_at", Dataset.SESSIONS: "started_at", Dataset.ENGAGEMENT: '"at"'}
    span = at.get(incoming.source.dataset, "NULL::TIMESTAMPTZ")
    read, amount = incoming.db.sql("SELECT count(*), coalesce(sum(stake), 0) FROM facts").fetchall()[0]
    values = {"rows_read": read, "amount_read": amount}
    for fate, rows, net in incoming.db.sql(
        "SELECT coalesce(fate, 'quarantined'), count(*), sum(stake) FROM facts LEFT JOIN fates USING (row) GROUP BY ALL"
    ).fetchall():
        values |= {f"rows_{fate}": rows, f"amount_{fate}": net}
    first, last = incoming.db.sql(f"SELECT min({span}), max({span}) FROM facts WHERE reasons = ''").fetchall()[0]
    sums = Sums(**values)
    _write_log(incoming.lake, incoming.source, incoming.file, incoming.as_of, "taken", "", sums, (first, last))
    _clear_whole(incoming)
    return FileReport(uri=incoming.file.uri, status="taken", sums=sums)


def _clear_whole(incoming: Incoming) -> None:
    """The file was quarantined whole before and is good now: it is no longer listed."""
    whole = (
        f"source = {quote(incoming.source.name)} AND uri = {quote(incoming.file.uri)} "
        f"AND etag = {quote(incoming.file.etag)} AND row = 0"
    )
    with incoming.lake.database([incoming.lake.latest("quarantine")]) as db:
        listed = db.sql(f"SELECT 1 FROM quarantine WHERE {whole}").fetchall()
    if listed:
        incoming.lake.delete("quarantine", whole)


def _quarantine_file(lake: Lake, source: Source, file: SourceFile, as_of: date, reason: str) -> FileReport:
    row = {
        "source": source.name,
        "dataset": source.dataset.value,
        "channel": source.channel,
        "uri": file.uri,
        "etag": file.etag,
        "row": 0,
        "reasons": ["unreadable_file"],
        "raw": json.dumps({"file": file.uri, "reason": reason}),
        "amount_at_stake": 0,
        "as_of": as_of,
    }
    lake.merge("quarantine", pa.Table.from_pylist([row], schema=CONTRACTS["quarantine"].schema))
    _write_log(lake, source, file, as_of, "quarantined", reason, Sums(), (None, None))
    return FileReport(uri=file.uri, status="quarantined", reason=reason)


def _write_log(
    lake: Lake,
    source: Source,
    file: SourceFile,
    as_of: date,
    status: str,
    reason: str,
    sums: Sums,
    span: tuple[object, object],
) -> None:
    row = {
        "source": source.name,
        "dataset": source.dataset.value,
        "channel": source.channel,
        "uri": file.uri,
        "etag": file.etag,
        "status": status,
        **sums.model_dump(),
        "first_at": span[0],
        "last_at": span[1],
        "reason": reason,
        "as_of": as_of,
    }
    lake.merge("intake_log", pa.Table.from_pylist([row], schema=CONTRACTS["intake_log"].schema))
