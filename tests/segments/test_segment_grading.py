"""What segments say about the next period, and when the naive rival says more."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from tasks.lake.contracts import CONTRACTS
from tasks.segments.behaviour import COLUMNS
from tasks.segments.graded import grade_people
from tasks.segments.grading import Division, grade_divisions, numbered, spend_deciles

DAY = date(2025, 7, 1)
PEOPLE = 200
PAST = np.arange(PEOPLE, dtype=float)


def grades(next_spend, **divisions):
    given = {name: Division(np.asarray(labels, dtype=np.int64)) for name, labels in divisions.items()}
    return grade_divisions(DAY, 28, np.asarray(next_spend, dtype=float), given, "note of the clusters.")


def value(found, model, metric):
    return next(one.value for one in found if (one.model, one.metric) == (model, metric))


def champion(found):
    (name,) = {one.model for one in found if one.champion}
    return name


def test_deciles_are_ten_equal_groups_by_past_spend():
    groups = spend_deciles(PAST[::-1])
    assert np.bincount(groups).tolist() == [20] * 10
    assert (np.diff(groups) <= 0).all()


def test_clusters_that_explain_everything_are_in_use_and_their_gain_is_told():
    outcome = np.arange(PEOPLE) % 2
    found = grades(outcome, clusters=outcome, spend_deciles=spend_deciles(PAST))
    assert champion(found) == "clusters"
    assert value(found, "clusters", "eta_squared") == pytest.approx(1)
    assert value(found, "clusters", "eta_squared_gain") == pytest.approx(1, abs=0.01)
    assert value(found, "clusters", "groups") == 2
    assert value(found, "clusters", "smallest_share") == 0.5


def test_clusters_below_spend_deciles_are_not_champion_and_the_note_says_so():
    found = grades(PAST, clusters=np.arange(PEOPLE) % 2, spend_deciles=spend_deciles(PAST))
    assert champion(found) == "spend_deciles"
    assert {one.note for one in found if one.model == "clusters"} == {
        "Below spend_deciles on this window: read clusters with care. note of the clusters."
    }


def test_rules_stay_in_use_whatever_they_explain():
    found = grades(PAST, rules=spend_deciles(PAST), spend_deciles=np.zeros(PEOPLE))
    assert champion(found) == "spend_deciles"
    assert all(one.note.startswith("In use") for one in found if one.model == "rules")


def test_intervals_hold_their_value_and_grades_are_rows_of_their_table():
    draw = np.random.default_rng(1)
    found = grades(PAST + draw.normal(0, 50, PEOPLE), clusters=PAST // 70, spend_deciles=spend_deciles(PAST))
    assert all(one.low <= one.value <= one.high for one in found if one.metric == "eta_squared")
    assert all(set(one.row(DAY)) == set(CONTRACTS["model_grades"].names) for one in found)


def frame(**more):
    numbers = {name: np.ones(PEOPLE) for name in COLUMNS}
    numbers |= {"orders": np.full(PEOPLE, 3), "spend_90d": PAST, "days_since_first_order": np.full(PEOPLE, 400)}
    known = {"customer_id": [f"c{n:03}" for n in range(PEOPLE)], "rfm_score": np.arange(PEOPLE) % 13 + 3}
    return pd.DataFrame(known | numbers | {"segment": "loyal", "cluster": None, "next_spend": PAST - 5} | more)


def test_without_clusters_the_rival_is_named_and_the_reason_with_it():
    found = grade_people(frame(), None, DAY, 28)
    assert champion(found) == "spend_deciles"
    assert {one.note for one in found if one.champion} == {
        "Champion: no clusters explain more. No clusters passed the gate before this window."
    }


def test_chosen_clusters_bring_their_stability_and_verdict():
    found = grade_people(frame(cluster=np.arange(PEOPLE) // 10), (0.9, 0.8, "in use; passed"), DAY, 28)
    assert champion(found) == "clusters"
    assert (value(found, "clusters", "stability"), value(found, "clusters", "weekly_stability")) == (0.9, 0.8)
    assert {one.chosen_on for one in found} == {DAY - timedelta(days=28)}
    assert "in use; passed" in next(one.note for one in found if one.model == "clusters")


def test_nobody_gives_no_grades():
    assert grade_people(frame().head(0), None, DAY, 28) == ()


def test_groups_are_numbered_by_name():
    assert numbered(np.array(["vip", "new", "vip"], dtype=object)).tolist() == [1, 0, 1]
