"""Which category a customer takes up next: what goes together, told apart from what merely sells."""

import random
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from tasks.features.adoption import came_true, suggest
from tasks.features.graded import grade_adoption
from tasks.features.grading import champion_of

AS_OF = date(2025, 7, 1)
HORIZON_DAYS = 28
WORLDS = {"italian": ["pasta", "sauce", "parmesan", "olives"], "baby": ["nappies", "wipes", "porridge", "toys"]}
CATEGORIES = [*(name for world in WORLDS.values() for name in world), "bread", "fuel"]


def shoppers(people=300, seed=3):
    """Each belongs to one world, adds a category of it about once a month, and everybody buys bread and fuel."""
    chance = random.Random(seed)
    rows = []
    for number in range(people):
        who, world = f"c{number:03}", list(WORLDS.values())[number % 2]
        known = [chance.choice(world)]
        for day in range(1, 170, 7):
            when = AS_OF + timedelta(days=HORIZON_DAYS) - timedelta(days=day)
            rows += [(who, category, when) for category in known if chance.random() < 0.8]
            rows += [(who, "bread", when), (who, "fuel", when)]
        fresh = chance.sample([name for name in world if name not in known], 2)
        rows += [(who, fresh[0], AS_OF - timedelta(days=chance.randrange(HORIZON_DAYS, 100)))]
        rows += [(who, fresh[1], AS_OF + timedelta(days=chance.randrange(-HORIZON_DAYS, HORIZON_DAYS)))]
    # A crowd of bargain hunters makes one category popular that the two worlds have no use for.
    rows += [(f"x{n:03}", "socks", AS_OF - timedelta(days=chance.randrange(1, 90))) for n in range(100)]
    return rows


def told(rows, as_of=AS_OF, **more):
    with database(rows) as db:
        return {row["customer_id"]: row for row in suggest(db, as_of, HORIZON_DAYS, **more).to_pylist()}


def database(rows):
    db = duckdb.connect(config={"threads": 1})
    columns = {
        "customer_id": pa.array([who for who, _, _ in rows], pa.string()),
        "product_id": pa.array([category for _, category, _ in rows], pa.string()),
        "amount": pa.array([Decimal(3) for _ in rows], pa.decimal128(18, 4)),
        "order_date": pa.array([when for _, _, when in rows], pa.date32()),
    }
    db.register("order_lines", pa.table(columns))
    names = sorted({*CATEGORIES, "socks", *(category for _, category, _ in rows)})
    db.register("products", pa.table({"product_id": names, "category": names, "department": ["shop"] * len(names)}))
    return db


HISTORY = shoppers()
KNOWN = [row for row in HISTORY if row[2] < AS_OF]


@pytest.fixture(scope="module")
def suggested():
    return told(HISTORY, leave_out=("fuel",))


def test_suggestions_stay_in_the_customers_world(suggested):
    worlds = {name: world for world, names in WORLDS.items() for name in names}
    people = [row for who, row in suggested.items() if who.startswith("c")]
    right = [worlds.get(row["adoption_category"]) == list(WORLDS)[int(row["customer_id"][1:]) % 2] for row in people]
    assert sum(right) > 0.95 * len(people) > 200


def test_nobody_is_suggested_what_they_bought_within_a_year(suggested):
    owned = {(who, category) for who, category, when in KNOWN if when >= AS_OF - timedelta(days=365)}
    assert not owned & {(who, row["adoption_category"]) for who, row in suggested.items()}


def test_probabilities_say_how_often_suggestions_come_true_where_habits_stay():
    chance = random.Random(4)
    shelf = [f"shelf {number:02}" for number in range(40)]
    weights = [1 / (number + 2) for number in range(40)]
    end = AS_OF + timedelta(days=HORIZON_DAYS)
    rows = [
        (f"c{who:03}", name, end - timedelta(days=day + chance.randrange(14)))
        for who in range(400)
        for day in range(1, 600, 14)
        for name in chance.choices(shelf, weights)
    ]
    with database(rows) as db:
        table = suggest(db, AS_OF, HORIZON_DAYS)
        hits = came_true(db, table, AS_OF, HORIZON_DAYS)
    chances = table["adoption_probability"].to_pylist()
    assert all(0 < said < 1 for said in chances)
    assert sum(chances) / len(chances) == pytest.approx(hits.mean(), abs=0.04)


def test_nothing_of_the_day_itself_and_later_is_known(suggested):
    assert told(KNOWN, leave_out=("fuel",)) == suggested


def test_the_order_of_rows_changes_nothing(suggested):
    shuffled = HISTORY.copy()
    random.Random(1).shuffle(shuffled)
    assert told(shuffled, leave_out=("fuel",)) == suggested


def test_words_that_are_left_out_are_never_suggested():
    rows = [row for row in HISTORY if row[1] != "fuel" or int(row[0][1:]) % 3]
    assert "fuel" not in {row["adoption_category"] for row in told(rows, leave_out=("FUEL",)).values()}


def test_what_is_popular_is_the_same_for_all_who_lack_it():
    rows = told(HISTORY, leave_out=("fuel", "bread"), model="popular")
    without = {who for who, *_ in KNOWN} - {who for who, category, _ in KNOWN if category == "socks"}
    assert len({rows[who]["adoption_category"] for who in without if who in rows}) <= 4


def test_neighbours_are_graded_above_popularity_and_used():
    with database(HISTORY) as db:
        grades = grade_adoption(db, AS_OF, HORIZON_DAYS, ("fuel",))
    assert champion_of(grades, "adoption") == "neighbours"
    gain = next(one for one in grades if (one.model, one.metric) == ("neighbours", "hit_rate_gain"))
    assert gain.value >= gain.low > 0


@pytest.mark.parametrize("rows", [[], KNOWN[:200], [("ana", "bread", AS_OF - timedelta(days=3))]])
def test_too_few_to_learn_from_give_nothing(rows):
    assert told(rows) == {}
    with database(rows) as db:
        assert grade_adoption(db, AS_OF, HORIZON_DAYS) == ()
