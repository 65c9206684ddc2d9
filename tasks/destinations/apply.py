"""Apply: exactly the stored plan, batch by batch, each customer with exactly one answer, resumable at any moment."""

import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime

import duckdb
import orjson
from pydantic import BaseModel, ConfigDict

from tasks.config import DestinationSettings
from tasks.destinations.accounts import quota_key
from tasks.destinations.answers import Conversation
from tasks.destinations.brake import check_brake
from tasks.destinations.desired import chosen_fields, key_of
from tasks.destinations.gate import FORGOTTEN, create_blocked
from tasks.destinations.gate import TABLES as GATE_TABLES
from tasks.destinations.journal import STREAM_ROWS, Journal, load_answers, settle
from tasks.destinations.limits import batches, fits
from tasks.destinations.members import member_of
from tasks.destinations.plan import DestinationPlan, Plan
from tasks.destinations.platform import (
    Answer,
    Change,
    Member,
    Part,
    Platform,
    Session,
    Target,
    Verdict,
    rejected,
    skipped,
)
from tasks.destinations.prepare import prepare
from tasks.destinations.quota import note_requests, requests_of_day
from tasks.destinations.registry import platform_of, require_modules
from tasks.destinations.stale import refuse_stale
from tasks.errors import ConfigurationError, SegmentationError
from tasks.lake import Lake

Connect = Callable[[DestinationSettings, Platform], AbstractContextManager[Session]]
"""Opens the conversation with one account: secret resolved, paced, retried."""

COLLECT_AFTER = 200_000


class DestinationPush(BaseModel):
    """What became of the plan at one destination; ``stopped`` says why it ended early."""

    model_config = ConfigDict(frozen=True)

    destination: str
    platform: str
    delivered: int = 0
    skipped: int = 0
    rejected: int = 0
    later: int = 0
    sent_again: int = 0
    created: tuple[str, ...] = ()
    stopped: str = ""


class PushSummary(BaseModel):
    """What became of the plan."""

    model_config = ConfigDict(frozen=True)

    plan_id: str
    destinations: tuple[DestinationPush, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nobody was left for later."""
        return not any(one.later or one.stopped for one in self.destinations)


def apply_plan(
    lake: Lake,
    plan: Plan,
    destinations: Sequence[DestinationSettings],
    connect: Connect,
    *,
    at: datetime,
    person_key: str,
    released: Collection[str] = (),
) -> PushSummary:
    """Execute the stored plan at each of its destinations that is in ``destinations``.

    Raises CheckFailedError before anything is sent when a brake is held or the plan is stale. A destination that
    cannot be reached stops alone; its customers are answered ``later``.
    """
    configured = {one.name: one for one in destinations}
    parts = [part for part in plan.destinations if part.destination in configured]
    check_brake([(part.destination, f) for part in parts for f in part.findings], released)
    for part in parts:
        refuse_stale(lake, part)
    pushed = tuple(
        apply_destination(lake, part, configured[part.destination], connect, at=at, person_key=person_key)
        for part in parts
    )
    return PushSummary(plan_id=plan.plan_id, destinations=pushed)


def apply_destination(
    lake: Lake,
    part: DestinationPlan,
    destination: DestinationSettings,
    connect: Connect,
    *,
    at: datetime,
    person_key: str,
) -> DestinationPush:
    """Execute one destination's share of a checked plan; the same call after a kill continues where it stopped."""
    platform = platform_of(part.platform).sized(part.changes)
    created: tuple[str, ...] = ()
    sent_again, stopped = 0, ""
    try:
        if part.changes:
            require_modules(platform)
            with connect(destination, platform) as session, within_the_day(lake, part, destination, session, at):
                wanted = replace(target_of(part, destination, platform), account=session.account)
                target, things = prepare(platform, session, wanted)
                created = tuple(map(str, things))
                conversation = Conversation(platform, session, target)
                sent_again = _send(lake, part, destination, conversation, person_key)
                stopped = conversation.stopped
    except SegmentationError as error:
        stopped = str(error)
    counts = settle(lake, part.plan_id, part.destination, at=at, unanswered="stopped" if stopped else "interrupted")
    return DestinationPush(
        destination=part.destination,
        platform=part.platform,
        **{str(verdict): counts.get(verdict, 0) for verdict in Verdict},
        sent_again=sent_again,
        created=created,
        stopped=stopped,
    )


@contextmanager
def within_the_day(
    lake: Lake, part: DestinationPlan, destination: DestinationSettings, session: Session, at: datetime
) -> Iterator[None]:
    """Inside, no more requests are sent than the account has left of its day; what was sent is counted."""
    platform = platform_of(part.platform)
    if platform.limits.per_day is None:
        yield
        return
    account, day = quota_key(platform, destination), at.date()
    session.budget = max(platform.limits.per_day - requests_of_day(lake, account, day), 0)
    try:
        yield
    finally:
        note_requests(lake, account, day, f"{part.plan_id}-{part.destination}", session.requests)


def target_of(part: DestinationPlan, destination: DestinationSettings, platform: Platform) -> Target:
    """The target a plan was made for; the account is filled in by whoever opens the session.

    ConfigurationError: the configuration has changed since.
    """
    fields = chosen_fields(destination, platform)
    if tuple((f.ours, f.theirs) for f in fields) != part.fields:
        raise ConfigurationError(f"{part.destination}: fields have changed since plan {part.plan_id}; make a new plan.")
    key = key_of(destination, platform)
    return Target(part.destination, None, fields, part.lists, push_id=part.plan_id, key=key)


def _send(
    lake: Lake, part: DestinationPlan, destination: DestinationSettings, conversation: Conversation, person_key: str
) -> int:
    """Send every planned customer without a final answer; returns how many were sent before without an answer."""
    platform, target = conversation.platform, conversation.target
    tables = ("sync_plan_rows", "sync_answers", *GATE_TABLES)
    with lake.database([lake.latest(table) for table in tables]) as db:
        load_answers(db, lake, part.plan_id, part.destination)
        create_blocked(
            db,
            channel=destination.consent_channel if platform.addresses_people else None,
            granted_only=destination.require_consent,
            person_key=person_key,
        )
        unknown = _create_open(db, part)
        with rare_collections(), Journal(lake, part.plan_id, part.destination) as journal:
            parts = (platform.shape(member, target) for member in _allowed(_open_rows(db), journal))
            requests = _sendable(batches(parts, platform.limits), platform, journal)
            for answers in _conversations(conversation, requests, journal):
                journal.answered(answers)
    return unknown


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage in cycles seldom: customers streaming by make none, and looking costs a quarter of the time."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _create_open(db: duckdb.DuckDBPyConnection, part: DestinationPlan) -> int:
    """Create view ``open_rows``: what is left to send. Returns how many of them were sent before without an answer."""
    mine = f"plan_id = {_text(part.plan_id)} AND destination = {_text(part.destination)}"
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE final AS
        SELECT customer_id FROM journal WHERE verdict <> 'later'
        UNION SELECT customer_id FROM sync_answers WHERE {mine} AND verdict <> 'later';
        CREATE OR REPLACE TEMP VIEW open_rows AS
        SELECT customer_id, change, payload, reason, position
        FROM (SELECT * EXCLUDE reason FROM sync_plan_rows WHERE {mine} AND as_of = DATE '{part.as_of}')
        LEFT JOIN blocked USING (customer_id) ANTI JOIN final USING (customer_id)
        WHERE change <> 'skip'
        """
    )
    unknown: int = db.sql(
        "SELECT count(*) FROM open_rows SEMI JOIN sent USING (customer_id) ANTI JOIN journal USING (customer_id)"
    ).fetchall()[0][0]
    return unknown


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _open_rows(db: duckdb.DuckDBPyConnection) -> Iterator[tuple[Member, str | None]]:
    stream = db.sql("SELECT customer_id, change, payload, reason FROM open_rows ORDER BY position")
    for batch in stream.to_arrow_reader(STREAM_ROWS):
        columns = (column.to_pylist() for column in batch.columns)
        for customer_id, change, payload, reason in zip(*columns, strict=True):
            yield member_of(customer_id, change, orjson.loads(payload)), reason


def _allowed(rows: Iterable[tuple[Member, str | None]], journal: Journal) -> Iterator[Member]:
    """The last gate: who was blocked since the plan was made is not sent; all but the forgotten may still leave."""
    for member, reason in rows:
        if reason is None or (member.change is Change.LEAVE and reason != FORGOTTEN):
            yield member
        else:
            journal.answered([skipped(Part(member, None), reason)])


def _sendable(requests: Iterable[list[Part]], platform: Platform, journal: Journal) -> Iterator[list[Part]]:
    """Refuse a customer who alone is more than a request may hold."""
    for batch in requests:
        if len(batch) == 1 and not fits(batch[0], platform.limits):
            journal.answered([rejected(batch[0], "too_large", f"More than {platform.limits.bytes:,} bytes")])
        else:
            yield batch


def _conversations(
    conversation: Conversation, requests: Iterable[Sequence[Part]], journal: Journal
) -> Iterator[list[Answer]]:
    """Deliver batches, as many at once as the account allows, and stop asking when the conversation has stopped."""
    parallel = conversation.platform.limits.parallel
    if parallel == 1:
        for batch in requests:
            if conversation.stopped:
                return
            journal.sending([one.member.customer_id for one in batch])
            yield conversation.deliver(batch)
        return
    flying: set[Future[list[Answer]]] = set()
    with ThreadPoolExecutor(parallel, thread_name_prefix=conversation.platform.slug) as pool:
        for batch in requests:
            if conversation.stopped:
                break
            journal.sending([one.member.customer_id for one in batch])
            flying.add(pool.submit(conversation.deliver, batch))
            if len(flying) >= parallel:
                landed, flying = wait(flying, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in landed)
        yield from (one.result() for one in as_completed(flying))
