"""A burst of purchases through the flow: exactly the buyers change, nobody is lost, the plan shows only them."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "flows"))

from shop import AS_OF, day_of, desk_of, event, opened_shop, purchase

pytestmark = pytest.mark.e2e
EVENTS, BUYERS = 10_000, 800
PEOPLE = [f"p{number:04}" for number in range(1_200)]


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
