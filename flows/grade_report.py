"""What a back-test says, read from the grades in the lake: per target the model in use and its rivals."""

import json
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from tasks.lake import Lake


class Value(BaseModel):
    """A frozen part of the report."""

    model_config = ConfigDict(frozen=True)


class Measured(Value):
    """A metric with its 90 % interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


class Window(Value):
    """Days from ``first`` on and before ``end``; models that were graded on it knew only earlier days."""

    first: date
    end: date

    @classmethod
    def of(cls, first: date, days: int) -> "Window":
        """The window of so many days."""
        return cls(first=first, end=first + timedelta(days=days))


class Windows(Value):
    """Where the grades come from, and on which window the champion was chosen, none where there was no choice."""

    graded: Window
    chosen: Window | None


class TargetGrade(Value):
    """One target: the model in use from now on, its metrics and those of each rival, and why each is used or not."""

    champion: str | None
    naive: str | None
    metrics: dict[str, Measured]
    rivals: dict[str, dict[str, Measured]]
    notes: dict[str, str]
    customers: int
    windows: Windows


class BacktestReport(Value):
    """The grades of every target."""

    lake: str
    graded_on: date
    targets: dict[str, TargetGrade]

    def as_json(self) -> str:
        """The grades by target, for machines."""
        targets = {name: grade.model_dump(mode="json") for name, grade in self.targets.items()}
        return json.dumps(targets, indent=2, ensure_ascii=False) + "\n"


def read_report(lake: Lake, graded: Mapping[str, Window], graded_on: date) -> BacktestReport:
    """The report of the windows that were graded, by target; a target that could not be graded is left out."""
    table = lake.read(lake.latest("model_grades"))
    rows = {target: _rows(table, target, window) for target, window in graded.items()}
    found = {target: _target(rows[target], window) for target, window in graded.items() if rows[target]}
    return BacktestReport(lake=lake.root, graded_on=graded_on, targets=found)


def _rows(table: pa.Table, target: str, window: Window) -> list[dict[str, Any]]:
    days = (window.end - window.first).days
    return [
        row
        for row in table.to_pylist()
        if (row["target"], row["cutoff"], row["horizon_days"]) == (target, window.first, days)
    ]


def _target(rows: list[dict[str, Any]], window: Window) -> TargetGrade:
    models: dict[str, dict[str, Measured]] = {}
    for row in rows:
        value = Measured(value=row["value"], low=row["low"], high=row["high"])
        models.setdefault(row["model"], {})[row["metric"]] = value
    champion = _marked(rows, "champion")
    chosen_on = next((row["chosen_on"] for row in rows if row["chosen_on"]), None)
    return TargetGrade(
        champion=champion,
        naive=_marked(rows, "naive"),
        metrics=models.get(champion or "", {}),
        rivals={name: metrics for name, metrics in models.items() if name != champion},
        notes={row["model"]: row["note"] for row in rows if row["note"]},
        customers=max(row["customers"] for row in rows),
        windows=Windows(
            graded=window, chosen=Window.of(chosen_on, (window.end - window.first).days) if chosen_on else None
        ),
    )


def _marked(rows: Iterable[Mapping[str, Any]], flag: str) -> str | None:
    return next((str(row["model"]) for row in rows if row[flag]), None)
