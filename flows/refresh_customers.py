"""Events between two daily runs: drain the queue, and do again only what concerns the customers in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatch
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from prefect import flow, get_run_logger
from pydantic import BaseModel, ConfigDict

from flows.alarms import brake_alarms, push_alarms, quarantine_alarms, refusal_alarms
from flows.turns import turn
from tasks.alerts.messages import Alert
from tasks.alerts.task import raise_alerts
from tasks.config import Config, Source, load_config
from tasks.destinations.apply import Connect, apply_plan
from tasks.destinations.plan import SOURCES, make_plan
from tasks.destinations.task import connect_accounts
from tasks.errors import CheckFailedError, ConfigurationError
from tasks.features.refresh import refresh_features
from tasks.intake.concerned import WATCHED, concerned_customers, mark_refreshed, refreshed_until, state_of
from tasks.intake.contact_files import contact_source
from tasks.intake.dead_letters import Refusal, bury_events, replay_events
from tasks.intake.event import Event, EventKind
from tasks.intake.events_in import land_events, remember_versions
from tasks.intake.intake import take_in
from tasks.intake.landing import landed
from tasks.intake.queue import Message, Queue, open_queue
from tasks.intake.report import IntakeReport
from tasks.intake.tags import resolve_names, tag_customers
from tasks.intake.webhooks import RefusedError, Secrets, read_delivery
from tasks.lake import Lake, Snapshots
from tasks.lake.opened import open_lake
from tasks.secrets import find_secret, person_key
from tasks.segments.refresh import reassign
from tasks.segments.segmentation import read_rules

Mode: TypeAlias = Literal["plan", "apply"]
_READS = (
    *WATCHED,
    "products",
    "order_lines",
    "category_totals",
    "score_cuts",
    "model_parameters",
    "customer_features",
    "customer_segments",
)
_BY_HAND = {EventKind.TAG, EventKind.RECALCULATE}


class RefreshSummary(BaseModel):
    """What became of the events of a run: taken = landed + superseded + refused + without effect."""

    model_config = ConfigDict(frozen=True)

    day: date | None = None
    events: int = 0
    refused: int = 0
    superseded: int = 0
    customers: int = 0
    moved: int = 0
    planned: int = 0
    delivered: int = 0
    rejected: int = 0
    later: int = 0
    notes: tuple[str, ...] = ()
    alarms: tuple[Alert, ...] = ()

    def __add__(self, other: "RefreshSummary") -> "RefreshSummary":
        counts = {
            name: getattr(self, name) + getattr(other, name)
            for name in RefreshSummary.model_fields
            if name not in {"day", "notes", "alarms"}
        }
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        told = {(one.kind, one.where) for one in self.alarms}
        alarms = (*self.alarms, *(one for one in other.alarms if (one.kind, one.where) not in told))
        return RefreshSummary(day=other.day or self.day, notes=notes, alarms=alarms, **counts)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a refresh works with: lake and queue of a configuration, accounts to push to, and the time."""

    config: Config
    lake: Lake
    queue: Queue
    connect: Connect
    secrets: Secrets
    person_key: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def of(cls, config: Config) -> "Desk":
        """The desk of a configuration; all secrets that are needed are found now, not at the first event."""
        lake = open_lake(config)
        secrets: Secrets = {
            platform: [find_secret(shop.secret) for shop in config.events.webhooks if shop.platform == platform]
            for platform in {shop.platform for shop in config.events.webhooks}
        }
        return cls(config, lake, open_queue(config), connect_accounts(), secrets, person_key(lake))

    @property
    def today(self) -> date:
        """The day it is where the retailer is."""
        return self.clock().astimezone(ZoneInfo(self.config.timezone)).date()


@flow(name="refresh-customers", flow_run_name="refresh-customers-{push}", persist_result=False)
def refresh_customers(
    config: str = "segmentation.yaml", push: Literal["plan", "apply"] = "plan", max_events: int = 50_000
) -> RefreshSummary:
    """Take events from the queue and bring exactly the customers they concern up to date.

    Args:
        config: Address of segmentation.yaml on any file system.
        push: "plan" says what would be sent; "apply" sends exactly that.
        max_events: Most events of one run; what is left waits for the next.
    """
    desk = Desk.of(load_config(config))
    with turn(desk.lake):
        summary = drain(desk, push, max_events)
    tell(summary)
    get_run_logger().info(
        "%s events, %s refused: %s customers refreshed, %s moved, %s changes planned, %s delivered",
        *(summary.events, summary.refused, summary.customers, summary.moved, summary.planned, summary.delivered),
    )
    return summary


def tell(summary: RefreshSummary) -> None:
    """Log the notes of a refresh within a flow run, and raise its alarms."""
    for note in summary.notes:
        get_run_logger().warning(note)
    raise_alerts(summary.alarms)


def drain(desk: Desk, push: Mode, max_events: int) -> RefreshSummary:
    """Take the queue batch by batch until it is empty or ``max_events`` are done; no Prefect in here."""
    total = RefreshSummary()
    while total.events < max_events:
        messages = desk.queue.take(min(desk.config.events.batch, max_events - total.events))
        if not messages:
            break
        total += refresh_batch(desk, messages, push)
    return total


def refresh_batch(desk: Desk, messages: Sequence[Message], push: Mode) -> RefreshSummary:
    """One batch from queue to ledger; messages are finished last, so whatever breaks off is done again.

    Nothing is doubled by that: files are taken once, rows are known by their keys, and who is concerned follows from
    the state that features and segments showed last, not from the messages.
    """
    lake, config, at = desk.lake, desk.config, desk.clock()
    events, refusals = _read(desk, messages)
    bury_events(lake, desk.queue.name, refusals, at)
    before = _shown(lake)
    done = land_events(lake, config, events)
    fed, notes = _sources(desk, events, done.sources)
    alarms = refusal_alarms(desk.queue.name, len(refusals))
    if fed:
        report = take_in(lake, config.model_copy(update={"sources": fed}), desk.today, desk.person_key)
        notes += [f"{finding.subject}: {finding.message}" for finding in report.stopped]
        alarms += _alarms_of(report)
    tag_customers(lake, [event for event in events if event.kind is EventKind.TAG])
    summary = _refresh(desk, before, _named(desk, events), push, at)
    remember_versions(lake, done)
    desk.queue.finish(messages)
    counts = {"events": len(messages), "refused": len(refusals), "superseded": done.superseded}
    return summary + RefreshSummary(notes=tuple(notes), alarms=alarms, **counts)


def replay_letters(desk: Desk) -> int:
    """Put dead letters of this queue back into it; returns how many."""
    return replay_events(desk.lake, desk.queue, desk.clock())


def refresh_source(desk: Desk, source: Source, push: Mode) -> RefreshSummary:
    """Take the new files of one source and bring the customers in them up to date."""
    before = _shown(desk.lake)
    alone = desk.config.model_copy(update={"sources": (source,)})
    report = take_in(desk.lake, alone, desk.today, desk.person_key)
    notes = tuple(f"{finding.subject}: {finding.message}" for finding in report.findings if finding.verdict != "passed")
    return _refresh(desk, before, (), push, desk.clock()) + RefreshSummary(notes=notes, alarms=_alarms_of(report))


def _alarms_of(report: IntakeReport) -> tuple[Alert, ...]:
    """Quarantine above its limit in sources that gave something new; what stood there before was told of before."""
    fresh = {source.source for source in report.sources if source.files}
    return quarantine_alarms(finding.model_dump() for finding in report.findings if finding.subject in fresh)


def _shown(lake: Lake) -> Snapshots:
    """The state that features and segments show; before the first refresh it is taken to be the present one."""
    before = refreshed_until(lake)
    if before is None:
        before = state_of(lake)
        mark_refreshed(lake, before)
    return before


def _read(desk: Desk, messages: Sequence[Message]) -> tuple[list[Event], list[Refusal]]:
    """The events in the messages; what nobody understands, or what failed too often, is refused."""
    events: list[Event] = []
    refusals = []
    for message in messages:
        if message.tries > desk.config.events.most_tries:
            reason = f"Offered {message.tries} times without being finished; see the log of the runs."
            refusals.append(Refusal(message.delivery, "too_many_tries", reason, message.tries))
            continue
        try:
            events += read_delivery(message.delivery, desk.secrets)
        except RefusedError as error:
            refusals.append(Refusal(message.delivery, error.code, str(error), message.tries))
    return events, refusals


def _sources(desk: Desk, events: Sequence[Event], fed: Sequence[Source]) -> tuple[tuple[Source, ...], list[str]]:
    """The sources to be taken in: those that events were landed for, and those that new files belong to."""
    chosen = {source.name: source for source in fed}
    notes = []
    uris = sorted({event.uri for event in events if event.kind is EventKind.CONTACT_FILE})
    known = landed(desk.lake, desk.config).sources if uris else ()
    for uri in uris:
        owners = [source for source in known if fnmatch(uri, source.files)]
        try:
            chosen |= {source.name: source for source in owners or [contact_source(desk.config, uri)]}
        except ConfigurationError as error:
            notes.append(str(error))
    return tuple(chosen.values()), notes


def _named(desk: Desk, events: Sequence[Event]) -> list[str]:
    """Customers that a person named, or everyone of the day."""
    by_hand = [event for event in events if event.kind in _BY_HAND]
    day = current_day(desk.lake)
    if day is not None and any(event.everyone for event in by_hand):
        rows = desk.lake.read(desk.lake.latest("customer_features"), ["customer_id"], {"as_of": day})
        return list(rows["customer_id"].to_pylist())
    names = [name for event in by_hand for name in event.customers]
    return sorted(set(resolve_names(desk.lake, names).values())) if names else []


def current_day(lake: Lake) -> date | None:
    """The day whose features and segments are shown: the newest that has both; None before the first daily run."""
    days = set(lake.days("customer_features")) & set(lake.days("customer_segments"))
    return max(days, default=None)


def _refresh(desk: Desk, before: Snapshots, named: Sequence[str], push: Mode, at: datetime) -> RefreshSummary:
    """Measure, assign and push whoever differs between ``before`` and now, and whoever was named."""
    lake, config = desk.lake, desk.config
    after = state_of(lake)
    customers = sorted({*concerned_customers(lake, before, after), *named})
    day = current_day(lake)
    if not customers:
        return RefreshSummary(day=day)
    if day is None:
        return RefreshSummary(notes=("No daily run has finished yet: it will compute these customers.",))
    known = Snapshots.of(lake.latest(table) for table in _READS)
    measured = refresh_features(lake, config, day, desk.today + timedelta(days=1), customers=customers, known=known)
    known = known.having(measured)
    assigned = reassign(lake, day, customers, read_rules(lake, config), known)
    pushed = _push(desk, known.having(*assigned.snapshots), day, customers, push=push, at=at)
    mark_refreshed(lake, after)
    return pushed + RefreshSummary(day=day, customers=len(customers), moved=assigned.moved)


def _push(
    desk: Desk, known: Snapshots, day: date, customers: Sequence[str], *, push: Mode, at: datetime
) -> RefreshSummary:
    lake, config = desk.lake, desk.config
    pinned = [known[table] for table in SOURCES if table in known.versions]
    plan, _ = make_plan(
        lake,
        pinned,
        config.destinations,
        config.brake,
        as_of=day,
        at=at,
        person_key=desk.person_key,
        only=customers,
    )
    planned = RefreshSummary(planned=plan.changes)
    if push != "apply" or not plan.changes:
        return planned
    try:
        done = apply_plan(lake, plan, config.destinations, desk.connect, at=at, person_key=desk.person_key)
    except CheckFailedError as error:  # a person must look; the daily run plans these customers again
        return planned + RefreshSummary(notes=(str(error),), alarms=brake_alarms(plan))
    counts = {name: sum(getattr(one, name) for one in done.destinations) for name in ("delivered", "rejected", "later")}
    stopped = tuple(f"{one.destination} stopped: {one.stopped}" for one in done.destinations if one.stopped)
    return planned + RefreshSummary(notes=stopped, alarms=push_alarms(done, config.alarms), **counts)
