"""Reading sources beyond files: each alone, from where it stopped, page by page into ``landing``.

Progress (table ``source_progress``) is written after a page has landed, so a killed run reads at most one page twice;
that page lands under the same name. A source that fails is listed in dead_letters and stops
nobody else; it goes on from its position next time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from tasks.config import Config, Source
from tasks.errors import ConfigurationError, RejectedError, SegmentationError, TransientError
from tasks.intake.dead_letters import bury_source, close_source
from tasks.intake.landing import land_rows, whole_rows
from tasks.intake.sources.connector import Account, Connector, Page, Window
from tasks.intake.sources.registry import connector_of
from tasks.intake.sources.wire import Patience
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS

TABLE = "source_progress"
OK = "ok"
FindSecret = Callable[[str], SecretStr]
_MAPPED = {"redshift", "bigquery"}  # their queries give columns of the retailer's own


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a source was read; see table ``source_progress``."""

    source: str
    read_until: datetime | None
    reading_until: datetime | None
    position: str
    pages: int
    rows: int
    failures: int
    health: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of one source in one run; ``problem`` is empty when it was read to the end."""

    source: str
    rows: int
    pages: int
    problem: str = ""


def pull_all(
    lake: Lake, config: Config, at: datetime, find_secret: FindSecret, patience: Patience | None = None
) -> tuple[Pulled, ...]:
    """Read every configured connector until ``at``; one that fails leaves the others alone."""
    return tuple(
        pull(lake, source, at, find_secret, patience or Patience()) for source in config.sources if source.connector
    )


def pull(lake: Lake, source: Source, at: datetime, find_secret: FindSecret, patience: Patience) -> Pulled:
    """Read one source's changes until ``at``, or what an interrupted read left over; a failure is told, not raised."""
    before = read_progress(lake, source.name, at)
    start = before if before.reading_until else replace(before, reading_until=at, position="", pages=0)
    reached = [start]
    try:
        account = _account(lake, source, find_secret, patience)
        done = _read_window(connector_of(source.connector), account, reached, at)
    except SegmentationError as error:
        return _failed(lake, reached[-1], start, error, at)
    close_source(lake, source.name, at)
    return Pulled(source.name, done.rows - start.rows, done.pages)


def health_rows(config: Config, pulled: Sequence[Pulled], as_of: date) -> list[dict[str, Any]]:
    """The health of the sources as rows of table check_results; a required source that failed stops the run."""
    required = {source.name for source in config.sources if source.required}
    return [
        {
            "as_of": as_of,
            "stage": "sources",
            "check": "reachable",
            "subject": one.source,
            "verdict": ("stopped" if one.source in required else "told") if one.problem else "passed",
            "value": float(one.rows),
            "limit": None,
            "message": one.problem or f"{one.rows} rows in {one.pages} pages.",
        }
        for one in pulled
    ]


def check_source(lake: Lake, source: Source, find_secret: FindSecret, patience: Patience) -> str:
    """Whether the source can be read: what it answered. Never writes; raises what keeps it from being read."""
    return connector_of(source.connector).check(_account(lake, source, find_secret, patience))


def read_progress(lake: Lake, source: str, at: datetime) -> Progress:
    """The progress of a source; one that was never read begins at nothing."""
    with lake.database([lake.latest(TABLE)]) as db:
        rows = db.execute(f"SELECT * FROM {TABLE} WHERE source = ?", [source]).to_arrow_table().to_pylist()
    if not rows:
        return Progress(source, None, None, "", 0, 0, 0, OK, at)
    return Progress(**{**rows[0], "position": rows[0]["position"] or ""})


def _account(lake: Lake, source: Source, find_secret: FindSecret, patience: Patience) -> Account:
    connector = connector_of(source.connector)
    unknown = sorted(set(source.options) - connector.options)
    if unknown or source.dataset not in connector.datasets:
        known = ", ".join(sorted(connector.options))
        told = f"options {', '.join(unknown)} are unknown; known: {known}" if unknown else "it has no such dataset"
        raise ConfigurationError(f"Source {source.name}: {connector.title}: {told}.")
    secret = find_secret(source.secret) if source.secret else None
    return Account(source, secret, lake, patience)


def _read_window(connector: Connector, account: Account, reached: list[Progress], at: datetime) -> Progress:
    """Land page after page; ``reached`` grows with each, so that a failure knows how far it came."""
    start = reached[-1]
    until = start.reading_until or at
    since = start.read_until - timedelta(seconds=connector.overlap_seconds) if start.read_until else None
    for page in connector.read(account, Window(since, until, start.position)):
        reached.append(_land(account, reached[-1], page, until, at))
    done = replace(reached[-1], read_until=until, reading_until=None, position="", failures=0, health=OK, at=at)
    _write(account.lake, done)
    return done


def _land(account: Account, before: Progress, page: Page, until: datetime, at: datetime) -> Progress:
    source = account.source
    if page.rows:
        rows = list(page.rows) if source.connector in _MAPPED else whole_rows(source.dataset, page.rows)
        land_rows(account.lake, source.name, f"{until:%Y%m%dT%H%M%S%f}-{before.pages:06d}", rows)
    after = replace(
        before,
        position=page.position,
        pages=before.pages + 1,
        rows=before.rows + len(page.rows) + page.files,
        at=at,
    )
    _write(account.lake, after)
    return after


def _failed(lake: Lake, reached: Progress, start: Progress, error: SegmentationError, at: datetime) -> Pulled:
    failures = start.failures + 1
    code = {ConfigurationError: "configuration", TransientError: "unreachable"}.get(type(error), "refused")
    # a position that the source no longer takes is not tried for ever: the window begins anew, under new file names
    position = "" if isinstance(error, RejectedError) else reached.position
    _write(lake, replace(reached, position=position, failures=failures, health=str(error), at=at))
    bury_source(lake, start.source, code=code, reason=str(error), tries=failures, at=at)
    return Pulled(start.source, reached.rows - start.rows, reached.pages, str(error))


def _write(lake: Lake, progress: Progress) -> None:
    row: Mapping[str, object] = {name: getattr(progress, name) for name in CONTRACTS[TABLE].names}
    lake.merge(TABLE, pa.Table.from_pylist([row], schema=CONTRACTS[TABLE].schema))
