"""The door of the destinations: plan, apply, replay as Prefect tasks."""

import threading
from contextlib import suppress
from datetime import UTC, date, datetime
from math import ceil

import httpx
from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_API_URL

from tasks.config import Config
from tasks.destinations.apply import Connect, PushSummary, apply_plan
from tasks.destinations.connect import connector, surveyor
from tasks.destinations.forget import forget
from tasks.destinations.forget_files import Places
from tasks.destinations.limits import LocalPace, Pace, Slots, slots_at_once
from tasks.destinations.opt_outs import read_opt_outs
from tasks.destinations.plan import SOURCES, Plan, make_plan
from tasks.destinations.replay import replay
from tasks.errors import ConfigurationError, TransientError
from tasks.lake.opened import open_lake
from tasks.lake.snapshot import Snapshots
from tasks.secrets import find_secret, person_key
from tasks.stage import RETRIES


@task(name="plan push", persist_result=True, result_serializer="json", **RETRIES)
def plan_push(config: Config, as_of: date, known: Snapshots, alarms: tuple[str, ...] = ()) -> Plan:
    """Compare what destinations should look like with the ledger and store the plan; nothing is sent."""
    lake = open_lake(config)
    plan, _ = make_plan(
        lake,
        [known[table] for table in SOURCES if table in known.versions],
        config.destinations,
        config.brake,
        as_of=as_of,
        at=datetime.now(UTC),
        person_key=person_key(lake),
        alarms=alarms,
        survey=surveyor(connect_accounts()),
    )
    for one in plan.destinations:
        get_run_logger().info("%s: %d enter, %d change, %d leave", one.destination, one.enters, one.updates, one.leaves)
    return plan


@task(name="apply push", persist_result=True, result_serializer="json", **RETRIES)
def apply_push(config: Config, plan: Plan, released: tuple[str, ...] = ()) -> PushSummary:
    """Execute exactly the stored plan; a restart continues with whoever has no answer yet."""
    lake = open_lake(config)
    summary = apply_plan(
        lake,
        plan,
        config.destinations,
        connect_accounts(),
        at=datetime.now(UTC),
        person_key=person_key(lake),
        released=released,
    )
    for one in summary.destinations:
        if one.stopped:
            get_run_logger().warning("%s stopped: %s", one.destination, one.stopped)
    return summary


@task(name="plan replay", persist_result=True, result_serializer="json", **RETRIES)
def plan_replay(config: Config, as_of: date, known: Snapshots) -> Plan:
    """Release open dead letters and plan their customers again; apply it with ``apply_push``."""
    lake = open_lake(config)
    plan, _ = replay(
        lake,
        [known[table] for table in SOURCES if table in known.versions],
        config.destinations,
        config.brake,
        as_of=as_of,
        at=datetime.now(UTC),
        person_key=person_key(lake),
    )
    return plan


@task(name="read opt-outs", persist_result=True, result_serializer="json", **RETRIES)
def fetch_opt_outs(config: Config, known: Snapshots) -> Snapshots:
    """Ask every platform who has opted out, bounced or complained, and keep it in suppressions."""
    lake = open_lake(config)
    snapshot, counts = read_opt_outs(
        lake, config.destinations, connect_accounts(), at=datetime.now(UTC), person_key=person_key(lake)
    )
    for name, count in counts.items():
        get_run_logger().info("%s: %d opt-outs known", name, count)
    return known.having(snapshot)


@task(name="forget person", persist_result=False, **RETRIES)
def forget_person(config: Config, who: str, request_id: str) -> Snapshots:
    """Erase one person here and on every platform; the receipts lie in erasure_receipts."""
    lake = open_lake(config)
    snapshot, receipts = forget(
        lake,
        who,
        config.destinations,
        connect_accounts(),
        request_id=request_id,
        buckets=config.buckets,
        at=datetime.now(UTC),
        person_key=person_key(lake),
        places=Places(config.events.queue, config.campaigns.outbox),
    )
    for one in receipts:
        if one["status"] in {"failed", "manual"}:
            get_run_logger().warning("%s: %s", one["place"], one["status"])
    return Snapshots.of([snapshot])


def connect_accounts(pace: Pace | None = None) -> Connect:
    """Sessions with secrets from the environment, Prefect or AWS, paced by Prefect's global limits."""
    return connector(find_secret, pace=pace or GlobalPace())


def limit_name(quota_key: str) -> str:
    """The global concurrency limit that paces an account over all workers."""
    return f"segmentation-{quota_key.replace(':', '-')}"


class GlobalPace:
    """Paces an account within this process and, by a limit of its name on the Prefect server, over all workers.

    A limit that is not there is made as the platform allows; one that somebody set is kept. ``Slots`` says what all
    workers together may send. Without a server of its own the process is alone, and its own pace is enough.
    TransientError: the server cannot be asked; ConfigurationError: its limit is no pace.
    """

    def __init__(self) -> None:
        self._local: Pace = LocalPace()
        self._shared = bool(PREFECT_API_URL.value())
        self._slots: dict[str, Slots] = {}
        self._lock = threading.Lock()

    def __call__(self, quota_key: str, per_second: float) -> None:
        """Wait for this account's next slot."""
        self._local(quota_key, per_second)
        if not self._shared:
            return
        try:
            with self._lock:
                if quota_key not in self._slots:
                    self._slots[quota_key] = _shared_slots(limit_name(quota_key), per_second)
                slots = self._slots[quota_key]
            slots.take()
        except (ConcurrencySlotAcquisitionError, httpx.HTTPError) as error:
            self._slots.pop(quota_key, None)  # the limit may have changed
            raise TransientError(f"Prefect could not be asked for the pace of {quota_key} ({error}).") from None


def _shared_slots(name: str, per_second: float) -> Slots:
    """The slots of the server's limit of this name."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            wanted = GlobalConcurrencyLimitCreate(name=name, limit=ceil(per_second), slot_decay_per_second=per_second)
            with suppress(ObjectAlreadyExists):  # by another worker at this very moment
                client.create_global_concurrency_limit(wanted)
            found = client.read_global_concurrency_limit_by_name(name)
    if not found.slot_decay_per_second:
        raise ConfigurationError(f"The limit {name} is no pace: set its per_second, so that slots come back by time.")
    batch = slots_at_once(min(per_second, found.slot_decay_per_second), found.limit)
    return Slots(lambda count: rate_limit(name, occupy=count, strict=True), batch)
