"""Grades in the lake: the newest closed window names the champion, and a window graded anew keeps nothing old."""

from datetime import date

from tasks.lake.grade_book import champions, write_grades


def graded(model, cutoff, *, champion=False, target="churn", metric="auc", horizon_days=28, value=0.7):
    return {
        "target": target,
        "cutoff": cutoff,
        "horizon_days": horizon_days,
        "model": model,
        "metric": metric,
        "value": value,
        "low": None,
        "high": None,
        "customers": 10,
        "champion": champion,
        "naive": False,
        "note": "",
        "graded_on": date(2025, 8, 1),
        "chosen_on": None,
    }


JUNE, JULY = date(2025, 6, 1), date(2025, 7, 1)
BOTH = [
    *(graded("blend", JUNE, champion=True, metric=metric) for metric in ("auc", "brier")),
    graded("linear", JUNE),
    graded("linear", JULY, champion=True),
    graded("half_life", JUNE, target="recommendations.repeat", champion=True),
]


def in_use(lake, as_of):
    with lake.database([lake.latest("model_grades")]) as db:
        return champions(db, as_of)


def test_the_champion_is_that_of_the_newest_window_that_had_closed(lake):
    write_grades(lake, BOTH)
    assert in_use(lake, date(2025, 7, 29)) == {"churn": "linear", "recommendations.repeat": "half_life"}
    assert in_use(lake, date(2025, 7, 28)) == {"churn": "blend", "recommendations.repeat": "half_life"}
    assert in_use(lake, date(2025, 6, 28)) == {}


def test_the_longer_of_two_windows_from_the_same_day_decides(lake):
    write_grades(lake, [graded("linear", JUNE, champion=True), graded("blend", JUNE, champion=True, horizon_days=42)])
    assert in_use(lake, date(2025, 7, 29)) == {"churn": "blend"}


def test_a_window_graded_anew_drops_what_is_not_said_again_and_leaves_other_windows_alone(lake):
    write_grades(lake, BOTH)
    write_grades(lake, [graded("nobody's model", JUNE, champion=True, value=0.8)])
    rows = lake.read(lake.latest("model_grades")).to_pylist()
    assert [(row["target"], row["cutoff"], row["model"], row["value"]) for row in rows] == [
        ("churn", JUNE, "nobody's model", 0.8),
        ("churn", JULY, "linear", 0.7),
        ("recommendations.repeat", JUNE, "half_life", 0.7),
    ]
    write_grades(lake, [graded("blend", JUNE, champion=True)])
    assert in_use(lake, date(2025, 6, 30))["churn"] == "blend"


def test_writing_the_same_grades_twice_changes_nothing(lake):
    first = lake.fingerprint(write_grades(lake, BOTH))
    assert lake.fingerprint(write_grades(lake, BOTH)) == first
    assert lake.fingerprint(write_grades(lake, [])) == first
