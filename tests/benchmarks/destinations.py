"""Engine speed: 100,000 customers to a platform that takes 10,000 a request and answers at once, through the lake.

    python -m tests.benchmarks.destinations [customers]

The platform costs nothing, so what is measured is the engine: plan, gate, shape, batches, journal, ledger, answers. The
goal is 20,000 customers a second. DuckDB may take 500 MB and spills beyond; Python and Arrow add what they always do.
Then a platform that takes one customer a call and answers after 80 ms: the goal is the account's own limit.
"""

import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations import apply as apply_module
from tasks.destinations import plan as plan_module
from tasks.destinations.apply import apply_plan
from tasks.destinations.connect import connector
from tasks.destinations.limits import unpaced
from tasks.destinations.plan import make_plan
from tasks.destinations.platform import (
    Account,
    Answer,
    Key,
    Limits,
    Member,
    Part,
    Platform,
    Session,
    Target,
    delivered,
    nothing_wanted,
)
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS

LIMIT = "500MB"
LATENCY_SECONDS = 0.08
AS_OF = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 6, tzinfo=UTC)


def shape(member: Member, _target: Target) -> Part:
    return Part(member, {"id": member.key, "email": member.email, "attributes": dict(member.values)})


def push(_session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    return map(delivered, parts)


BULK = Platform(
    slug="bulk",
    title="Bulk",
    docs="",
    api_version="1",
    keys=(Key.CUSTOMER_ID,),
    account=Account,
    limits=Limits(rows=10_000, bytes=50_000_000, per_second=1e6),
    shape=shape,
    push=push,
    check=lambda _session, _target: "",
    erase=lambda _session, _target, _people: [],
    wants=nothing_wanted,
)


def push_one(session: Session, _target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    session.attempt(lambda: time.sleep(LATENCY_SECONDS))
    return map(delivered, parts)


SINGLE = replace(BULK, slug="single", limits=Limits(rows=1, per_second=160.0, parallel=16), push=push_one)
NUMBERS = {"int64": "0", "double": "0.0", "bool": "false", "string": "''"}


def fill(lake: Lake, customers: int, rise: int = 0) -> None:
    """Customers with addresses, five segments, features and three products each."""
    base = f"SELECT 'c' || lpad(i::VARCHAR, 8, '0') AS customer_id, i FROM range({customers}) t(i)"
    values = {
        "customers": {"customer_id": "customer_id", "email": "customer_id || '@example.com'", "sources": "['pos']"},
        "customer_segments": {
            "customer_id": "customer_id",
            "as_of": f"DATE '{AS_OF}'",
            "segment": f"['vip','loyal','new','at_risk','dormant'][1 + (i + {rise} * (i % 10 = 0)::INT) % 5]",
            "audiences": "[]::VARCHAR[]",
            "rule_id": "'r'",
            "rules_version": "'1'",
            "reasons": "[]::VARCHAR[]",
            "recommended_action": "'Say hello'",
        },
        "customer_features": {
            "customer_id": "customer_id",
            "as_of": f"DATE '{AS_OF}'",
            "lifetime_value": "i % 977 + 0.5",
            "churn_probability": "(i % 97) / 97",
            "email_consent": "'unknown'",
        },
    }
    for table, given in values.items():
        contract = CONTRACTS[table]
        columns = []
        for column in contract.columns:
            if column.nullable and column.name not in given:
                continue
            kind = str(column.type)
            empty = "[]::VARCHAR[]" if kind.startswith("list") else NUMBERS.get(kind, "0")
            columns.append(f"{given.get(column.name, empty)} AS {column.name}")
        with duckdb.connect(config={"memory_limit": LIMIT}) as db:
            relation = db.sql(f"SELECT {', '.join(columns)} FROM ({base})")
            lake.replace(table, relation, where={"as_of": AS_OF} if "as_of" in contract.partition_by else None)


def one_at_a_time(customers: int = 1_000) -> None:
    """One customer a call, as many calls at once as the account allows."""
    plan_module.platform_of = apply_module.platform_of = lambda _slug: SINGLE  # type: ignore[assignment]
    destination = DestinationSettings(platform="single", released=True)
    with TemporaryDirectory() as folder:
        lake = Lake(root=str(Path(folder) / "lake"), memory_limit=LIMIT, threads=2)
        fill(lake, customers)
        plan, _ = make_plan(lake, [], [destination], BrakeSettings(), as_of=AS_OF, at=AT, person_key="k")
        started, cpu = time.perf_counter(), time.process_time()
        apply_plan(lake, plan, [destination], connector(), at=AT, person_key="k")
        seconds, used = time.perf_counter() - started, time.process_time() - cpu
        rate, limit = customers / seconds, SINGLE.limits.per_second
        print(
            f"one a call           {rate:6.1f} calls/s, {rate / limit:.0%} of the limit of {limit:g}/s; "
            f"one after the other would be {1 / LATENCY_SECONDS:.1f}/s (CPU {used:.2f} s)"
        )


def main(customers: int) -> None:
    plan_module.platform_of = apply_module.platform_of = lambda _slug: BULK  # type: ignore[assignment]
    destination = DestinationSettings(platform="bulk", released=True)
    brake = BrakeSettings(max_segment_move=1.0, max_leave=1.0)
    connect = connector(pace=unpaced)
    with TemporaryDirectory() as folder:
        lake = Lake(root=str(Path(folder) / "lake"), memory_limit=LIMIT, threads=2)
        fill(lake, customers)
        for name, rise in (("first push", 0), ("one in ten changed", 1), ("nothing changed", 1)):
            fill(lake, customers, rise)
            started, cpu = time.perf_counter(), time.process_time()
            plan, _ = make_plan(lake, [], [destination], brake, as_of=AS_OF, at=datetime.now(UTC), person_key="k")
            planned, cpu_planned = time.perf_counter(), time.process_time()
            summary = apply_plan(lake, plan, [destination], connect, at=AT, person_key="k")
            applied, cpu_applied = time.perf_counter(), time.process_time()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            sent = summary.destinations[0].delivered
            print(
                f"{name:20} plan {planned - started:5.2f} s (CPU {cpu_planned - cpu:5.2f})  "
                f"apply {applied - planned:5.2f} s (CPU {cpu_applied - cpu_planned:5.2f})  {sent:>9,} delivered  "
                f"{sent / (applied - planned):>9,.0f}/s, per CPU second {sent / (cpu_applied - cpu_planned):>9,.0f}  "
                f"peak {peak:.2f} GB"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    one_at_a_time()
