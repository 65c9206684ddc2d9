"""Taking the new files of a source, each exactly once."""

from collections.abc import Callable
from datetime import date

from tasks.config import Config, Dataset, Source
from tasks.intake.batch import Batch
from tasks.intake.catalogue import land_campaigns, land_products
from tasks.intake.consent import land_consent, take_consent_of_events, take_consent_of_profiles
from tasks.intake.events import land_engagement, land_sessions
from tasks.intake.files import list_files
from tasks.intake.incoming import Incoming, receive
from tasks.intake.order_lines import land_order_lines
from tasks.intake.reading import UnreadableFileError, quote
from tasks.intake.records import land_profiles, record_sightings
from tasks.intake.report import FileReport, SourceReport
from tasks.intake.settle import log_taken, quarantine_file, quarantine_rows
from tasks.lake import Lake


def take_source(lake: Lake, config: Config, source: Source, as_of: date, person_key: str = "") -> SourceReport:
    """Take every file of the source that was not taken yet; what was taken half before is completed.

    The line in intake_log is written last. A file that was quarantined whole is tried again on every run, because the
    remedy may lie in the configuration.
    """
    files = list_files(source)
    known = _known_files(lake, source)
    reports = [
        _take_file(Batch(lake, config, source, file, as_of, person_key, known.get((file.uri, file.etag), "")))
        for file in files
        if known.get((file.uri, file.etag)) != ""
    ]
    return SourceReport(
        source=source.name, dataset=source.dataset, channel=source.channel, files_found=len(files), files=tuple(reports)
    )


def _known_files(lake: Lake, source: Source) -> dict[tuple[str, str], str]:
    """Address and fingerprint of the files in the log, each with the reason of its refusal, empty when it was taken."""
    with lake.database([lake.latest("intake_log")]) as db:
        rows = db.execute(
            "SELECT uri, etag, CASE status WHEN 'quarantined' THEN reason ELSE '' END FROM intake_log "
            "WHERE source = $source",
            {"source": source.name},
        ).fetchall()
    return {(uri, etag): reason for uri, etag, reason in rows}


def _take_file(batch: Batch) -> FileReport:
    try:
        with receive(batch) as incoming:
            _LANDINGS[batch.source.dataset](incoming)
            quarantine_rows(incoming)
            return log_taken(incoming)
    except UnreadableFileError as error:
        return quarantine_file(batch, str(error))


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
    record_sightings(incoming, f"coalesce(changed_at, {quote(incoming.batch.told_at.isoformat())}::TIMESTAMPTZ)")


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
