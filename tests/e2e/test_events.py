"""Events in bulk: a burst changes exactly its buyers, and the long-running consumer stops without a loss."""

import json
import signal
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "flows"))

from shop import AS_OF, day_of, desk_of, event, opened_shop, purchase

from flows.refresh_customers import drain
from flows.turns import turn
from tests.e2e.processes import bare_environment, free_port, running, wait_for

pytestmark = pytest.mark.e2e
EVENTS, BUYERS = 10_000, 800
PEOPLE = [f"p{number:04}" for number in range(1_200)]
BATCH, BATCHES = 25, 6
MORNING = AS_OF + timedelta(days=1)


def test_ten_thousand_purchases_update_exactly_their_buyers(tmp_path, prefect_server):
    from flows.refresh_customers import refresh_customers

    config = opened_shop(tmp_path / "shop", PEOPLE)
    before = day_of(config, "customer_features")
    desk = desk_of(config)
    bought = Counter(PEOPLE[number % BUYERS] for number in range(EVENTS))
    burst = [purchase(PEOPLE[number % BUYERS], f"burst-{number}", amount="3.00") for number in range(EVENTS)]
    poison = event("purchase")
    desk.queue.put([*burst[: EVENTS // 2], poison, *burst[EVENTS // 2 :], *burst[:100]])

    address = str(tmp_path / "shop" / "segmentation.yaml")
    summary = refresh_customers(address, push="apply", max_events=20_000)

    assert summary.events == EVENTS + 101
    assert summary.refused == 1
    assert [(one.kind, one.figures) for one in summary.alarms] == [("dead-letters-waiting", {"events_refused": 1})]
    assert desk.queue.waiting() == 0
    after = day_of(config, "customer_features")
    assert after.keys() == before.keys()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == set(bought)
    gained = {name: after[name]["orders"] - before[name]["orders"] for name in changed}
    assert gained == dict(bought), "no event is lost and none counts twice"
    lake = desk.lake
    sent = lake.read(lake.latest("sync_plan_rows")).to_pylist()
    first = {row["plan_id"] for row in sent if len([r for r in sent if r["plan_id"] == row["plan_id"]]) == len(PEOPLE)}
    later = [row["customer_id"] for row in sent if row["plan_id"] not in first and row["change"] != "skip"]
    assert set(later) <= set(bought), "the plans of the refresh name nobody else"
    assert summary.planned == len(later)
    assert summary.delivered == summary.planned
    assert {row["as_of"] for row in sent} == {AS_OF}


def test_serve_finishes_the_batch_at_hand_when_it_is_told_to_stop_and_loses_nothing(tmp_path):
    people = PEOPLE[:60]
    pushed = {"platform": "outbox", "settings": {"folder": "outbox"}, "released": True,
              "fields": {"segment": "segment", "monetary": "spend"}}  # fmt: skip
    config = opened_shop(
        tmp_path / "shop", people, destinations=[pushed], events={"token": "events-token", "batch": BATCH}
    )
    before = day_of(config, "customer_features")
    desk, port, log = desk_of(config), free_port(), tmp_path / "serve.log"
    command = [str(Path(sys.executable).with_name("segmentation")), "serve", "--push", "apply", "--port", str(port),
               "--config", str(tmp_path / "shop" / "segmentation.yaml")]  # fmt: skip
    environment = bare_environment(tmp_path / "home", EVENTS_TOKEN="hush")
    with running(command, environment, log) as consumer:
        wait_for(lambda: ask(port, "GET", "/health") == 200, "answer of the receiver", 60)
        assert ask(port, "POST", "/events", purchase(people[0], "first").body, token="wrong") == 401
        assert ask(port, "POST", "/events", purchase(people[0], "first").body, token="hush") == 202
        wait_for(lambda: "1 events" in log.read_text(), "first event", 60)
        desk.queue.put([purchase(people[number % 60], f"more-{number}") for number in range(BATCHES * BATCH)])
        wait_for(lambda: f"{BATCH} events" in log.read_text(), "first batch", 120)
        consumer.process.send_signal(signal.SIGTERM)
        assert consumer.process.wait(timeout=60) == 0
    told = json.loads(log.read_text()[log.read_text().index("\n{") :])
    left = desk.queue.waiting()
    assert 0 < left < BATCHES * BATCH
    assert left % BATCH == 0, "no batch was left half done"
    assert told["events"] == 1 + BATCHES * BATCH - left
    assert told["delivered"] == told["planned"] > 0
    assert told["notes"] == told["alarms"] == []

    at_once = config.model_copy(update={"events": config.events.model_copy(update={"batch": left})})
    assert drain(desk_of(at_once), "apply", left).events == left
    after = day_of(config, "customer_features")
    assert sum(after[name]["orders"] - before[name]["orders"] for name in people) == 1 + BATCHES * BATCH


def test_a_daily_job_among_refreshes_loses_nothing_doubles_nothing_and_ends_with_what_is_true(tmp_path):
    people = PEOPLE[:60]
    config = opened_shop(tmp_path / "shop", people)
    before = day_of(config, "customer_features")
    desk = replace(desk_of(config), clock=lambda: datetime.now(UTC))  # as the job's own
    command = [str(Path(sys.executable).with_name("segmentation")), "run", "--push", "apply",
               "--config", str(tmp_path / "shop" / "segmentation.yaml"), "--as-of", str(MORNING)]  # fmt: skip
    bought = 0
    with running(command, bare_environment(tmp_path / "home"), tmp_path / "job.log") as job:
        while job.process.poll() is None:
            desk.queue.put([purchase(people[n % 60], f"meanwhile-{n}") for n in range(bought, bought + BATCH)])
            with turn(desk.lake):
                assert drain(desk, "apply", BATCH).notes == ()
            bought += BATCH
        assert job.process.returncode == 0, (tmp_path / "job.log").read_text()
    after = day_of(config, "customer_features", MORNING)
    assert sum(after[name]["orders"] - before[name]["orders"] for name in people) == bought
    ledger = desk.lake.read(desk.lake.latest("sync_ledger"), ["customer_id", "payload"]).to_pylist()
    shown = {row["customer_id"]: json.loads(row["payload"])["vals"]["rs_segment"] for row in ledger}
    assert shown == {name: row["segment"] for name, row in day_of(config, "customer_segments", MORNING).items()}


def ask(port: int, method: str, path: str, body: str = "", token: str = "") -> int:
    """Status of one request; 0 when nobody listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    except ConnectionRefusedError:
        return 0
    finally:
        connection.close()
