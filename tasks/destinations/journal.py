"""The push journal: each answer is on disk the moment it arrives, and is folded into the lake's tables afterwards.

A Delta commit per request would be slow, a commit at the end would forget everything when the process is killed. So
answers go to small NDJSON files under ``_push/<plan>/<destination>/`` of the lake, and ``settle`` turns them into
sync_ledger, sync_answers and dead_letters. Every step of settling can be repeated.
"""

import fcntl
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, BinaryIO, Self

import duckdb
import orjson

from tasks.destinations.platform import Answer, Verdict
from tasks.errors import TransientError
from tasks.lake import Lake
from tasks.lake.storage import filesystem, is_s3

FOLDER = "_push"
HELD_SECONDS = 1.0  # on object stores: longest time answers wait for company
HELD_LINES = 5_000
STREAM_ROWS = 8_192  # rows in memory at once on their way to a platform or a table; the default is a million
LINE_IDS = 1_000
LINE_BYTES = 4_194_304  # DuckDB sets twice as much aside for each thread that reads
MERGE_SHARE = 0.1  # below this share of the ledger a merge is cheaper than writing the partition anew

_ACCEPTED = f"fresh AND verdict = '{Verdict.DELIVERED}'"
_MINE = "destination = $destination"
_COLUMNS = (
    "{customer_id: 'VARCHAR', verdict: 'VARCHAR', code: 'VARCHAR', reason: 'VARCHAR', native_id: 'VARCHAR', "
    "sent: 'VARCHAR[]'}"
)


class Journal:
    """Appends answers of one push to one destination: to a directory at once, to an object store within a second.

    In a directory the journal is locked while its process lives, so that nobody settles a push that is still running;
    on an object store the flow's concurrency limit keeps pushes apart.
    """

    def __init__(self, lake: Lake, plan_id: str, destination: str) -> None:
        self._folder = folder(lake, plan_id, destination)
        self._files = filesystem(self._folder)
        self._files.makedirs(self._folder, exist_ok=True)
        self._number = len(journal_files(lake, plan_id, destination))
        self._remote = is_s3(self._folder)
        self._lines: list[bytes] = []
        self._since = time.monotonic()
        self._handle: BinaryIO | None = None
        if not self._remote:
            self._handle = open(self._next_name(), "ab")  # noqa: SIM115, PTH123 - closed by __exit__
            lock(self._handle, plan_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        if self._handle is not None:
            self._handle.close()

    def sending(self, customer_ids: Sequence[str]) -> None:
        """Note that these customers are about to be sent: without an answer their outcome is unknown."""
        starts = range(0, len(customer_ids), LINE_IDS)
        self._write([orjson.dumps({"sent": customer_ids[start : start + LINE_IDS]}) for start in starts])

    def answered(self, answers: Iterable[Answer]) -> None:
        """Note what became of them."""
        self._write([orjson.dumps(one) for one in answers])

    def flush(self) -> None:
        """Put everything noted so far on disk."""
        if self._lines:
            with self._files.open(self._next_name(), "wb") as handle:
                handle.write(b"".join(self._lines))
            self._lines.clear()
        self._since = time.monotonic()

    def _write(self, lines: list[bytes]) -> None:
        if self._handle is not None:
            self._handle.write(b"\n".join(lines) + b"\n" if lines else b"")
            self._handle.flush()
            return
        self._lines += [line + b"\n" for line in lines]
        if len(self._lines) >= HELD_LINES or time.monotonic() - self._since >= HELD_SECONDS:
            self.flush()

    def _next_name(self) -> str:
        self._number += 1
        return f"{self._folder}/{self._number:06d}.ndjson"


def lock(handle: BinaryIO, plan_id: str) -> None:
    """Hold the file until this process ends. TransientError: another process holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TransientError(f"Plan {plan_id} is being pushed by another process; wait until it is done.") from None


def folder(lake: Lake, plan_id: str, destination: str) -> str:
    """Where the journal of one push lies."""
    return lake.address(f"{FOLDER}/{plan_id}/{destination}")


def journal_files(lake: Lake, plan_id: str, destination: str) -> list[str]:
    """Addresses of the journal's files, oldest first."""
    return _find(folder(lake, plan_id, destination), "*.ndjson")


def _find(place: str, pattern: str) -> list[str]:
    files = filesystem(place)
    files.invalidate_cache()
    prefix = "s3://" if is_s3(place) else ""
    return sorted(prefix + found for found in files.glob(f"{place}/{pattern}"))


def load_answers(db: duckdb.DuckDBPyConnection, lake: Lake, plan_id: str, destination: str) -> None:
    """Create table ``journal``: the last answer of each customer, and view ``sent``: everyone whose sending was noted.

    A line torn by a kill is left out; it belongs to a request whose answer was never written down.
    """
    files = [f for f in journal_files(lake, plan_id, destination) if filesystem(f).size(f)]
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    source = (
        f"read_ndjson([{listed}], columns = {_COLUMNS}, ignore_errors = true, maximum_object_size = {LINE_BYTES})"
        if files
        else "(SELECT NULL::VARCHAR AS customer_id, NULL::VARCHAR AS verdict, NULL::VARCHAR AS code, "
        "NULL::VARCHAR AS reason, NULL::VARCHAR AS native_id, NULL::VARCHAR[] AS sent WHERE false)"
    )
    db.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW lines AS SELECT *, row_number() OVER () AS line FROM {source};
        CREATE OR REPLACE TEMP TABLE journal AS
        SELECT customer_id, unnest(arg_max({{verdict: verdict, code: coalesce(code, ''), reason: coalesce(reason, ''),
            native_id: coalesce(native_id, '')}}, line))
        FROM lines WHERE customer_id IS NOT NULL AND verdict IS NOT NULL GROUP BY customer_id;
        CREATE OR REPLACE TEMP VIEW sent AS SELECT unnest(sent) AS customer_id FROM lines WHERE sent IS NOT NULL
        """
    )


def settle(lake: Lake, plan_id: str, destination: str, *, at: datetime, unanswered: str) -> dict[str, int]:
    """Fold the journal into sync_ledger, dead_letters and sync_answers and remove it; returns counts by verdict.

    Planned customers without an answer get ``later`` with ``unanswered`` as the code; planned skips get ``skipped``.
    """
    tables = ("sync_plan_rows", "sync_ledger", "sync_answers", "dead_letters")
    with lake.database([lake.latest(table) for table in tables]) as db:
        load_answers(db, lake, plan_id, destination)
        given = {"plan_id": plan_id, "destination": destination, "unanswered": unanswered}
        known = _create_answers(db, given)
        _write_ledger(lake, db, plan_id, destination, at)
        _write_letters(lake, db, plan_id, destination, at)
        counts: dict[str, int] = dict(db.sql("SELECT verdict, count(*) FROM answers GROUP BY verdict").fetchall())
        answers = db.execute(
            "SELECT $plan_id AS plan_id, as_of, $destination AS destination, customer_id, change, verdict, code, "
            "reason, nullif(native_id, '') AS native_id, $at::TIMESTAMPTZ AS \"at\" FROM answers ORDER BY customer_id",
            {"plan_id": plan_id, "destination": destination, "at": at},
        ).to_arrow_reader(STREAM_ROWS)
        if known:
            lake.merge("sync_answers", answers)
        elif counts:
            lake.append("sync_answers", answers, transaction=f"answers:{plan_id}:{destination}")
    remove(lake, plan_id, destination)
    return counts


def _create_answers(db: duckdb.DuckDBPyConnection, given: dict[str, Any]) -> int:
    """Create table ``answers``: one row for each planned customer; returns how many answers were stored before."""
    known: int = db.execute(
        "SELECT count(*) FROM sync_answers WHERE plan_id = $plan_id AND destination = $destination",
        {k: given[k] for k in ("plan_id", "destination")},
    ).fetchall()[0][0]
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE answers AS
        SELECT r.as_of, r.customer_id, r.change, r.digest, r.value_at_stake,
            CASE WHEN r.change = 'skip' THEN '{Verdict.SKIPPED}'
                ELSE coalesce(j.verdict, a.verdict, '{Verdict.LATER}') END AS verdict,
            CASE WHEN r.change = 'skip' THEN coalesce(r.reason, '')
                ELSE coalesce(j.code, a.code, $unanswered) END AS code,
            coalesce(j.reason, a.reason, '') AS reason,
            coalesce(nullif(j.native_id, ''), a.native_id, '') AS native_id,
            j.customer_id IS NOT NULL AS fresh
        FROM sync_plan_rows r
        LEFT JOIN journal j USING (customer_id)
        LEFT JOIN (SELECT * FROM sync_answers WHERE plan_id = $plan_id AND destination = $destination) a
            ON a.customer_id = r.customer_id
        WHERE r.plan_id = $plan_id AND r.destination = $destination
        """,
        given,
    )
    return known


def _write_ledger(lake: Lake, db: duckdb.DuckDBPyConnection, plan_id: str, destination: str, at: datetime) -> None:
    mine = {"destination": destination}
    (accepted,), (held,) = (
        db.execute(f"SELECT count(*) FROM {table} WHERE {condition}", given).fetchall()[0]
        for table, condition, given in (("answers", _ACCEPTED, {}), ("sync_ledger", _MINE, mine))
    )
    if not accepted:
        return
    new = (
        "SELECT $destination AS destination, customer_id, CASE WHEN a.change = 'leave' THEN '' ELSE a.digest END AS "
        "digest, r.payload, nullif(native_id, '') AS native_id, $at::TIMESTAMPTZ AS \"at\" "
        f"FROM (SELECT * FROM answers WHERE {_ACCEPTED}) a JOIN (SELECT customer_id, payload FROM sync_plan_rows "
        f"WHERE plan_id = $plan_id AND as_of = $as_of AND {_MINE}) r USING (customer_id)"
    )
    kept = (
        'SELECT destination, customer_id, digest, payload, native_id, "at" FROM sync_ledger '
        f"WHERE {_MINE} AND customer_id NOT IN (SELECT customer_id FROM answers WHERE {_ACCEPTED})"
    )
    as_of = db.sql("SELECT max(as_of) FROM answers").fetchall()[0][0]
    given = {**mine, "at": at, "plan_id": plan_id, "as_of": as_of}
    if accepted < held * MERGE_SHARE:
        lake.merge("sync_ledger", db.execute(new, given).to_arrow_reader(STREAM_ROWS))
    else:
        rows = db.execute(f"{new} UNION ALL {kept}" if held else new, given).to_arrow_reader(STREAM_ROWS)
        lake.replace("sync_ledger", rows, where=mine)


def _write_letters(lake: Lake, db: duckdb.DuckDBPyConnection, plan_id: str, destination: str, at: datetime) -> None:
    """Refused customers become dead letters; letters of customers who were accepted since are closed."""
    letters = db.execute(
        f"""
        SELECT md5('push' || chr(31) || $destination || chr(31) || a.customer_id) AS letter_id, 'push' AS what,
            $destination AS "where", a.customer_id, a.digest, a.code, a.reason,
            'sync_plan_rows/' || $plan_id AS payload_reference,
            coalesce(l.tries, 0) + (a.verdict = '{Verdict.REJECTED}')::INTEGER AS tries,
            coalesce(l.first_seen, $at::TIMESTAMPTZ) AS first_seen, $at::TIMESTAMPTZ AS last_seen, a.value_at_stake,
            a.verdict = '{Verdict.REJECTED}' AS open
        FROM answers a
        LEFT JOIN (SELECT * FROM dead_letters WHERE what = 'push' AND "where" = $destination) l USING (customer_id)
        WHERE a.fresh AND (a.verdict = '{Verdict.REJECTED}' OR (a.verdict = '{Verdict.DELIVERED}' AND l.open))
        """,
        {"destination": destination, "plan_id": plan_id, "at": at},
    ).to_arrow_table()
    if len(letters):
        lake.merge("dead_letters", letters)


def remove(lake: Lake, plan_id: str, destination: str) -> None:
    """Delete the journal; its content is in the tables."""
    place = folder(lake, plan_id, destination)
    files = filesystem(place)
    if files.exists(place):
        files.rm(place, recursive=True)


def settle_leftovers(lake: Lake, at: datetime) -> list[str]:
    """Fold what interrupted pushes left behind; returns plan/destination of each."""
    found = []
    for path in _find(lake.address(FOLDER), "*/*"):
        plan_id, destination = path.rstrip("/").split("/")[-2:]
        _refuse_running(lake, plan_id, destination)
        settle(lake, plan_id, destination, at=at, unanswered="interrupted")
        found.append(f"{plan_id}/{destination}")
    return found


def _refuse_running(lake: Lake, plan_id: str, destination: str) -> None:
    for name in journal_files(lake, plan_id, destination):
        if not is_s3(name):
            with open(name, "ab") as handle:  # noqa: PTH123 - a path from fsspec
                lock(handle, plan_id)
