"""Which model is chosen, and what is said about it."""

import random
from datetime import timedelta

import pytest

from tasks.lake.contracts import CONTRACTS
from tasks.recommendations.graded import rows as rows_of
from tasks.recommendations.grading import champions, grade
from tasks.recommendations.settings import RecommendationSettings
from tests.recommendations.market import AS_OF, Bought, market

CUTOFF = AS_OF - timedelta(days=31)
FITTING = RecommendationSettings(item_limit=100)


def loyal_people(people=120, seed=1):
    """Everybody has three favourites bought every week or two, and tries what fellows of the same taste buy."""
    chance = random.Random(seed)
    rows = []
    for person in range(people):
        taste = person % 4
        favourites = chance.sample(range(taste * 10, taste * 10 + 10), 3)
        for week in range(40):
            day = AS_OF - timedelta(days=1 + week * 7 + chance.randint(0, 3))
            rows += [Bought(f"c{person:03}", f"p{item:02}", day) for item in favourites if chance.random() < 0.7]
            if chance.random() < 0.15:
                rows.append(Bought(f"c{person:03}", f"p{taste * 10 + chance.randrange(10):02}", day))
    return rows


@pytest.fixture(scope="module")
def grades():
    with market(loyal_people()) as db:
        return grade(db, CUTOFF, 31, "product", FITTING)


def test_repeat_and_new_are_graded_apart(grades):
    assert sorted(grades) == ["recommendations.new", "recommendations.repeat"]
    repeat = grades["recommendations.repeat"]
    assert repeat.metrics["ndcg_at_10"].value > 0.8
    assert repeat.customers == 120
    assert 0 < grades["recommendations.new"].customers < 120


def test_taste_beats_popularity_for_new_items(grades):
    new = grades["recommendations.new"]
    assert new.champion != "popular"
    assert new.metrics["ndcg_at_10"].value > 1.5 * new.models["popular"]["ndcg_at_10"].value
    assert new.in_use == new.champion


def test_the_windows_are_named_and_never_overlap(grades):
    for each in grades.values():
        assert each.tested_on.first == each.chosen_on.end == CUTOFF
        assert each.tested_on.end == AS_OF
        assert each.champion not in each.rivals


def test_intervals_hold_their_value(grades):
    for each in grades.values():
        for metrics in each.models.values():
            assert all(metric.low <= metric.value <= metric.high for metric in metrics.values())


def test_the_champion_does_not_depend_on_the_tested_window():
    rows = loyal_people()
    scrambled = [Bought(each.customer_id, "p00", each.day) if each.day >= CUTOFF else each for each in rows]
    with market(rows) as db:
        before = grade(db, CUTOFF, 31, "product", FITTING)
    with market(scrambled) as db:
        after = grade(db, CUTOFF, 31, "product", FITTING)
    assert {name: each.champion for name, each in before.items()} == {
        name: each.champion for name, each in after.items()
    }


def test_a_champion_that_falls_below_the_naive_rival_is_not_used():
    rows = [
        # From the cut-off on everybody tries the same new thing, which only popularity among others can see.
        *(each for each in loyal_people() if each.day < CUTOFF),
        *(Bought(None, "novelty", CUTOFF - timedelta(days=2)) for _ in range(500)),
        *(Bought(f"c{person:03}", "novelty", CUTOFF + timedelta(days=1)) for person in range(120)),
    ]
    with market(rows) as db:
        new = grade(db, CUTOFF, 31, "product", FITTING)["recommendations.new"]
    assert new.champion != "popular"
    assert new.in_use == "popular"
    assert "fell below popular" in new.note


@pytest.mark.parametrize("rows", [[], [Bought("ana", "milk", CUTOFF)], [Bought("ana", "milk", AS_OF - timedelta(200))]])
def test_without_enough_history_the_naive_rivals_are_used(rows):
    with market(rows) as db:
        found = grade(db, CUTOFF, 31, "product", FITTING)
    assert (champions(found).repeat, champions(found).new) == ("half_life", "popular")


def test_categories_are_graded_like_products():
    rows = loyal_people()
    products = [{"product_id": f"p{item:02}", "category": f"kind {item // 2:02}"} for item in range(40)]
    with market(rows, products) as db:
        found = grade(db, CUTOFF, 31, "category", FITTING)
    assert found["recommendations.repeat"].level == "category"
    assert found["recommendations.repeat"].metrics["ndcg_at_10"].value > 0.8


def test_the_same_data_give_the_same_grades(grades):
    rows = loyal_people()
    random.Random(5).shuffle(rows)
    with market(rows) as db:
        assert grade(db, CUTOFF, 31, "product", FITTING) == grades


def test_grades_become_rows_with_one_model_in_use_and_gains_over_the_naive_rival(grades):
    for each in grades.values():
        found = list(rows_of(each, AS_OF))
        assert {row["model"] for row in found if row["champion"]} == {each.in_use}
        assert {row["model"] for row in found if row["naive"]} == {each.naive}
        assert all(set(row) == set(CONTRACTS["model_grades"].names) for row in found)
        gains = {row["model"]: row["value"] for row in found if row["metric"] == "ndcg_at_10_gain"}
        assert each.naive not in gains
        naive = each.models[each.naive]["ndcg_at_10"].value
        assert gains == {
            name: metrics["ndcg_at_10"].value - naive for name, metrics in each.models.items() if name != each.naive
        }
