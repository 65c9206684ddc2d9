"""The next order: a date, an interval that holds four times in five, and nothing invented beyond the horizon."""

from datetime import timedelta

import numpy as np
import pytest

from tasks.features.backtest import training_rows
from tasks.features.grading import interval_coverage, mean_absolute_error
from tasks.features.next_order import fit_next_order
from tasks.features.observation import observe
from tests.features.purchases import START, database, drawn

CUTOFF = START + timedelta(days=100)
HORIZON_DAYS = 42


@pytest.fixture(scope="module")
def many():
    with database(drawn(700, 150, leave=0.08)) as db:
        yield training_rows(db, CUTOFF, HORIZON_DAYS), observe(db, CUTOFF, HORIZON_DAYS, outcome=True)


def test_the_interval_holds_four_times_in_five(many):
    rows, now = many
    said = fit_next_order(rows, HORIZON_DAYS).predict(now)
    share, _ = interval_coverage(now.known_outcome(), said.earliest, said.latest, HORIZON_DAYS)
    assert 0.76 <= share <= 0.92


def test_the_middle_beats_the_customers_own_rhythm(many):
    rows, now = many
    days = np.minimum(now.known_outcome().days, HORIZON_DAYS)
    model, rhythm = (
        np.nan_to_num(fit_next_order(past, HORIZON_DAYS).predict(now).middle, nan=HORIZON_DAYS) for past in (rows, None)
    )
    assert mean_absolute_error(days, model) < mean_absolute_error(days, rhythm)


def test_earliest_middle_and_latest_stand_in_this_order_from_the_cutoff_on(many):
    rows, now = many
    for past in (rows, None):
        said = fit_next_order(past, HORIZON_DAYS).predict(now)
        days = [np.nan_to_num(part, nan=HORIZON_DAYS) for part in (said.earliest, said.middle, said.latest)]
        assert (days[0] >= 0).all()
        assert (days[0] <= days[1]).all()
        assert (days[1] <= days[2]).all()


def test_dates_are_days_after_the_cutoff_and_missing_beyond_the_horizon(many):
    rows, now = many
    said = fit_next_order(rows, HORIZON_DAYS).predict(now)
    earliest, middle, latest = said.dates()
    last = CUTOFF + timedelta(days=HORIZON_DAYS)
    assert all(day is None or CUTOFF <= day < last for dates in (earliest, middle, latest) for day in dates)
    assert any(day is None for day in latest)
    assert [day is None for day in middle] == list(np.isnan(said.middle))


def test_few_customers_follow_their_own_rhythm_and_the_note_says_so():
    weekly = [("ana", CUTOFF - timedelta(days=7 * week + 3), 9.0) for week in range(12)]
    monthly = [("ben", CUTOFF - timedelta(days=30 * month + 3), 9.0) for month in range(4)]
    with database([*weekly, *monthly]) as db:
        rows, now = training_rows(db, CUTOFF, HORIZON_DAYS), observe(db, CUTOFF, HORIZON_DAYS)
    model = fit_next_order(rows, HORIZON_DAYS)
    said = dict(zip(now.customers, model.predict(now).middle, strict=True))
    assert model.family == "rhythm"
    assert model.note
    assert said["ana"] < said["ben"]
