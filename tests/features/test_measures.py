"""What is measured about named customers of a small shop."""

import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tasks.config import FeatureSettings
from tasks.features.measures import measure
from tests.features.shop import Line, Order, shop

AS_OF = date(2024, 7, 1)


def measured(orders, as_of=AS_OF, **tables):
    with shop(orders, **tables) as db:
        measure(db, as_of, "Europe/London", FeatureSettings())
        rows = db.sql("SELECT * FROM measures ORDER BY customer_id").to_arrow_table().to_pylist()
    return {row["customer_id"]: row for row in rows}


def test_ana_bought_weekly_and_has_been_silent_since_may():
    ana = measured([Order("ana", f"2024-05-{day:02} 18:00") for day in (1, 8, 15, 22)])["ana"]
    assert ana["recency_days"] == 40
    assert ana["orders"] == ana["active_days"] == 4
    assert ana["interorder_days_mean"] == 7
    assert ana["interorder_days_deviation"] == 0
    assert ana["gap_ratio"] == pytest.approx(40 / 7)
    assert ana["orders_30d"] == 0
    assert ana["orders_90d"] == 4
    assert ana["spend_90d"] == ana["monetary"] == Decimal(40)


def test_ben_who_sent_everything_back_has_spent_nothing_and_ordered_once():
    ben = measured(
        [
            Order("ben", "2024-06-03 10:00", (Line("soap", "30.00"),)),
            Order("ben", "2024-06-05 10:00", (Line("soap", "-30.00", -1),)),
        ]
    )["ben"]
    assert (ben["orders"], ben["monetary"], ben["return_rate"]) == (1, Decimal(0), 1)
    assert ben["recency_days"] == 28


def test_the_morning_of_the_run_is_not_known_yet_in_the_retailers_time_zone():
    # 00:30 on 1 July in London is still June in UTC; 23:30 on 30 June is known.
    late = measured([Order("cleo", "2024-06-30 23:30"), Order("cleo", "2024-07-01 00:30")])["cleo"]
    assert late["orders"] == 1
    assert late["recency_days"] == 1


def test_dan_who_only_registered_is_a_customer_without_orders():
    known = {"customer_id": "dan", "sources": ["web"], "created_at": datetime(2024, 6, 1, 12, tzinfo=UTC)}
    unborn = {"customer_id": "eve", "sources": ["web"], "created_at": datetime(2024, 8, 1, 12, tzinfo=UTC)}
    rows = measured([Order("ana", "2024-05-01 18:00")], customers=[known, unborn])
    assert rows["dan"]["orders"] == 0
    assert rows["dan"]["recency_days"] is None
    assert rows["dan"]["r_score"] is None
    assert rows["dan"]["tenure_days"] == 30
    assert "eve" not in rows


def test_a_customer_whose_first_order_comes_later_is_not_known_yet():
    rows = measured([Order("ana", "2024-05-01 18:00"), Order("fay", "2024-07-02 18:00")])
    assert set(rows) == {"ana"}


def test_guests_are_in_no_customers_numbers():
    assert set(measured([Order(None, "2024-05-01 18:00"), Order("ana", "2024-05-01 18:00")])) == {"ana"}


def test_top_categories_come_by_spend_and_ties_by_name():
    gus = measured([Order("gus", "2024-06-01 10:00", (Line("tea", "10"), Line("cake", "10"), Line("soap", "20")))])[
        "gus"
    ]
    assert gus["top_categories"] == ["bathroom", "bakery", "drinks"]
    assert gus["top_category_share"] == 0.5
    assert gus["distinct_categories"] == gus["distinct_products"] == 3


def test_shares_of_weekend_channel_discount_and_gifts():
    hal = measured(
        [
            Order("hal", "2024-06-01 10:00", (Line("tea", "8", discount="2"),), gift=True),
            Order("hal", "2024-06-03 10:00", (Line("tea", "10"),), channel="web"),
        ]
    )["hal"]
    assert (hal["weekend_share"], hal["web_share"], hal["gift_share"]) == (0.5, 0.5, 0.5)
    assert hal["discount_share"] == pytest.approx(0.1)
    assert hal["main_channel"] == "pos"  # one order each: the name decides
    assert hal["office_hours_share"] == 0.5


def test_ida_is_due_for_the_tea_she_buys_every_fortnight_and_jon_is_not():
    def every(customer, days):
        return [Order(customer, f"2024-{month:02}-{day:02} 10:00") for month, day in days]

    steady = every("ida", [(4, 24), (5, 8), (5, 22), (6, 5), (6, 19)])
    wild = every("jon", [(1, 2), (1, 4), (5, 30), (6, 1), (6, 25)])
    rows = measured([*steady, *wild])
    assert (rows["ida"]["replenishment_due"], rows["jon"]["replenishment_due"]) == (True, False)
    assert not measured(steady, date(2024, 6, 20))["ida"]["replenishment_due"]


def test_an_open_by_a_privacy_proxy_is_no_response():
    def event(number, kind, machine=False):
        at = datetime(2024, 6, 10, 12, tzinfo=UTC)
        common = {
            "customer_id": "ana",
            "campaign_id": f"c{number}",
            "at": at,
            "event_date": at.date(),
            "source": "mail",
        }
        return {**common, "event_id": f"{number}{kind}", "kind": kind, "machine_open": machine}

    events = [event(1, "delivered"), event(1, "open", machine=True), event(2, "delivered"), event(2, "click")]
    ana = measured([Order("ana", "2024-06-01 10:00")], engagement=events)["ana"]
    assert (ana["messages_90d"], ana["opens_90d"], ana["clicks_90d"]) == (2, 0, 1)
    assert ana["engagement_rate"] == 0.5


def test_the_newest_consent_wins_and_denied_beats_granted_at_the_same_time():
    def said(status, day, key="main:ana"):
        at = datetime(2024, 6, day, tzinfo=UTC)
        return {
            "customer_key": key,
            "customer_id": "ana",
            "channel": "email",
            "status": status,
            "source": "crm",
            "changed_at": at,
        }

    orders = [Order("ana", "2024-06-01 10:00")]
    assert measured(orders, consent=[said("denied", 1), said("granted", 2)])["ana"]["email_consent"] == "granted"
    both = [said("granted", 2), said("denied", 2, "crm:7")]
    assert measured(orders, consent=both)["ana"]["email_consent"] == "denied"


def test_the_order_of_rows_and_the_future_change_nothing():
    draw = random.Random(3)
    orders = [
        Order(
            f"c{draw.randint(1, 9)}",
            f"2024-{draw.randint(1, 6):02}-{draw.randint(1, 28):02} {draw.randint(8, 21):02}:15",
            (Line(draw.choice(["tea", "cake", "soap"]), f"{draw.randint(100, 9_999) / 100}", draw.randint(1, 9)),),
        )
        for _ in range(120)
    ]
    future = [Order("c1", "2024-07-03 10:00", (Line("soap", "999"),))]
    first = measured(orders)
    shuffled = draw.sample(orders, len(orders))
    assert measured(shuffled) == first
    assert measured([*orders, *future]) == first
