"""Laws of recommendations, on markets that hypothesis makes up."""

import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.recommendations.models import Champions
from tasks.recommendations.settings import RecommendationSettings
from tests.recommendations.market import AS_OF, Bought, lists

FEW = settings(max_examples=6, deadline=None, derandomize=True)
CHAMPIONS = (Champions("half_life", "popular"), Champions("booster", "ease_popular"), Champions("half_life", "booster"))
PRODUCTS = [f"p{number}" for number in range(12)]


@st.composite
def purchases(draw):
    people = draw(st.integers(1, 25))
    chance = random.Random(draw(st.integers(0, 10_000)))
    return [
        Bought(f"c{person:02}", chance.choice(PRODUCTS[: 2 + person % 10]), AS_OF - timedelta(chance.randint(1, 200)))
        for person in range(people)
        for _ in range(chance.randint(1, 30))
    ]


stocks = st.lists(st.sampled_from([None, 0.0, 0.5, 5.0]), min_size=len(PRODUCTS), max_size=len(PRODUCTS))


def assortment(stock):
    return [
        {"product_id": name, "category": f"k{number % 3}", "stock_on_hand": stock[number]}
        for number, name in enumerate(PRODUCTS)
    ]


@pytest.mark.parametrize("champions", CHAMPIONS)
@FEW
@given(purchases(), stocks)
def test_never_out_of_stock_never_twice_and_ranks_without_holes(champions, bought, stock):
    rows = lists(bought, assortment(stock), champions=champions, settings=RecommendationSettings(per_customer=6))
    empty = {name for name, units in zip(PRODUCTS, stock, strict=True) if units is not None and units < 1}
    per_customer = {}
    for row in rows:
        per_customer.setdefault(row["customer_id"], []).append(row)
    for each in per_customer.values():
        assert [row["rank"] for row in each] == list(range(1, len(each) + 1))
        assert len(each) <= 6
        offered = [row["product_id"] for row in each]
        assert len(set(offered)) == len(offered)
        assert not empty & set(offered)
        assert all(row["score"] > 0 and row["because"] for row in each)
        assert all(row["due_date"] is None or row["due_date"] >= AS_OF for row in each)


@pytest.mark.parametrize("champions", CHAMPIONS)
@FEW
@given(purchases(), st.integers(0, 1000))
def test_nothing_is_known_of_the_day_itself_and_later(champions, bought, seed):
    chance = random.Random(seed)
    people = sorted({each.customer_id for each in bought})
    later = [
        Bought(
            chance.choice(people), chance.choice([*PRODUCTS, "unheard of"]), AS_OF + timedelta(chance.randint(0, 40))
        )
        for _ in range(30)
    ]
    products = assortment([None] * len(PRODUCTS))
    assert lists(bought + later, products, champions=champions) == lists(bought, products, champions=champions)


@pytest.mark.parametrize("champions", CHAMPIONS)
@FEW
@given(purchases(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_chunks_does_not_matter(champions, bought, chance):
    products = assortment([None] * len(PRODUCTS))
    shuffled, stock = list(bought), list(products)
    chance.shuffle(shuffled)
    chance.shuffle(stock)
    small = RecommendationSettings(chunk_customers=3)
    assert lists(shuffled, stock, champions=champions, settings=small) == lists(bought, products, champions=champions)


@pytest.mark.parametrize("champions", CHAMPIONS)
@FEW
@given(purchases(), st.randoms(use_true_random=False))
def test_customers_may_be_renamed(champions, bought, chance):
    people = sorted({each.customer_id for each in bought})
    renamed = [f"x{number:02}" for number in range(len(people))]
    chance.shuffle(renamed)
    names = dict(zip(people, renamed, strict=True))
    products = assortment([None] * len(PRODUCTS))
    other = [Bought(names[each.customer_id], each.product_id, each.day) for each in bought]
    expected = sorted(
        ({**row, "customer_id": names[row["customer_id"]]} for row in lists(bought, products, champions=champions)),
        key=lambda row: (row["customer_id"], row["rank"]),
    )
    assert lists(other, products, champions=champions) == expected


@FEW
@given(purchases())
def test_a_product_out_of_season_never_ranks_higher_than_in_season(bought):
    def rank_of(season):
        products = [
            {**row, "season": season if row["product_id"] == "p0" else None}
            for row in assortment([None] * len(PRODUCTS))
        ]
        rows = lists(bought, products, settings=RecommendationSettings(per_customer=100))
        return {
            row["customer_id"]: row["rank"] for row in rows if row["product_id"] == "p0" and row["kind"] == "replenish"
        }

    summer, winter = rank_of("6"), rank_of("12")
    assert all(winter[name] >= rank for name, rank in summer.items() if name in winter)
