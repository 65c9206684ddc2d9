"""What the report says about the models, to people who never trained one."""

from datetime import date, timedelta

import duckdb
import pyarrow as pa
import pytest

from tasks.lake.contracts import CONTRACTS
from tasks.measurement.chapter import Chapter
from tasks.measurement.grade_chapters import how_good, over_time

AS_OF = date(2025, 8, 1)
JUNE, MAY = date(2025, 6, 1), date(2025, 5, 1)


def graded(target, metric, value, model="blend", cutoff=JUNE, **more):
    row = {
        "target": target,
        "cutoff": cutoff,
        "horizon_days": 30,
        "model": model,
        "metric": metric,
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "customers": 500,
        "champion": False,
        "naive": False,
        "note": "",
        "graded_on": AS_OF,
        "chosen_on": None,
    }
    return row | more


SPEND = [
    graded("lifetime_value", "concentration", 0.9, champion=True, note="Champion: best on the window before."),
    graded("lifetime_value", "concentration", 0.8, "past_spend", naive=True, note="Not used: blend was better."),
]
CHURN = [
    graded("churn", "auc", 0.7, "linear", note="Not used: does not beat past_spend."),
    graded("churn", "auc", 0.75, "past_spend", champion=True, naive=True, note="Champion: best on this window."),
]
DATES = [
    graded("next_order", "mae_days", 6.5, "bands", champion=True),
    graded("next_order", "mae_days", 9.0, "own_rhythm", naive=True),
]


def chapter(make, rows, as_of=AS_OF) -> Chapter | None:
    schema = CONTRACTS["model_grades"].schema
    with duckdb.connect() as db:
        db.register("model_grades", pa.Table.from_pylist(rows, schema))
        return make(lambda sql: db.execute(sql, {"as_of": as_of} if "$as_of" in sql else {}).fetchall())


def test_without_grades_there_is_no_chapter():
    assert chapter(how_good, []) is None
    assert chapter(over_time, []) is None


def test_the_model_in_use_stands_beside_the_simple_rule_in_words():
    told = chapter(how_good, [*SPEND, *DATES])
    assert "each better than the simple rule" in told.says
    assert "who will spend most" in told.do
    assert "Who will spend most" in told.picture
    assert "90%" in told.picture
    assert "80%" in told.picture
    best = ("Who will spend most", "blend of tree and linear models (in use)", "90.0%", "80.0% to 100.0%")
    assert tuple(told.rows[0][place] for place in (0, 1, 3, 4)) == best
    assert "days off on average" in told.rows[2]
    assert "6.5" in told.rows[2]


def test_a_rule_that_no_model_beats_is_named_and_every_unused_model_has_its_reason():
    told = chapter(how_good, [*SPEND, *CHURN])
    assert "No model was better at telling who will stay away than the simple rule, so the rule is in use." in told.says
    reasons = {row[1]: row[-1] for row in told.rows}
    assert reasons["linear model"] == "Not used: does not beat past_spend."
    assert reasons["past spend carried forward (in use, simple rule)"].startswith("Champion")


def test_only_the_newest_window_counts_and_only_one_that_has_closed():
    old = [row | {"cutoff": MAY, "value": 0.5} for row in SPEND]
    open_window = [row | {"cutoff": AS_OF - timedelta(days=29), "value": 0.1} for row in SPEND]
    assert chapter(how_good, [*old, *SPEND, *open_window]) == chapter(how_good, SPEND)
    assert chapter(how_good, SPEND, as_of=JUNE + timedelta(days=29)) is None


def test_a_question_that_nobody_could_be_graded_on_is_left_out():
    nobody = [graded("recommendations.new", "ndcg_at_10", 0.0, "popular", champion=True, naive=True, customers=0)]
    assert chapter(how_good, nobody) is None
    assert chapter(how_good, [*SPEND, *nobody]) == chapter(how_good, SPEND)


@pytest.mark.parametrize(("newest", "told"), [(0.85, "fell most since the window before, by 5.0 points"), (0.95, "No")])
def test_grades_over_time_say_whether_predictions_hold(newest, told):
    july = [row | {"cutoff": JUNE + timedelta(days=7), "value": newest} for row in SPEND]
    drawn = chapter(over_time, [*SPEND, *DATES, *july])
    assert told in drawn.says
    assert drawn.headers == ("first day of the window", "Who will spend most")
    assert drawn.rows == (("2025-06-01", "90.0%"), ("2025-06-08", f"{newest:.1%}"))
    assert "2025-06-08" in drawn.picture


def test_one_window_is_no_history():
    assert chapter(over_time, [*SPEND, *CHURN]) is None


def test_a_window_that_one_question_missed_leaves_the_others_drawn():
    july = [row | {"cutoff": JUNE + timedelta(days=7)} for row in SPEND]
    earlier = [row | {"cutoff": MAY} for row in CHURN]
    drawn = chapter(over_time, [*SPEND, *CHURN, *july, *earlier])
    assert drawn.rows[0] == ("2025-05-01", "–", "75.0%")
    assert drawn.rows[2] == ("2025-06-08", "90.0%", "–")
