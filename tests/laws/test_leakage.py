"""Laws of every prediction: nothing of the future, no order of rows, no name of a customer may change it."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.features.backtest import backtest, training_rows
from tasks.features.churn import fit_churn
from tasks.features.expected_spend import fit_expected_spend
from tasks.features.next_order import fit_next_order
from tasks.features.observation import observe
from tests.features.purchases import START, Purchase, database, drawn

CUTOFF = START + timedelta(days=100)
HORIZON_DAYS = 42
HISTORY = drawn(505, 150)


def predicted(purchases: list[Purchase]) -> dict[str, tuple[object, ...]]:
    """Everything predicted per customer, exact to the last bit."""
    with database(purchases) as db:
        rows = training_rows(db, CUTOFF, HORIZON_DAYS)
        now = observe(db, CUTOFF, HORIZON_DAYS)
        spend = fit_expected_spend(rows, HORIZON_DAYS).predict(now)
        gone = fit_churn(rows, HORIZON_DAYS).predict(now)
        order = fit_next_order(rows, HORIZON_DAYS).predict(now)
    columns = (spend.expected, spend.median, gone, order.earliest, order.middle, order.latest)
    return {
        name: tuple(np.float64(column[row]).tobytes() for column in columns) for row, name in enumerate(now.customers)
    }


@pytest.fixture(scope="module")
def as_it_was() -> dict[str, tuple[object, ...]]:
    return predicted(HISTORY)


def test_deleting_the_future_changes_nothing(as_it_was):
    assert predicted([purchase for purchase in HISTORY if purchase[1] < CUTOFF]) == as_it_was


def test_another_future_changes_nothing(as_it_was):
    shifted = [(who, day + timedelta(days=9) if day >= CUTOFF else day, paid) for who, day, paid in HISTORY]
    newcomers = [("newcomer", CUTOFF, 1e6), ("newcomer", CUTOFF + timedelta(days=1), 1e6)]
    assert predicted([*shifted, *newcomers]) == as_it_was


def test_the_order_of_rows_changes_nothing(as_it_was):
    shuffled = [HISTORY[place] for place in np.random.default_rng(5).permutation(len(HISTORY))]
    assert predicted(shuffled) == as_it_was


def test_the_names_of_customers_change_nothing(as_it_was):
    people = sorted({who for who, _, _ in HISTORY})
    renamed = dict(
        zip(people, np.random.default_rng(6).permutation([f"x{n}" for n in range(len(people))]), strict=True)
    )
    found = predicted([(str(renamed[who]), day, paid) for who, day, paid in HISTORY])
    assert {who: found[str(renamed[who])] for who in as_it_was} == as_it_was


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ana", "ben", "cleo"]),
            st.integers(-60, 60).map(lambda days: CUTOFF + timedelta(days=days)),
            st.integers(-5000, 20000).map(lambda cents: cents / 100),
        ),
        max_size=25,
    )
)
def test_what_is_known_at_a_cutoff_follows_from_earlier_days_alone(purchases):
    with database(purchases) as every, database([p for p in purchases if p[1] < CUTOFF]) as earlier:
        now, then = observe(every, CUTOFF, 28, outcome=True), observe(earlier, CUTOFF, 28, outcome=True)
    assert list(now.customers) == list(then.customers)
    assert sorted(now.customers) == sorted({who for who, day, paid in purchases if day < CUTOFF and paid >= 0})
    for name, column in now.columns.items():
        assert np.isfinite(column).all(), name
        assert column.tobytes() == then.columns[name].tobytes(), name
    for who, spend in zip(now.customers, now.known_outcome().spend, strict=True):
        window = [paid for name, day, paid in purchases if name == who and 0 <= (day - CUTOFF).days < 28]
        assert spend == pytest.approx(sum(window), abs=1e-6)
    assert not then.known_outcome().bought.any()


def test_training_windows_end_before_the_cutoff():
    with database(HISTORY) as db:
        rows = training_rows(db, CUTOFF, HORIZON_DAYS)
    with database([purchase for purchase in HISTORY if purchase[1] < CUTOFF]) as db:
        same = training_rows(db, CUTOFF, HORIZON_DAYS)
    assert rows is not None
    assert same is not None
    assert rows.matrix.tobytes() == same.matrix.tobytes()
    assert rows.spend.tobytes() == same.spend.tobytes()


def test_a_missing_last_month_lowers_what_is_expected_and_is_not_an_error(as_it_was):
    quiet = predicted([purchase for purchase in HISTORY if purchase[1] < CUTOFF - timedelta(days=30)])
    before, after = (sum(np.frombuffer(values[0])[0] for values in said.values()) for said in (as_it_was, quiet))
    assert 0 < after < before


def test_a_single_customer_is_predicted_from_her_own_rhythm():
    ana = [("ana", START + timedelta(days=7 * week), 20.0) for week in range(20)]
    cutoff = START + timedelta(days=7 * 19 + 1)
    with database(ana) as db:
        now, rows = observe(db, cutoff, 28), training_rows(db, cutoff, 28)
        spend, gone, order = (fit(rows, 28) for fit in (fit_expected_spend, fit_churn, fit_next_order))
    assert (spend.family, gone.family, order.family) == ("decayed", "share", "rhythm")
    assert all("1 customers" in model.note or "Only 0 customers" in model.note for model in (spend, gone, order))
    assert 60 < spend.predict(now).expected[0] < 110
    assert 0 < gone.predict(now)[0] < 0.5
    assert order.predict(now).middle[0] < 14


def test_one_time_buyers_only_are_graded_and_expected_to_stay_away():
    once = [(f"c{n}", START + timedelta(days=n % 120), 30.0) for n in range(700)]
    with database(once) as db:
        grades = backtest(db, START + timedelta(days=120), 28)
    champions = {grade.target: grade.model for grade in grades if grade.champion}
    assert champions == {"lifetime_value": "nothing", "churn": "share", "next_order": champions["next_order"]}
    probabilities = [g.value for g in grades if g.target == "churn" and g.metric == "reliability_01_predicted"]
    assert probabilities
    assert min(probabilities) > 0.9


def test_weeks_of_history_give_spend_and_rhythm_but_no_churn():
    cutoff = START + timedelta(days=40)
    young = [purchase for purchase in HISTORY if purchase[1] < cutoff]
    with database(young) as db:
        rows, now = training_rows(db, cutoff, HORIZON_DAYS), observe(db, cutoff, HORIZON_DAYS)
    assert rows is None
    spend, gone = fit_expected_spend(rows, HORIZON_DAYS), fit_churn(rows, HORIZON_DAYS)
    assert (spend.family, gone.family) == ("decayed", "none")
    assert "No whole window" in spend.note
    assert "No whole window" in gone.note
    assert np.isnan(gone.predict(now)).all()
    assert np.isfinite(spend.predict(now).expected).all()


def test_nobody_before_the_cutoff_gives_no_grades():
    with database([("ana", CUTOFF, 10.0)]) as db:
        assert backtest(db, CUTOFF, 28) == ()
        assert len(observe(db, CUTOFF, 28)) == 0


def test_returns_lower_spend_and_are_no_orders():
    day = START + timedelta(days=10)
    with database([("ana", day, 50.0), ("ana", day + timedelta(days=1), -20.0), ("ben", day, 50.0)]) as db:
        now = observe(db, day + timedelta(days=5), 28)
    ana, ben = now.columns["spend_last_1"]
    assert (ana, ben) == (50.0, 50.0)
    assert list(now.columns["visits"]) == [1.0, 1.0]
