"""What named people are offered, and why."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tasks.errors import CheckFailedError
from tasks.recommendations.models import Champions
from tasks.recommendations.settings import KindShares, RecommendationSettings
from tests.recommendations.market import AS_OF, Bought, every, lists, shown

EASE = Champions("half_life", "ease_popular")
YESTERDAY = AS_OF - timedelta(days=1)


def food(product_id, **more):
    return {"product_id": product_id, "category": "food", **more}


def test_ana_who_buys_milk_weekly_is_offered_milk_first_with_the_day_it_is_due():
    rows = lists(every("ana", "milk", 7, 20) + every("ana", "soap", 60, 2) + every("ben", "milk", 7, 20))
    first = next(row for row in rows if row["customer_id"] == "ana" and row["rank"] == 1)
    assert (first["product_id"], first["kind"], first["because"]) == (
        "milk",
        "replenish",
        "You buy milk about every 7 days",
    )
    assert first["due_date"] == AS_OF + timedelta(days=6)


def test_a_product_bought_once_has_no_due_date():
    rows = lists([Bought("ana", "milk", YESTERDAY)])
    assert [(row["product_id"], row["due_date"], row["because"]) for row in rows] == [
        ("milk", None, "You bought milk before")
    ]


def test_a_product_out_of_stock_is_never_offered_and_one_with_unknown_stock_is():
    purchases = every("ana", "milk", 7, 9) + every("ana", "bread", 7, 5) + every("ana", "tea", 7, 5)
    products = [food("milk", stock_on_hand=0.0), food("bread", stock_on_hand=None), food("tea", stock_on_hand=4.0)]
    settings = RecommendationSettings(minimum_stock=3)
    assert set(shown(lists(purchases, products, settings=settings), "ana")) == {"bread", "tea"}


def test_nothing_is_offered_where_everything_is_out_of_stock():
    assert lists(every("ana", "milk", 7, 9), [food("milk", stock_on_hand=0.0)]) == []


def test_a_product_without_stock_is_not_offered_even_where_no_stock_is_demanded():
    settings = RecommendationSettings(minimum_stock=0)
    assert lists(every("ana", "milk", 7, 9), [food("milk", stock_on_hand=0.0)], settings=settings) == []


def test_out_of_season_products_are_weighted_down():
    purchases = every("ana", "ice", 7, 9) + every("ana", "tea", 7, 8)
    summer, winter = [food("ice", season="6,7,8"), food("tea")], [food("ice", season="12, 1"), food("tea")]
    assert shown(lists(purchases, summer), "ana") == ["ice", "tea"]
    assert shown(lists(purchases, winter), "ana") == ["tea", "ice"]


def test_out_of_season_weight_zero_leaves_the_product_out():
    settings = RecommendationSettings(out_of_season_weight=0)
    assert lists(every("ana", "ice", 7, 9), [food("ice", season="12")], settings=settings) == []


def test_a_season_that_is_no_list_of_months_stops_the_run():
    with pytest.raises(CheckFailedError, match=r"season 'winter' of product 'ice'.*\"11,12\""):
        lists(every("ana", "ice", 7, 9), [food("ice", season="winter")])


def test_zoe_who_never_bought_gets_what_her_segment_buys():
    students = [purchase for n in range(40) for purchase in every(f"student{n}", "noodles", 7, 3)]
    families = [purchase for n in range(80) for purchase in every(f"family{n}", "nappies", 7, 3)]
    segments = {f"student{n}": "student" for n in range(40)} | {f"family{n}": "family" for n in range(80)}
    rows = lists(students + families, segments={**segments, "zoe": "student", "max": "family"})
    assert shown(rows, "zoe") == ["noodles", "nappies"]
    assert shown(rows, "max") == ["nappies", "noodles"]
    assert {row["because"] for row in rows if row["customer_id"] == "zoe"} == {
        "noodles is popular with customers like you",
        "nappies is popular with customers like you",
    }


def test_guests_make_a_product_popular():
    guests = [Bought(None, "cake", YESTERDAY) for _ in range(5)]
    assert shown(lists([*guests, Bought("ana", "tea", YESTERDAY)]), "ana", "popular") == ["cake"]


def test_what_goes_with_a_product_is_offered_and_says_with_which():
    pairs = [purchase for n in range(30) for name in ("pasta", "sauce") for purchase in every(f"p{n}", name, 9, 4)]
    others = [purchase for n in range(30) for name in ("nails", "hammer") for purchase in every(f"h{n}", name, 9, 4)]
    rows = lists(pairs + others + every("ana", "pasta", 9, 4), champions=EASE)
    found = [(row["product_id"], row["because"]) for row in rows if row["customer_id"] == "ana" and row["rank"] == 2]
    assert found == [("sauce", "Customers who buy pasta also buy sauce")]


def test_the_step_up_costs_more_in_the_same_category_and_earns_no_less():
    purchases = every("ana", "plain coffee", 7, 9) + [
        Bought(name, product, YESTERDAY)
        for name in ("ben", "eva")
        for product in ("fine coffee", "luxury coffee", "cheap margin coffee", "gold tea")
    ]
    prices = {
        "plain coffee": ("coffee", "4", 0.3),
        "fine coffee": ("coffee", "6", 0.3),
        "luxury coffee": ("coffee", "40", 0.3),
        "cheap margin coffee": ("coffee", "6", 0.05),
        "gold tea": ("tea", "6", 0.3),
    }
    products = [
        {"product_id": name, "name": name, "category": kind, "price": Decimal(price), "margin": margin}
        for name, (kind, price, margin) in prices.items()
    ]
    rows = lists(purchases, products)
    assert shown(rows, "ana", "up_sell") == ["fine coffee"]
    assert [row["because"] for row in rows if row["customer_id"] == "ana" and row["kind"] == "up_sell"] == [
        "A step up from plain coffee, which you buy"
    ]


def test_the_step_up_is_found_from_paid_prices_where_the_assortment_has_none():
    purchases = [Bought("ana", "plain", YESTERDAY, 2, "8.00"), Bought("ben", "fine", YESTERDAY, 1, "6.00")]
    assert shown(lists(purchases), "ana", "up_sell") == ["fine"]


def test_kinds_follow_the_configured_mix_and_fill_places_for_each_other():
    own = [purchase for n in range(8) for purchase in every("ana", f"own{n}", 7, 8)]
    others = [Bought(f"p{n}", f"new{product}", YESTERDAY) for n in range(5) for product in range(8)]
    settings = RecommendationSettings(
        per_customer=6, mix=KindShares(replenish=0.5, cross_sell=0, up_sell=0, popular=0.5)
    )
    rows = lists(own + others, settings=settings)
    assert [row["kind"] for row in rows if row["customer_id"] == "ana"] == ["replenish", "popular"] * 3
    assert [row["kind"] for row in lists(own, settings=settings)] == ["replenish"] * 6


def test_a_kind_with_share_zero_is_left_out():
    settings = RecommendationSettings(mix=KindShares(replenish=0, popular=1))
    assert shown(lists(every("ana", "milk", 7, 9), settings=settings), "ana") == []


def test_returns_free_goods_and_left_out_categories_are_no_purchases():
    purchases = [
        Bought("ana", "sent back", YESTERDAY, quantity=-1, amount="-2.00"),
        Bought("ana", "sample", YESTERDAY, amount="0"),
        Bought("ana", "diesel", YESTERDAY),
        Bought("ana", "milk", YESTERDAY),
    ]
    products = [food("milk"), food("sent back"), food("sample"), {"product_id": "diesel", "category": "Fuel station"}]
    assert shown(lists(purchases, products), "ana") == ["milk"]


def test_the_own_name_of_a_product_is_told():
    rows = lists(every("ana", "4711", 7, 3), [food("4711", name="Eau de Cologne {50 ml}")])
    assert rows[0]["because"] == "You buy Eau de Cologne {50 ml} about every 7 days"


def test_one_customer_without_any_product_row_gets_the_own_list():
    rows = lists(every("ana", "milk", 7, 3), [], champions=EASE)
    assert [(row["product_id"], row["kind"]) for row in rows] == [("milk", "replenish")]


def test_no_purchase_at_all_gives_no_row():
    assert lists([]) == []
    assert lists([], [food("milk")], {"zoe": "prospect"}, champions=Champions("booster", "booster")) == []


@pytest.mark.parametrize("new", ["popular", "ease", "ease_popular", "bm25", "booster"])
def test_one_time_buyers_are_served_by_every_model(new):
    purchases = [Bought(f"p{n}", f"thing{n % 3}", YESTERDAY - timedelta(days=n)) for n in range(40)]
    rows = lists(purchases, champions=Champions("booster", new))
    assert {row["customer_id"] for row in rows} == {f"p{n}" for n in range(40)}
    assert all(row["due_date"] is None for row in rows)


def test_a_booster_without_anything_to_learn_from_leaves_its_place_to_the_own_history():
    bought = every("ana", "milk", 1, 5) + every("ana", "tea", 2, 2)
    assert shown(lists(bought, champions=Champions("booster", "booster")), "ana", "replenish") == ["milk", "tea"]
