"""A small shop with a configuration on disk, run through the daily stages without a server."""

import json
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import yaml

from flows.refresh_customers import Desk
from tasks.config import Config, load_config
from tasks.destinations.apply import apply_plan
from tasks.destinations.connect import connector
from tasks.destinations.http import Patience
from tasks.destinations.limits import unpaced
from tasks.destinations.plan import make_plan
from tasks.features.customer_features import write_features
from tasks.intake.concerned import mark_refreshed, state_of
from tasks.intake.intake import take_in
from tasks.intake.landing import landed
from tasks.intake.queue import Delivery, DirectoryQueue
from tasks.lake import Lake, Snapshots
from tasks.lake.opened import open_lake
from tasks.segments.segmentation import read_rules, segment

AS_OF = date(2026, 3, 2)
MORNING = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KEY = "a key for tests"


def order_rows(people, days=400, seed=7):
    """Every person buys at a rhythm of their own; the last order lies before AS_OF."""
    draw = random.Random(seed)
    for number, person in enumerate(people):
        gap = 7 + number % 40
        day = AS_OF - timedelta(days=draw.randint(1, gap))
        for back in range(draw.randint(1, 12)):
            at = day - timedelta(days=gap * back + draw.randint(0, 3))
            if (AS_OF - at).days < days:
                yield {
                    "order_id": f"{person}-{back}", "line": 1, "customer_id": person,
                    "ordered_at": f"{at}T10:00:00Z", "product_id": f"sku-{number % 9}", "quantity": "1",
                    "amount": str(10 + number % 50), "channel": "pos",
                }  # fmt: skip


def write_shop(root: Path, people, **more) -> Path:
    """Files and configuration of the shop; returns the address of the configuration."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "orders.ndjson").open("w") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in order_rows(people))
    with (root / "customers.ndjson").open("w") as handle:
        handle.writelines(json.dumps({"customer_id": p, "email": f"{p}@example.com"}) + "\n" for p in people)
    names = ("order_id", "line", "customer_id", "ordered_at", "product_id", "quantity", "amount", "channel")
    config = {
        "lake": "./lake",
        "timezone": "Europe/London",
        "currency": "GBP",
        "buckets": 4,
        "sources": [
            {"name": "till", "dataset": "orders", "files": "orders.ndjson", "columns": {n: n for n in names}},
            {
                "name": "cards", "dataset": "customers", "files": "customers.ndjson",
                "columns": {"customer_id": "customer_id", "email": "email"},
            },
        ],
        "destinations": [{"platform": "outbox", "settings": {"folder": "outbox"}, "released": True}],
        "brake": {"max_segment_move": 1.0, "max_leave": 1.0},
        **more,
    }  # fmt: skip
    path = root / "segmentation.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def daily(config: Config, as_of=AS_OF) -> Snapshots:
    """Intake, features and segments of a day, as the daily flow runs them."""
    lake = open_lake(config)
    report = take_in(lake, landed(lake, config), as_of, KEY)
    assert not report.stopped, report.stopped
    known = Snapshots.of(report.snapshots)
    written, *_ = write_features(lake, config, as_of, known)
    known = known.having(*written)
    done = segment(lake, config, as_of, known, read_rules(lake, config))
    mark_refreshed(lake, state_of(lake))
    return known.having(*done.snapshots)


def opened_shop(root: Path, people, **more) -> Config:
    """The shop after the daily run of AS_OF, with everything pushed that the run planned."""
    config = load_config(str(write_shop(root, people, **more)))
    daily(config)
    push_all(config)
    return config


def push_all(config: Config) -> None:
    """Plan and apply the whole push of the day, as the daily flow does."""
    desk = desk_of(config)
    plan, _ = make_plan(
        desk.lake, [], config.destinations, config.brake, as_of=AS_OF, at=MORNING, person_key=KEY
    )  # fmt: skip
    apply_plan(desk.lake, plan, config.destinations, desk.connect, at=MORNING, person_key=KEY)


def day_of(config: Config, table: str, as_of=AS_OF) -> dict[str, dict]:
    """The rows of one day by customer."""
    lake = open_lake(config)
    return {row["customer_id"]: row for row in lake.read(lake.latest(table), where={"as_of": as_of}).to_pylist()}


def desk_of(config: Config, at=NOON, secrets=None) -> Desk:
    """Lake, directory queue and outbox of the shop; it is noon."""
    lake = Lake(root=config.lake, memory_limit="1GB", threads=2)
    queue = DirectoryQueue(Path(config.lake) / "_queue", config.events.visible_again_seconds)
    connect = connector(pace=unpaced, patience=Patience(first_seconds=0.0, longest_seconds=0.0))
    return Desk(config, lake, queue, connect, secrets or {}, KEY, clock=lambda: at)


def purchase(customer, order_id, amount="25.00", at="2026-03-02T11:30:00Z", **more):
    """A purchase event of the API as a delivery."""
    event = {
        "id": f"event-{order_id}-{at}", "kind": "purchase", "at": at, "customer": {"customer_id": customer},
        "order": {"order_id": order_id, "lines": [{"product_id": "sku-1", "amount": amount}], **more},
    }  # fmt: skip
    return Delivery(json.dumps(event), (("source", "api"),))


def event(kind, at="2026-03-02T11:30:00Z", **parts):
    """Any other event of the API as a delivery."""
    return Delivery(json.dumps({"id": f"event-{kind}-{at}", "kind": kind, "at": at, **parts}), (("source", "api"),))
