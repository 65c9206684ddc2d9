"""The brake: a plan that moves or empties more than it should is stopped before anything leaves the house."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date

import duckdb
from pydantic import BaseModel, ConfigDict

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.platform import Platform
from tasks.errors import CheckFailedError


class Finding(BaseModel):
    """One reason to stop: which check, on what, found against allowed, in words."""

    model_config = ConfigDict(frozen=True)

    check: str
    subject: str
    found: float
    allowed: float
    message: str


def find_brakes(
    db: duckdb.DuckDBPyConnection,
    destination: DestinationSettings,
    platform: Platform,
    limits: BrakeSettings,
    *,
    as_of: date,
    alarms: Sequence[str] = (),
    partial: bool = False,
) -> tuple[Finding, ...]:
    """Every reason to stop this plan; reads tables desired, held and changes and view customer_segments.

    ``partial``: the plan is about a few named customers, so shares of the whole say nothing.
    """
    found = [
        Finding(
            check="failed_check", subject=alarm, found=1, allowed=0, message=f"A check of this run failed: {alarm}."
        )
        for alarm in alarms
    ]
    found += _source(db, as_of)
    found += _volume(db, destination, platform)
    if not partial:
        found += _movement(db, destination, limits)
    return tuple(found)


def check_brake(findings: Collection[tuple[str, Finding]], released: Collection[str] = ()) -> None:
    """Stop unless every finding (destination, finding) is released by ``destination`` or ``destination:check``.

    Raises CheckFailedError naming check, counts and how to release.
    """
    held = held_findings(findings, released)
    if held:
        lines = [f"{d}: {f.check} on {f.subject}: {f.message} Release with --release {d}:{f.check}" for d, f in held]
        raise CheckFailedError("The push was stopped before anything was sent.\n" + "\n".join(lines))


def held_findings(
    findings: Collection[tuple[str, Finding]], released: Collection[str] = ()
) -> list[tuple[str, Finding]]:
    """The findings (destination, finding) that nobody has released by ``destination`` or ``destination:check``."""
    return [(d, f) for d, f in findings if d not in released and f"{d}:{f.check}" not in released]


def _source(db: duckdb.DuckDBPyConnection, as_of: date) -> Iterator[Finding]:
    today, newest = db.execute(
        "SELECT count(*) FILTER (as_of = $as_of), max(as_of) FROM customer_segments", {"as_of": as_of}
    ).fetchall()[0]
    if not today:
        late = f"; the newest are of {newest}" if newest else ""
        yield Finding(
            check="empty_source",
            subject="customer_segments",
            found=0,
            allowed=1,
            message=f"There are no segments for {as_of}{late}. Run the segmentation of that day first.",
        )


def _volume(db: duckdb.DuckDBPyConnection, destination: DestinationSettings, platform: Platform) -> Iterator[Finding]:
    desired, held, sent = db.sql(
        "SELECT (SELECT count(*) FROM desired WHERE reason IS NULL), (SELECT count(*) FROM held), "
        "(SELECT count(*) FROM changes WHERE change NOT IN ('same', 'skip'))"
    ).fetchall()[0]
    if held and not desired:
        yield Finding(
            check="empty_audience",
            subject=destination.name,
            found=0,
            allowed=1,
            message=f"Nobody would be left of {held:,} customers.",
        )
    if not held and sent and not destination.released and not platform.embedded:
        yield Finding(
            check="first_push",
            subject=destination.name,
            found=sent,
            allowed=0,
            message=f"The first push to this account would send {sent:,} customers; say yes once with released: true.",
        )


def _movement(
    db: duckdb.DuckDBPyConnection, destination: DestinationSettings, limits: BrakeSettings
) -> Iterator[Finding]:
    allowed = destination.max_leave if destination.max_leave is not None else limits.max_leave
    held, leaves = db.sql(
        "SELECT count(*), count(*) FILTER (change = 'leave') FROM changes WHERE old_key IS NOT NULL"
    ).fetchall()[0]
    if held >= max(limits.min_segment_size, 1) and leaves / held > allowed:
        yield Finding(
            check="shrink",
            subject=destination.name,
            found=leaves / held,
            allowed=allowed,
            message=f"{leaves:,} of {held:,} customers would leave ({leaves / held:.0%}; {allowed:.0%} is allowed).",
        )
    moved = db.execute(
        """
        SELECT old_segment, count(*) AS known, count(*) FILTER (change = 'leave' OR segment <> old_segment) AS gone
        FROM changes WHERE old_segment IS NOT NULL GROUP BY old_segment
        HAVING known >= $smallest AND gone / known > $allowed ORDER BY old_segment
        """,
        {"smallest": limits.min_segment_size, "allowed": limits.max_segment_move},
    ).fetchall()
    for segment, known, gone in moved:
        yield Finding(
            check="segment_moved",
            subject=segment,
            found=gone / known,
            allowed=limits.max_segment_move,
            message=f"{gone:,} of its {known:,} customers would move or leave ({gone / known:.0%}; "
            f"{limits.max_segment_move:.0%} is allowed).",
        )
