"""How long events take: one, from the receiver's answer to the ledger, and ten thousand, from the queue to the ledger.

One is measured twice: through `segmentation serve`, and through a deployment, where an event starts a flow run on a
worker (a Prefect server and a process worker of their own, polling every two seconds).

python tests/benchmarks/events.py [customers] [single events] [burst] [runs of the deployment]
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "flows"), str(Path(__file__).parents[2])]

import httpx  # noqa: E402
import yaml  # noqa: E402
from pydantic import SecretStr  # noqa: E402 - the script finds the project first
from shop import desk_of, opened_shop, purchase  # noqa: E402

from flows.receiver import Inbox, receiver  # noqa: E402
from flows.refresh_customers import drain  # noqa: E402
from flows.serve import Consumer  # noqa: E402
from tests.e2e.processes import bare_environment, prefect_server, running, wait_for  # noqa: E402

FIELDS = {"segment": "segment", "monetary": "spend"}  # a purchase always changes what is pushed
ROOT = Path(__file__).parents[2]
WINDOW_SECONDS = 60  # the trigger starts at most one run in this time
AFTERNOON = datetime(2026, 3, 2, 15, tzinfo=UTC)


def seconds_to_ledger(desk, port, number) -> float:
    """Post one purchase and wait until the destination's ledger holds its customer."""
    person = f"p{number:05}"
    body = purchase(person, f"single-{number}", amount="2500", at=AFTERNOON.isoformat()).body
    before = desk.lake.latest("sync_ledger").version
    begin = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/events", body, {"Authorization": "Bearer hush"})
    assert connection.getresponse().status == 202
    while not _delivered(desk, before, person):
        time.sleep(0.05)
    return time.monotonic() - begin


def _delivered(desk, before, person) -> bool:
    snapshot = desk.lake.latest("sync_ledger")
    if snapshot.version == before:
        return False
    rows = desk.lake.read(snapshot, ["customer_id", '"at"']).to_pylist()
    newest = max(row["at"] for row in rows)
    return any(row["customer_id"] == person and row["at"] == newest for row in rows)


def measure_serve(config, singles) -> list[float]:
    """Latency of single events through the receiver and the loop."""
    ticks = iter(range(1_000_000))
    desk = desk_of(config)
    desk = replace(desk, clock=lambda: AFTERNOON + timedelta(seconds=next(ticks)))
    consumer = Consumer(desk, "apply", poll_seconds=0.5)
    inbox = Inbox(desk.queue, {}, SecretStr("hush"), arrived=consumer.woken.set)
    server = ThreadingHTTPServer(("127.0.0.1", 0), receiver(inbox))
    threads = [threading.Thread(target=server.serve_forever, daemon=True), threading.Thread(target=consumer.run)]
    for thread in threads:
        thread.start()
    try:
        return [seconds_to_ledger(desk, server.server_port, number) for number in range(singles)]
    finally:
        consumer.stop()
        server.shutdown()
        threads[1].join()


def measure_deployment(desk, folder, runs) -> list[float]:
    """Latency of single events that start a run of refresh-customers, from the event to the ledger."""
    with prefect_server(folder) as api, httpx.Client(base_url=api, timeout=60) as client:
        environment = bare_environment(folder / "home", PREFECT_API_URL=api, PREFECT_WORKER_QUERY_SECONDS="2")
        pool = {"name": "segmentation", "type": "process"}
        place = {"name": "bench", "timezone": "Europe/London", "directory": str(ROOT), "work_pool": pool,
                 "supervisor_pool": pool, "results": {"folder": str(folder / "results")},
                 "config": str(folder / "shop" / "segmentation.yaml")}  # fmt: skip
        (folder / "environment.yaml").write_text(yaml.safe_dump(place))
        command = [sys.executable, "-m", "infra.bootstrap", "--environment", str(folder / "environment.yaml")]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        work = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "segmentation", "--type", "process"]
        with running(work, environment, folder / "worker.log") as worker:
            wait_for(lambda: client.post("/work_pools/segmentation/workers/filter", json={}).json(), "worker")
            assert worker.process.poll() is None
            return [_through_a_run(desk, client, number) for number in range(runs)]


def _through_a_run(desk, client, number) -> float:
    if number:
        time.sleep(WINDOW_SECONDS + 1)
    person = f"p{number:05}"
    desk.queue.put([purchase(person, f"deployment-{number}", amount="2600", at=AFTERNOON.isoformat())])
    before, begin = desk.lake.latest("sync_ledger").version, time.monotonic()
    event = {"id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat(), "payload": {},
             "event": "segmentation.events.waiting",
             "resource": {"prefect.resource.id": "segmentation.queue.bench"}}  # fmt: skip
    client.post("/events", json=[event]).raise_for_status()
    wait_for(lambda: _delivered(desk, before, person), "delivery by a run", 300)
    return time.monotonic() - begin


def main() -> None:
    """Print one JSON line."""
    usual = ("2000", "10", "10000", "3")
    customers, singles, burst, runs = (int(text) for text in (*sys.argv[1:], *usual[len(sys.argv) - 1 :]))
    root = Path(tempfile.mkdtemp(prefix="segmentation-events-"))
    try:
        people = [f"p{number:05}" for number in range(customers)]
        pushed = {"platform": "outbox", "settings": {"folder": "outbox"}, "released": True, "fields": FIELDS}
        config = opened_shop(root / "shop", people, destinations=[pushed])
        latencies = sorted(measure_serve(config, singles))
        desk = desk_of(config, AFTERNOON + timedelta(hours=1))
        begin = time.monotonic()
        desk.queue.put([purchase(people[n % customers], f"burst-{n}", amount=f"{n % 90 + 1}") for n in range(burst)])
        queued = time.monotonic()
        summary = drain(desk, "apply", burst)
        done = time.monotonic()
        through_runs = sorted(measure_deployment(desk, root, runs))
        told = {
            "customers": customers,
            "event_to_ledger_seconds_median": round(latencies[len(latencies) // 2], 2),
            "event_to_ledger_seconds_worst": round(latencies[-1], 2),
            "event_to_ledger_through_a_run_seconds_median": round(through_runs[len(through_runs) // 2], 1),
            "event_to_ledger_through_a_run_seconds_worst": round(through_runs[-1], 1),
            "burst_events": summary.events,
            "burst_customers": summary.customers,
            "burst_delivered": summary.delivered,
            "queue_seconds": round(queued - begin, 2),
            "drain_seconds": round(done - queued, 2),
        }
        print(json.dumps(told))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
