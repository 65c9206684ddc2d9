"""Plan: desired state minus ledger. Who enters, leaves and changes, what it costs, whom it skips and why."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.brake import Finding, find_brakes
from tasks.destinations.desired import NOT_IN_AUDIENCE, chosen_fields, create_desired, key_of, pointer
from tasks.destinations.gate import FORGOTTEN
from tasks.destinations.journal import STREAM_ROWS, settle_leftovers
from tasks.destinations.platform import Field, Platform, Target
from tasks.destinations.quota import days_needed
from tasks.destinations.registry import platform_of
from tasks.errors import ConfigurationError
from tasks.lake import Lake, Snapshot
from tasks.lake.contracts import CONTRACTS

SOURCES = (
    "customers", "consent", "customer_features", "customer_segments", "customer_recommendations", "holdouts",
    "campaigns", "offers",
)  # fmt: skip
OWN = ("suppressions", "forgotten", "sync_ledger", "dead_letters")
REJECTED_BEFORE = "rejected_before"

Survey = Callable[[DestinationSettings, Platform, Target], Sequence[str]]
"""Asks a platform, reading only, what a push would have to create there first."""


class DestinationPlan(BaseModel):
    """What a push to one destination would do."""

    model_config = ConfigDict(frozen=True)

    plan_id: str
    destination: str
    platform: str
    as_of: date
    desired: int = 0
    known: int = 0
    enters: int = 0
    updates: int = 0
    moves: int = 0
    leaves: int = 0
    unchanged: int = 0
    skipped: Mapping[str, int] = {}
    changed_fields: Mapping[str, int] = {}
    requests: int = 0
    bytes: int = 0
    minutes: float = 0.0
    days: int = 1
    prepare: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    lists: tuple[str, ...] = ()
    worth: float = 0.0
    ledger_version: int = -1
    inputs: tuple[str, ...] = ()

    @property
    def changes(self) -> int:
        """Customers that would be sent."""
        return self.enters + self.updates + self.moves + self.leaves


class Plan(BaseModel):
    """One plan for all destinations; applying executes exactly this."""

    model_config = ConfigDict(frozen=True)

    plan_id: str
    as_of: date
    destinations: tuple[DestinationPlan, ...] = ()

    @property
    def changes(self) -> int:
        """Customers that would be sent, over all destinations."""
        return sum(one.changes for one in self.destinations)


def make_plan(
    lake: Lake,
    snapshots: Sequence[Snapshot],
    destinations: Sequence[DestinationSettings],
    brake: BrakeSettings,
    *,
    as_of: date,
    at: datetime,
    person_key: str,
    alarms: Sequence[str] = (),
    survey: Survey | None = None,
    only: Sequence[str] = (),
) -> tuple[Plan, Snapshot]:
    """Compare the desired state of ``as_of`` with the ledger and store the plan in sync_plans and sync_plan_rows.

    ``snapshots`` pin the tables named in ``SOURCES`` (those left out are read at their newest); answers of an
    interrupted push are written down first. ``alarms`` are failed checks of the run and become brakes. ``only``
    limits the plan to these customers. The same inputs give the same plan id and rows.
    Raises ConfigurationError for unknown platforms, columns and keys, all destinations at once.
    """
    settle_leftovers(lake, at)
    agreed = _agree(destinations)
    pinned = {snapshot.table: snapshot for snapshot in snapshots}
    used = [pinned.get(table) or lake.latest(table) for table in SOURCES] + [lake.latest(table) for table in OWN]
    plan_id = _identify(as_of, used, [*destinations, brake], [*alarms, *sorted(only)])
    question = _Question(lake, used, brake, as_of, plan_id, person_key, tuple(alarms), survey, tuple(only))
    made = tuple(_plan_one(question, destination, platform, fields) for destination, platform, fields in agreed)
    plan = Plan(plan_id=plan_id, as_of=as_of, destinations=made)
    return plan, store_summaries(lake, plan, at)


def read_plan(lake: Lake, plan_id: str | None = None) -> Plan:
    """A stored plan; the newest without an id. ConfigurationError when there is none."""
    with lake.database([lake.latest("sync_plans")]) as db:
        found = db.execute(
            "SELECT note FROM sync_plans WHERE plan_id = coalesce($plan_id, "
            "(SELECT arg_max(plan_id, (made_at, plan_id)) FROM sync_plans)) ORDER BY destination",
            {"plan_id": plan_id},
        ).fetchall()
    if not found:
        raise ConfigurationError(f"There is no stored plan {plan_id or ''}; make one with `segmentation plan`.")
    parts = tuple(DestinationPlan.model_validate_json(note) for (note,) in found)
    return Plan(plan_id=parts[0].plan_id, as_of=parts[0].as_of, destinations=parts)


def store_summaries(lake: Lake, plan: Plan, at: datetime) -> Snapshot:
    """Write one row per destination into sync_plans, once per plan."""
    rows = [
        {
            **part.model_dump(include=set(CONTRACTS["sync_plans"].names)),
            "skipped": sum(part.skipped.values()),
            "state": "braked" if part.findings else "planned",
            "note": part.model_dump_json(),
            "made_at": at,
        }
        for part in plan.destinations
    ]
    schema = CONTRACTS["sync_plans"].schema
    return lake.append("sync_plans", pa.Table.from_pylist(rows, schema=schema), transaction=f"plan:{plan.plan_id}")


def _agree(
    destinations: Sequence[DestinationSettings],
) -> list[tuple[DestinationSettings, Platform, tuple[Field, ...]]]:
    """Each destination with its platform and fields; every configuration problem in one error."""
    agreed, problems = [], []
    for destination in destinations:
        try:
            platform = platform_of(destination.platform)
            key_of(destination, platform)
            agreed.append((destination, platform, chosen_fields(destination, platform)))
        except ConfigurationError as error:
            problems.append(str(error))
    names = [destination.name for destination in destinations]
    problems += [
        f"Destination {name} is configured twice." for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    return agreed


def _identify(as_of: date, used: Sequence[Snapshot], settings: Sequence[BaseModel], words: Sequence[str]) -> str:
    """The same question always has the same plan id."""
    asked = [as_of.isoformat(), *map(str, used), *(one.model_dump_json() for one in settings), *words]
    return f"{as_of:%Y%m%d}-{sha256(json.dumps(asked).encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class _Question:
    """What is the same for all destinations of one plan."""

    lake: Lake
    used: Sequence[Snapshot]
    brake: BrakeSettings
    as_of: date
    plan_id: str
    person_key: str
    alarms: tuple[str, ...]
    survey: Survey | None
    only: tuple[str, ...]


def _plan_one(
    asked: _Question, destination: DestinationSettings, platform: Platform, fields: tuple[Field, ...]
) -> DestinationPlan:
    """Plan one destination and write its rows, streamed: memory does not grow with the customers."""
    as_of = asked.as_of
    with asked.lake.database(asked.used) as db:
        create_desired(db, destination, platform, fields, as_of=as_of, person_key=asked.person_key)
        _create_changes(db, destination, asked.only)
        cleared = json.dumps({f.theirs: None for f in fields if f.owned})
        counts = _count(db, platform, fields, cleared)
        lists = tuple(name for (name,) in db.sql("SELECT DISTINCT unnest(lists) l FROM desired ORDER BY l").fetchall())
        findings = find_brakes(
            db, destination, platform, asked.brake, as_of=as_of, alarms=asked.alarms, partial=bool(asked.only)
        )
        db.execute("DROP TABLE desired; DROP TABLE held")  # sorting needs the room
        rows = _rows(db, asked.plan_id, destination.name, as_of, cleared)
        asked.lake.append("sync_plan_rows", rows, transaction=f"plan:{asked.plan_id}:{destination.name}")
    target = Target(destination.name, None, fields, lists, push_id=asked.plan_id, key=key_of(destination, platform))
    return DestinationPlan(
        plan_id=asked.plan_id,
        destination=destination.name,
        platform=platform.slug,
        as_of=as_of,
        **counts,
        minutes=round(counts["requests"] / platform.limits.per_second / 60, 2),
        days=days_needed(counts["requests"], platform.limits.per_day),
        prepare=tuple(asked.survey(destination, platform, target)) if asked.survey and counts["requests"] else (),
        findings=findings,
        fields=tuple((f.ours, f.theirs) for f in fields),
        lists=lists,
        ledger_version=next((s.version for s in asked.used if s.table == "sync_ledger" and s.version is not None), -1),
        inputs=tuple(map(str, asked.used)),
    )


def _create_changes(db: duckdb.DuckDBPyConnection, destination: DestinationSettings, only: Sequence[str]) -> None:
    """Create table ``changes``: desired against ledger, one row per customer that is known to either."""
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE held AS
        SELECT customer_id, digest, native_id, payload->>'key' AS key, payload->>'email' AS email,
            payload->>'phone' AS phone, payload->>'segment' AS segment, (payload->'vals')::VARCHAR AS vals,
            coalesce((payload->'lists')::VARCHAR[], []::VARCHAR[]) AS lists
        FROM sync_ledger WHERE destination = $name AND digest <> '';
        CREATE OR REPLACE TEMP TABLE refused AS
        SELECT customer_id, digest FROM dead_letters WHERE open AND what = 'push' AND "where" = $name;
        CREATE OR REPLACE TEMP TABLE changes AS
        SELECT coalesce(d.customer_id, h.customer_id) AS customer_id,
            CASE WHEN h.customer_id IS NULL THEN
                    CASE WHEN d.reason IS NOT NULL OR r.customer_id IS NOT NULL THEN 'skip' ELSE 'enter' END
                 WHEN d.reason = '{FORGOTTEN}' THEN 'skip'
                 WHEN d.customer_id IS NULL OR d.reason IS NOT NULL THEN 'leave'
                 WHEN d.digest = h.digest THEN 'same'
                 WHEN r.customer_id IS NOT NULL THEN 'skip'
                 WHEN d.key <> h.key THEN 'move'
                 ELSE 'update' END AS change,
            CASE WHEN d.reason IS NOT NULL THEN d.reason WHEN d.customer_id IS NULL THEN '{NOT_IN_AUDIENCE}'
                 WHEN r.customer_id IS NOT NULL THEN '{REJECTED_BEFORE}' END AS reason,
            d.segment, h.segment AS old_segment, d.key, d.email, d.phone, d.vals,
            coalesce(d.lists, []) AS lists, coalesce(d.digest, '') AS digest,
            coalesce(d.worth, 0) AS worth, h.key AS old_key, h.email AS old_email, h.phone AS old_phone,
            h.vals AS old_vals, coalesce(h.lists, []) AS old_lists, coalesce(h.native_id, '') AS native_id
        FROM desired d
        FULL JOIN held h ON h.customer_id = d.customer_id
        LEFT JOIN refused r ON r.customer_id = d.customer_id AND r.digest = d.digest
        WHERE $all OR coalesce(d.customer_id, h.customer_id) IN (SELECT unnest($only))
        """.replace("$name", "'" + destination.name.replace("'", "''") + "'"),
        {"all": not only, "only": list(only)},
    )


def _count(db: duckdb.DuckDBPyConnection, platform: Platform, fields: Sequence[Field], cleared: str) -> dict[str, Any]:
    by_change: dict[str, int] = dict(db.sql("SELECT change, count(*) FROM changes GROUP BY change").fetchall())
    skipped = db.sql(
        "SELECT reason, count(*) FROM changes WHERE change = 'skip' GROUP BY reason ORDER BY reason"
    ).fetchall()
    changed = ", ".join(
        f"count(*) FILTER ((vals->>{pointer(f.theirs)}) IS DISTINCT FROM (old_vals->>{pointer(f.theirs)}))"
        for f in fields
    )
    moved = db.sql(f"SELECT {changed} FROM changes WHERE change = 'update'").fetchall()[0]
    changes = sum(count for change, count in by_change.items() if change not in {"skip", "same"})
    limits = platform.sized(changes).limits
    requests, size, worth = db.execute(
        """
        SELECT coalesce(sum(greatest(ceil(customers / $rows), ceil(size / $bytes))), 0)::BIGINT,
            coalesce(sum(size), 0)::BIGINT, coalesce(sum(worth), 0)
        FROM (SELECT count(*) AS customers, sum(strlen(coalesce(vals, $cleared)) + 80) AS size, sum(worth) AS worth
              FROM changes WHERE change NOT IN ('skip', 'same')
              GROUP BY change = 'leave', CASE WHEN $lists THEN lists ELSE [] END,
                  CASE WHEN $lists THEN old_lists ELSE [] END)
        """,
        {
            "rows": float(limits.rows),
            "bytes": float(limits.bytes),
            "lists": platform.splits_by_lists,
            "cleared": cleared,
        },
    ).fetchall()[0]
    known = db.sql("SELECT count(*) FROM held").fetchall()[0][0]
    desired = db.sql("SELECT count(*) FROM desired WHERE reason IS NULL").fetchall()[0][0]
    return {
        "desired": desired,
        "known": known,
        "enters": by_change.get("enter", 0),
        "updates": by_change.get("update", 0),
        "moves": by_change.get("move", 0),
        "leaves": by_change.get("leave", 0),
        "unchanged": by_change.get("same", 0),
        "skipped": dict(skipped),
        "changed_fields": {f.theirs: n for f, n in zip(fields, moved, strict=True) if n},
        "requests": requests,
        "bytes": size,
        "worth": round(worth, 2),
    }


def _rows(
    db: duckdb.DuckDBPyConnection, plan_id: str, destination: str, as_of: date, cleared: str
) -> pa.RecordBatchReader:
    """The plan's rows in the order in which they are sent: leavers first, then by the lists they concern."""
    return db.execute(
        f"""
        SELECT $plan_id AS plan_id, $as_of AS as_of, $destination AS destination, customer_id, change, reason, digest,
            CASE change
                WHEN 'skip' THEN '{{}}'
                WHEN 'enter' THEN json_object('key', key, 'email', email, 'phone', phone, 'vals', vals::JSON,
                    'lists', lists, 'joins', lists, 'segment', segment)::VARCHAR
                WHEN 'leave' THEN json_object('key', old_key, 'email', old_email, 'phone', old_phone,
                    'vals', $cleared::JSON, 'leaves', old_lists, 'native_id', native_id)::VARCHAR
                WHEN 'move' THEN json_object('key', key, 'email', email, 'phone', phone, 'vals', vals::JSON,
                    'lists', lists, 'joins', lists, 'segment', segment, 'native_id', native_id, 'old_key', old_key,
                    'old_email', old_email, 'old_phone', old_phone, 'cleared', $cleared::JSON,
                    'old_lists', old_lists)::VARCHAR
                ELSE json_object('key', key, 'email', email, 'phone', phone, 'vals', vals::JSON,
                    'old_vals', old_vals::JSON, 'lists', lists,
                    'joins', list_filter(lists, lambda one: NOT list_contains(old_lists, one)),
                    'leaves', list_filter(old_lists, lambda one: NOT list_contains(lists, one)),
                    'segment', segment, 'native_id', native_id)::VARCHAR
            END AS payload,
            worth AS value_at_stake, row_number() OVER () AS position
        FROM (
            SELECT * FROM changes
            WHERE change <> 'same' AND NOT (change = 'skip' AND reason = '{NOT_IN_AUDIENCE}')
            ORDER BY change = 'skip', CASE change WHEN 'leave' THEN 0 WHEN 'move' THEN 1 ELSE 2 END,
                lists, old_lists, customer_id
        )
        """,
        {"plan_id": plan_id, "as_of": as_of, "destination": destination, "cleared": cleared},
    ).to_arrow_reader(STREAM_ROWS)
