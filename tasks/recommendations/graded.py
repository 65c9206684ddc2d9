"""The grades of recommendations in the lake."""

from collections.abc import Iterator
from datetime import date

from tasks.config import Config
from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.grade_book import write_grades
from tasks.recommendations.grading import Grade, grade
from tasks.recommendations.replenishment_grading import ERRORS, grade_replenishment

READS = ("order_lines", "products", "customer_segments")


def grade_window(
    lake: Lake, config: Config, known: Snapshots, cutoff: date, *, horizon_days: int, graded_on: date
) -> Snapshot:
    """Grade recommendations.repeat, recommendations.new and replenishment, by product, on one window."""
    with lake.database(known.only(READS)) as db:
        found = list(grade(db, cutoff, horizon_days, "product", config.recommendations).values())
        due = grade_replenishment(db, cutoff, horizon_days, "product", config.recommendations)
    graded = [*found, due] if due is not None else found
    return write_grades(lake, [row for each in graded for row in rows(each, graded_on)])


def rows(grade: Grade, graded_on: date) -> Iterator[dict[str, object]]:
    """Rows of ``model_grades``: each metric of each model, and its gain over the naive rival."""
    naive = grade.models[grade.naive]
    for model, metrics in grade.models.items():
        measured = [(name, each.value, each.low, each.high) for name, each in metrics.items()]
        gains = [
            (f"{name}_gain", _sign(name) * (each.value - naive[name].value), None, None)
            for name, each in metrics.items()
            if name in naive
        ]
        for metric, value, low, high in [*measured, *([] if model == grade.naive else gains)]:
            yield {
                "target": grade.target,
                "cutoff": grade.tested_on.first,
                "horizon_days": (grade.tested_on.end - grade.tested_on.first).days,
                "model": model,
                "metric": metric,
                "value": value,
                "low": low,
                "high": high,
                "customers": grade.customers,
                "champion": model == grade.in_use,
                "naive": model == grade.naive,
                "note": _note(grade, model),
                "graded_on": graded_on,
                "chosen_on": grade.chosen_on.first,
            }


def _sign(metric: str) -> int:
    """Gains are positive where a model is better: errors count the other way round."""
    return -1 if metric in ERRORS else 1


def _note(grade: Grade, model: str) -> str:
    if model == grade.in_use:
        return f"Champion: {grade.note}"
    if model == grade.champion:
        return f"Not used: {grade.note}"
    return f"Not used: {grade.in_use} was chosen on the window before."
