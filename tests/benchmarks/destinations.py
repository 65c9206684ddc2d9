"""Engine speed and memory: customers to a platform that takes 10,000 a request and answers at once, through the lake.

    python -m tests.benchmarks.destinations [--memory-limit 500MB] [customers ...]

The platform costs nothing, so what is measured is the engine: plan, gate, shape, batches, journal, ledger, answers. The
goal is 20,000 customers a second. Then a platform that takes one customer a call and answers after 80 ms: the goal is
the account's own limit. Prints one line of JSON; with several numbers of customers also the ratio of the largest peak
to the smallest.

Tables are filled in a process of their own, so ``peak_gb`` is the push alone. 0.2 GB of it are the interpreter and its
libraries, 0.1 GB a request under construction. The rest is DuckDB, which sorts and joins in memory and spills once
``--memory-limit`` is full: 100,000, 400,000 and 800,000 customers peak at 0.43, 0.57 and 0.62 GB with 250 MB, and
100,000 and 400,000 at 0.43 and 0.71 GB with 500 MB. DuckDB itself asks for 125 MB for each of its threads.
The allocators of DuckDB and deltalake give freed memory back at once, as they are told in the Dockerfile; by default
they keep it for a while, which is another 0.2 GB.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.apply import apply_plan
from tasks.destinations.connect import connector
from tasks.destinations.limits import LocalPace, Pace, unpaced
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

KEEP_NOTHING = "dirty_decay_ms:0,muzzy_decay_ms:0"
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
        with lake.database() as db:
            relation = db.sql(f"SELECT {', '.join(columns)} FROM ({base})")
            lake.replace(table, relation, where={"as_of": AS_OF} if "as_of" in contract.partition_by else None)


def peak_gb() -> float:
    """Most memory this process ever held; ``ru_maxrss`` would count its parent's too."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1e6


def push_all(lake: Lake, platform: Platform, pace: Pace) -> dict[str, Any]:
    """Plan and apply what the lake holds; seconds of the wall and of the processor."""
    for module in ("plan", "apply"):
        setattr(import_module(f"tasks.destinations.{module}"), "platform_of", lambda _slug: platform)  # noqa: B010
    destination = DestinationSettings(platform=platform.slug, released=True)
    brake = BrakeSettings(max_segment_move=1.0, max_leave=1.0)
    started, cpu = time.perf_counter(), time.process_time()
    plan, _ = make_plan(lake, [], [destination], brake, as_of=AS_OF, at=datetime.now(UTC), person_key="k")
    planned, cpu_planned = time.perf_counter(), time.process_time()
    summary = apply_plan(lake, plan, [destination], connector(pace=pace), at=AT, person_key="k")
    seconds, cpu_seconds = time.perf_counter() - planned, time.process_time() - cpu_planned
    sent = summary.destinations[0].delivered
    return {
        "delivered": sent,
        "plan_seconds": round(planned - started, 2),
        "plan_cpu_seconds": round(cpu_planned - cpu, 2),
        "apply_seconds": round(seconds, 2),
        "apply_cpu_seconds": round(cpu_seconds, 2),
        "per_second": round(sent / seconds),
        "per_cpu_second": round(sent / cpu_seconds),
        "peak_gb": round(peak_gb(), 3),
    }


def measure(customers: int, memory_limit: str) -> dict[str, Any]:
    """Push everybody, then one in ten, then nobody, each in a process of its own."""
    apart = multiprocessing.get_context("spawn")
    found: dict[str, Any] = {"customers": customers}
    with TemporaryDirectory() as folder, ProcessPoolExecutor(1, apart, max_tasks_per_child=1) as pool:
        lake = Lake(root=str(Path(folder) / "lake"), memory_limit=memory_limit, threads=2)
        for name, rise in (("first push", 0), ("one in ten changed", 1), ("nothing changed", 1)):
            pool.submit(fill, lake, customers, rise).result()
            found[name] = pool.submit(push_bulk, lake).result()
    return {**found, "peak_gb": max(one["peak_gb"] for one in found.values() if isinstance(one, dict))}


def push_bulk(lake: Lake) -> dict[str, Any]:
    return push_all(lake, BULK, unpaced)


def one_at_a_time(memory_limit: str, customers: int = 1_000) -> dict[str, Any]:
    """One customer a call, as many calls at once as the account allows."""
    with TemporaryDirectory() as folder:
        lake = Lake(root=str(Path(folder) / "lake"), memory_limit=memory_limit, threads=2)
        fill(lake, customers)
        found = push_all(lake, SINGLE, LocalPace())
    limit = SINGLE.limits.per_second
    return {**found, "limit_per_second": limit, "one_after_the_other_per_second": 1 / LATENCY_SECONDS}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("customers", nargs="*", type=int, default=[100_000])
    parser.add_argument("--memory-limit", default="500MB")
    asked = parser.parse_args()
    os.environ.update({"_RJEM_MALLOC_CONF": KEEP_NOTHING, "DUCKDB_JE_MALLOC_CONF": KEEP_NOTHING})  # for the processes
    pushes = [measure(customers, asked.memory_limit) for customers in asked.customers]
    peaks = [one["peak_gb"] for one in pushes]
    found = {"memory_limit": asked.memory_limit, "pushes": pushes, "peak_ratio": round(max(peaks) / min(peaks), 2)}
    print(json.dumps({**found, "one a call": one_at_a_time(asked.memory_limit)}))


if __name__ == "__main__":
    main()
