"""Events between daily runs: exactly the customers concerned change, whatever the order and number of deliveries."""

import dataclasses
import json
import os
import shutil
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from shop import AS_OF, KEY, NOON, daily, day_of, desk_of, event, opened_shop, purchase

from flows.refresh_customers import drain, refresh_batch, refresh_source, replay_letters
from tasks.config import load_config
from tasks.errors import TransientError
from tasks.intake.contact_files import contact_source, recognise
from tasks.intake.queue import Delivery

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:deltalake")
PEOPLE = [f"p{number:02}" for number in range(40)]


@pytest.fixture(scope="session")
def morning(tmp_path_factory):
    """The shop after its daily run and push; tests work on copies."""
    root = tmp_path_factory.mktemp("morning") / "shop"
    opened_shop(root, PEOPLE)
    return root


@pytest.fixture
def shop(morning, tmp_path):
    """A copy of the shop as it is after the morning."""
    root = tmp_path / "shop"
    shutil.copytree(morning, root)
    return load_config(str(root / "segmentation.yaml"))


def changed(before, after):
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def send(shop, *deliveries, push="plan", at=NOON):
    desk = desk_of(shop, at)
    desk.queue.put(deliveries)
    return drain(desk, push, 1_000)


def planned(shop):
    """Who stands in the newest plan, and with what change."""
    lake = desk_of(shop).lake
    with lake.database([lake.latest("sync_plan_rows"), lake.latest("sync_plans")]) as db:
        return db.sql(
            "SELECT customer_id, change FROM sync_plan_rows JOIN (SELECT plan_id FROM sync_plans "
            "QUALIFY made_at = max(made_at) OVER ()) "
            "USING (plan_id)"
        ).fetchall()


def test_a_purchase_changes_its_buyer_and_nobody_else(shop):
    features, segments = day_of(shop, "customer_features"), day_of(shop, "customer_segments")
    summary = send(shop, purchase("p07", "new-1", amount="25.00"))
    assert (summary.events, summary.refused, summary.customers) == (1, 0, 1)
    now = day_of(shop, "customer_features")
    assert changed(features, now) == ["p07"]
    assert set(changed(segments, day_of(shop, "customer_segments"))) <= {"p07"}
    assert now["p07"]["orders"] == features["p07"]["orders"] + 1
    assert now["p07"]["monetary"] == features["p07"]["monetary"] + 25
    assert now["p07"]["recency_days"] == 1


@pytest.mark.e2e  # more than one daily job
def test_what_was_measured_by_events_is_what_the_next_morning_measures(shop):
    send(shop, purchase("p07", "new-1"), purchase("p11", "new-2", amount="400"))
    by_event = day_of(shop, "customer_features")
    tomorrow = AS_OF + timedelta(days=1)
    daily(shop, tomorrow)
    by_run = day_of(shop, "customer_features", tomorrow)
    relative = {"as_of", "r_score", "f_score", "m_score", "rfm_score", "horizon_days", "prediction_model"}
    forecast = {"expected", "lifetime", "churn_", "next_order", "p_alive"}
    for person in ("p07", "p11"):
        assert {
            name: value
            for name, value in by_event[person].items()
            if name not in relative and not name.startswith(tuple(forecast))
        } == {name: by_run[person][name] for name in by_run[person] if name in by_event[person]
              and name not in relative and not name.startswith(tuple(forecast))}  # fmt: skip


def test_the_plan_shows_only_the_change_and_a_push_reaches_the_ledger(shop):
    summary = send(shop, purchase("p07", "new-1", amount="2500"), push="apply")
    assert summary.delivered == summary.planned == 1
    assert [name for name, _ in planned(shop)] == ["p07"]
    ledger = desk_of(shop).lake
    newest = max(ledger.read(ledger.latest("sync_ledger")).to_pylist(), key=lambda row: row["at"])
    assert newest["customer_id"] == "p07"


def test_the_same_event_again_changes_nothing(shop):
    send(shop, purchase("p07", "new-1"))
    once = day_of(shop, "customer_features")
    summary = send(shop, purchase("p07", "new-1"), purchase("p07", "new-1"))
    assert summary.events == 2
    assert summary.customers == 0
    assert day_of(shop, "customer_features") == once


def test_of_two_versions_of_an_order_the_newer_counts_in_any_order_of_arrival(shop):
    old = purchase("p07", "new-1", amount="10.00", at="2026-03-02T09:00:00Z")
    new = purchase("p07", "new-1", amount="30.00", at="2026-03-02T10:00:00Z")
    before = day_of(shop, "customer_features")["p07"]["monetary"]
    first = send(shop, new)
    second = send(shop, old)
    assert (first.superseded, second.superseded) == (0, 1)
    assert day_of(shop, "customer_features")["p07"]["monetary"] == before + 30
    assert send(shop, old, new).superseded == 1


def test_a_cancelled_order_is_taken_back(shop):
    before = day_of(shop, "customer_features")["p07"]
    send(shop, purchase("p07", "new-1", at="2026-03-02T09:00:00Z"))
    send(shop, purchase("p07", "new-1", at="2026-03-02T10:00:00Z", cancelled=True))
    after = day_of(shop, "customer_features")["p07"]
    assert (after["orders"], after["monetary"]) == (before["orders"], before["monetary"])


@pytest.mark.e2e  # more than one daily job
def test_two_refreshes_predict_what_one_predicts(morning, tmp_path):
    found = []
    for name, batches in (("one", [("a", "b")]), ("two", [("a",), ("b",)])):
        root = tmp_path / name
        shutil.copytree(morning, root)
        config = load_config(str(root / "segmentation.yaml"))
        for batch in batches:
            send(config, *(purchase("p03", f"new-{order}") for order in batch))
        found.append(day_of(config, "customer_features")["p03"])
    assert found[0] == found[1]


def test_a_new_customer_gets_a_segment_at_once(shop):
    registration = event("registration", customer={"customer_id": "zoe", "email": "zoe@example.com"})
    summary = send(shop, registration, push="apply")
    assert (summary.customers, summary.delivered) == (1, 1)
    assert day_of(shop, "customer_segments")["zoe"]["segment"]
    assert day_of(shop, "customer_features")["zoe"]["prediction_model"].startswith("none")
    assert send(shop, purchase("zoe", "first")).customers == 1
    assert day_of(shop, "customer_features")["zoe"]["orders"] == 1


def test_a_changed_profile_moves_no_prediction_and_no_recency(shop):
    before = day_of(shop, "customer_features")["p07"]
    consent = event("profile_update", customer={"customer_id": "p07", "country": "GB", "consent": {"email": "denied"}})
    send(shop, consent)
    after = day_of(shop, "customer_features")["p07"]
    assert {name for name in before if before[name] != after[name]} == {"country", "email_consent"}


def test_a_returning_member_is_a_visit(shop):
    send(shop, event("loyalty_return", customer={"customer_id": "p07"}))
    assert day_of(shop, "customer_features")["p07"]["days_since_session"] == 1


def test_a_tag_and_a_request_by_hand_look_again_at_whom_they_name(shop):
    summary = send(shop, event("tag", tag="spring", customers=["p07", "nobody"], by="mia"))
    assert summary.customers == 1
    lake = desk_of(shop).lake
    (row,) = lake.read(lake.latest("customer_tags")).to_pylist()
    assert (row["customer_id"], row["tag"], row["by"]) == ("p07", "spring", "mia")
    assert send(shop, event("recalculate", customers=["p01", "p02"])).customers == 2
    assert send(shop, event("recalculate", everyone=True)).customers == len(PEOPLE)


def test_poison_is_put_aside_with_its_reason_and_the_others_go_on(shop):
    poison = [
        Delivery("not json", (("source", "api"),)),
        Delivery('{"id": "x", "kind": "purchase", "at": "2026-03-02T10:00:00Z"}', (("source", "api"),)),
        Delivery("{}", (("signature", "forged"), ("source", "shopify"), ("topic", "orders/create"))),
    ]
    summary = send(shop, *poison, purchase("p07", "new-1"))
    assert (summary.events, summary.refused, summary.customers) == (4, 3, 1)
    desk = desk_of(shop)
    assert desk.queue.take(10) == []
    letters = desk.lake.read(desk.lake.latest("dead_letters")).to_pylist()
    assert sorted(letter["code"] for letter in letters) == ["bad_signature", "not_understood", "not_understood"]
    assert all(letter["open"] and letter["what"] == "event" for letter in letters)


def test_a_dead_letter_is_played_again_after_the_fix(shop):
    import base64
    import hashlib
    import hmac

    from pydantic import SecretStr

    body = json.dumps({
        "id": 1, "email": "p07@example.com", "created_at": "2026-03-02T10:00:00Z", "processed_at": None,
        "updated_at": "2026-03-02T10:00:00Z", "currency": "GBP", "customer": None,
        "line_items": [{"id": 1, "product_id": 2, "sku": "s", "quantity": 1, "price": "9.00"}],
    })  # fmt: skip
    signature = base64.b64encode(hmac.new(b"hush", body.encode(), hashlib.sha256).digest()).decode()
    told = (("signature", signature), ("source", "shopify"), ("topic", "orders/create"))
    assert send(shop, Delivery(body, told)).refused == 1
    desk = desk_of(shop, secrets={"shopify": [SecretStr("hush")]})
    assert replay_letters(desk) == 1
    before = day_of(shop, "customer_features")["p07"]["orders"]
    summary = drain(desk, "plan", 10)
    assert (summary.refused, summary.customers) == (0, 1)
    assert day_of(shop, "customer_features")["p07"]["orders"] == before + 1, "the address joins shop and till"
    assert not any(row["open"] for row in desk.lake.read(desk.lake.latest("dead_letters")).to_pylist())


def test_what_fails_too_often_is_put_aside(shop):
    desk = desk_of(shop)
    desk.queue.put([purchase("p07", "new-1")])
    (message,) = desk.queue.take(1)
    tired = dataclasses.replace(message, tries=shop.events.most_tries + 1)
    assert refresh_batch(desk, [tired], "plan").refused == 1
    (letter,) = desk.lake.read(desk.lake.latest("dead_letters")).to_pylist()
    assert (letter["code"], letter["tries"]) == ("too_many_tries", shop.events.most_tries + 1)


@pytest.mark.e2e  # two shops for each place
@pytest.mark.parametrize("place", ["refresh_features", "reassign", "make_plan", "mark_refreshed"])
def test_a_refresh_that_breaks_off_anywhere_is_finished_by_the_next(shop, monkeypatch, place):
    whole = send_to_copy(shop, purchase("p07", "new-1", amount="77"))
    desk = desk_of(shop)
    desk.queue.put([purchase("p07", "new-1", amount="77")])

    def break_off(*_args, **_kwargs):
        raise TransientError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(f"flows.refresh_customers.{place}", break_off)
        with pytest.raises(TransientError):
            drain(desk, "plan", 10)
    assert drain(desk, "plan", 10).events == 0, "it is still taken"
    later = desk_of(shop, NOON)
    later = dataclasses.replace(later, queue=dataclasses.replace(later.queue, clock=lambda: 4_000_000_000.0))
    summary = drain(later, "plan", 10)
    assert (summary.events, summary.customers) == (1, 1)
    assert day_of(shop, "customer_features")["p07"] == whole


def send_to_copy(shop, delivery):
    copy = Path(shop.lake).parent.parent / "copy"
    shutil.copytree(Path(shop.lake).parent, copy)
    config = load_config(str(copy / "segmentation.yaml"))
    send(config, delivery)
    return day_of(config, "customer_features")["p07"]


def test_before_the_first_daily_run_events_wait_in_the_lake(tmp_path):
    from shop import write_shop

    config = load_config(str(write_shop(tmp_path / "shop", PEOPLE[:3])))
    summary = send(config, purchase("p01", "new-1"))
    assert summary.customers == 0
    assert "daily run" in summary.notes[0]
    daily(config)
    lake = desk_of(config).lake
    assert "new-1" in lake.read(lake.latest("orders"), ["order_id"])["order_id"].to_pylist()


def test_two_people_who_turn_out_to_be_one_become_one(shop):
    send(shop, event("registration", customer={"customer_id": "twin", "email": "twin@example.com"}), push="apply")
    summary = send(
        shop,
        event(
            "profile_update", at="2026-03-02T11:45:00Z", customer={"customer_id": "twin", "email": "p07@example.com"}
        ),
        push="apply",
        at=NOON + timedelta(hours=1),
    )
    assert summary.customers == 2
    assert "twin" not in day_of(shop, "customer_segments")
    assert "twin" not in day_of(shop, "customer_features")
    assert ("twin", "leave") in planned(shop)


def test_a_file_of_contacts_is_taken_by_the_names_of_its_columns(shop, tmp_path):
    address = tmp_path / "fair.csv"
    address.write_text("E-Mail,First Name,Opt-in\nnew@example.com,Nora,true\np07@example.com,Paul,false\n")
    os.utime(address, (NOON.timestamp(), NOON.timestamp()))
    desk = desk_of(shop)
    source = contact_source(shop, str(address))
    summary = refresh_source(desk, source, "plan")
    assert summary.customers == 2
    assert day_of(shop, "customer_features")["p07"]["email_consent"] == "denied"
    assert refresh_source(desk, source, "plan").customers == 0


def test_an_announced_file_that_belongs_to_a_source_is_taken_as_that_source(shop):
    root = Path(shop.lake).parent
    with (root / "customers.ndjson").open("a") as handle:
        handle.write(json.dumps({"customer_id": "yan", "email": "yan@example.com"}) + "\n")
    summary = send(shop, event("contact_file", uri=str(root / "customers.ndjson")))
    assert summary.customers == 1
    assert "yan" in day_of(shop, "customer_segments")


def test_columns_are_recognised_whatever_their_spelling():
    assert recognise(["E-mail Address", "ZIP", "Surname", "whatever"]) == {
        "email": '"E-mail Address"',
        "last_name": '"Surname"',
        "postcode": '"ZIP"',
    }


def test_days_are_the_retailers(shop):
    late = desk_of(shop, datetime(2026, 3, 2, 23, 30, tzinfo=UTC))
    assert late.today == date(2026, 3, 2)
    assert late.person_key == KEY
