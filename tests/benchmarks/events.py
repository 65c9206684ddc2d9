"""How long events take: one, from the receiver's answer to the ledger, and ten thousand, from the queue to the ledger.

python tests/benchmarks/events.py [customers] [single events] [burst]
"""

import json
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "flows"), str(Path(__file__).parents[2])]

from pydantic import SecretStr  # noqa: E402 - the script finds the project first
from shop import desk_of, opened_shop, purchase  # noqa: E402

from flows.receiver import Inbox, receiver  # noqa: E402
from flows.refresh_customers import drain  # noqa: E402
from flows.serve import Consumer  # noqa: E402

FIELDS = {"segment": "segment", "monetary": "spend"}  # a purchase always changes what is pushed
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


def main() -> None:
    """Print one JSON line."""
    customers, singles, burst = (int(text) for text in (*sys.argv[1:], *("2000", "10", "10000")[len(sys.argv) - 1 :]))
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
        told = {
            "customers": customers,
            "event_to_ledger_seconds_median": round(latencies[len(latencies) // 2], 2),
            "event_to_ledger_seconds_worst": round(latencies[-1], 2),
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
