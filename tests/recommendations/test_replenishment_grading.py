"""How the day of the next purchase is graded: against the customer's own mean gap, on days that no model saw."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.lake.contracts import CONTRACTS
from tasks.recommendations.graded import rows as rows_of
from tasks.recommendations.models import Champions
from tasks.recommendations.purchases import Purchases
from tasks.recommendations.replenishment import OWN_GAP, RHYTHM, own_gap_days
from tasks.recommendations.replenishment_grading import foretell, grade_replenishment, measure
from tasks.recommendations.settings import RecommendationSettings
from tests.recommendations.market import AS_OF, Bought, every, lists, market
from tests.recommendations.test_replenishment import random_shop, sorted_purchases

HORIZON = 31
CUTOFF = AS_OF - timedelta(days=HORIZON)
SETTINGS = RecommendationSettings(item_limit=100)


def graded(rows):
    with market(rows) as db:
        return grade_replenishment(db, CUTOFF, HORIZON, "product", SETTINGS)


def quitters(people=150):
    """Everybody buys milk every eight days, give or take three; two of three have stopped at some time."""
    chance = np.random.default_rng(2)
    rows = []
    for person in range(people):
        day, end = int(chance.integers(0, 20)), 300 if person % 3 == 0 else int(chance.integers(60, 300))
        while day < end:
            rows.append(Bought(f"c{person:03}", "milk", AS_OF - timedelta(days=300 - day)))
            day += int(chance.integers(5, 12))
    return rows


def test_those_who_stopped_are_foretold_better_than_by_their_own_gap():
    found = graded(quitters())
    assert found.target == "replenishment"
    assert (found.champion, found.in_use, found.naive) == (RHYTHM, RHYTHM, OWN_GAP)
    assert found.models[RHYTHM]["mae_days"].value < 0.5 * found.models[OWN_GAP]["mae_days"].value
    assert 0.7 < found.models[RHYTHM]["interval_80_coverage"].value <= 1
    assert "interval_80_coverage" not in found.models[OWN_GAP]
    assert found.chosen_on.end == found.tested_on.first == CUTOFF
    assert found.tested_on.end == AS_OF


def test_clockwork_needs_no_model_so_the_rival_is_used():
    rows = [one for person in range(60) for one in every(f"c{person:02}", "milk", 7, 40)]
    found = graded(rows)
    assert found.models[OWN_GAP]["mae_days"].value == 0
    assert (found.champion, found.in_use) == (OWN_GAP, OWN_GAP)


def test_a_champion_that_falls_below_the_rival_is_not_used():
    stopped = [one for one in quitters() if one.day < CUTOFF]
    # From the cut-off on everybody, even those long gone, buys on the day that the own gap foretells: at once.
    back = [Bought(name, "milk", CUTOFF) for name in sorted({one.customer_id for one in stopped})]
    found = graded(stopped + back)
    assert (found.champion, found.in_use) == (RHYTHM, OWN_GAP)
    assert "fell below" in found.note


def test_errors_end_at_the_horizon_and_customers_count_equally():
    ana = [(0, item, day) for item in range(3) for day in (0, 10, 20)]
    ben = [(1, 0, day) for day in (12, 20)]
    bought = sorted_purchases([*ana, *ben, (1, 0, 35)])
    said = foretell(bought, 25, 3)
    np.testing.assert_array_equal(said.middle[OWN_GAP], [5, 5, 5, 3])
    found = measure(said, bought, 25, 7, 3)
    # Ana never comes, which counts as day 7: 2 days off each. Ben comes on day 10, which counts as day 7: 4 days off.
    np.testing.assert_array_equal(found[OWN_GAP]["mae_days"], [2, 4])
    assert len(found[OWN_GAP]["mae_days_when_bought"]) == 0
    np.testing.assert_array_equal(measure(said, bought, 25, 12, 3)[OWN_GAP]["mae_days_when_bought"], [7])


def test_the_own_gap_is_never_in_the_past_and_one_purchase_has_none():
    bought = sorted_purchases([(0, 0, 0), (0, 0, 4), (1, 0, 5)])
    said = foretell(bought, 90, 1)
    assert own_gap_days(said.pairs)[0] == 0
    assert np.isnan(own_gap_days(said.pairs)[1])
    assert said.again.tolist() == [True, False]


@settings(max_examples=10, deadline=None)
@given(shift=st.integers(1, 60), seed=st.integers(0, 1000))
def test_shifting_the_future_changes_no_prediction(shift, seed):
    bought = random_shop(customers=60, stops=0.3)
    chance = np.random.default_rng(seed)
    later = bought.day >= 200
    moved = bought.day + later * (shift + chance.integers(0, 5, len(bought)))
    keep = ~later | (chance.random(len(bought)) < 0.7)
    other = Purchases(bought.customer[keep], bought.item[keep], moved[keep])
    here, there = foretell(bought, 200, 5), foretell(other, 200, 5)
    for name in (RHYTHM, OWN_GAP):
        np.testing.assert_array_equal(here.middle[name], there.middle[name])
    np.testing.assert_array_equal(here.first, there.first)
    np.testing.assert_array_equal(here.last, there.last)


def test_the_daily_list_tells_the_day_of_the_champion():
    rows = [one for one in quitters() if one.day < AS_OF]
    said = {}
    for name in (RHYTHM, OWN_GAP):
        told = lists(rows, settings=SETTINGS, champions=Champions("half_life", "popular", name))
        said[name] = {row["customer_id"]: row["due_date"] for row in told if row["kind"] == "replenish"}
    silent = min(
        one.customer_id for one in rows if max(o.day for o in rows if o.customer_id == one.customer_id) < CUTOFF
    )
    assert said[OWN_GAP][silent] == AS_OF
    assert said[RHYTHM][silent] != AS_OF


@pytest.mark.parametrize("rows", [[], [Bought("ana", "milk", CUTOFF - timedelta(days=3))]])
def test_without_a_second_purchase_nothing_is_graded(rows):
    assert graded(rows) is None


def test_grades_become_rows_of_the_contract_with_gains_that_are_positive_where_the_model_is_nearer():
    found = list(rows_of(graded(quitters()), AS_OF))
    assert {name for row in found for name in row} == set(CONTRACTS["model_grades"].schema.names)
    value = {(row["model"], row["metric"]): row["value"] for row in found}
    gain = value[OWN_GAP, "mae_days"] - value[RHYTHM, "mae_days"]
    assert value[RHYTHM, "mae_days_gain"] == pytest.approx(gain)
    assert (RHYTHM, "interval_80_coverage_gain") not in value
    assert {row["model"] for row in found if row["naive"]} == {OWN_GAP}
    assert {row["model"] for row in found if row["champion"]} == {RHYTHM}
