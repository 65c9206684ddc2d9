"""Chapters about the models: how good they are beside a simple rule, over time, and why some are not used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.measurement import charts
from tasks.measurement.chapter import Chapter, Reader, texts

_GRADES = """
    SELECT target, cutoff, model, metric, value, low, high, champion, naive, note, customers FROM model_grades
    WHERE cutoff + horizon_days::INTEGER <= $as_of
    ORDER BY target, cutoff, champion DESC, naive DESC, model, metric
"""
_NAMES = ("target", "cutoff", "model", "metric", "value", "low", "high", "champion", "naive", "note", "customers")


@dataclass(frozen=True, slots=True)
class _Question:
    """A target as a marketer asks for it: its deciding metric, in words, and how to write its value."""

    name: str
    metric: str
    measure: str
    show: str = "{:.1%}"


_QUESTIONS: Mapping[str, _Question] = {
    "lifetime_value": _Question("Who will spend most", "concentration", "share of a perfect ranking of spenders"),
    "churn": _Question("Who will stay away", "auc", "pairs of leaver and stayer told apart (50% is chance)"),
    "next_order": _Question("When the next order comes", "mae_days", "days off on average", "{:.1f}"),
    "recommendations.repeat": _Question("What is bought again", "ndcg_at_10", "hits in the ten offers, the first most"),
    "recommendations.new": _Question("What is tried next", "ndcg_at_10", "hits in the ten offers, the first most"),
    "replenishment": _Question("When a product is bought again", "mae_days", "days off on average", "{:.1f}"),
    "segments": _Question("Which cluster spends", "eta_squared", "difference in next spend that the groups explain"),
    "adoption": _Question(
        "Which category is added", "hit_rate", "customers who then bought from the suggested category"
    ),
}
_MODELS: Mapping[str, str] = {
    "past_spend": "past spend carried forward",
    "decayed_spend": "past spend, recent counts more",
    "blend": "blend of tree and linear models",
    "linear": "linear model",
    "bg_nbd": "BG/NBD with Gamma-Gamma",
    "rfm_sum": "RFM score",
    "own_rhythm": "the customer's own rhythm",
    "bands": "rhythm of customers alike",
    "item_rhythm": "the customer's and the product's rhythm",
    "own_mean_gap": "the customer's mean gap",
    "half_life": "own favourites, recent first",
    "popular": "what is popular now",
    "booster": "trees over all signals",
    "ease": "what goes together (EASE)",
    "ease_popular": "what goes together and is popular",
    "bm25": "what goes together (BM25)",
    "neighbours": "what goes together (categories)",
    "spend_deciles": "ten groups by past spend",
}

Grade = Mapping[str, Any]

MOST_WINDOWS = 12


def how_good(read: Reader) -> Chapter | None:
    """How good the models in use were on the last closed window beside the simple rule, and who is not used and why."""
    newest = _newest(_read(read))
    pairs = {target: pair for target, rows in newest.items() if (pair := _pair(rows)) is not None}
    if not pairs:
        return None
    drawn = {target: pair for target, pair in pairs.items() if _QUESTIONS[target].show == "{:.1%}"}
    return Chapter(
        title="How good the predictions are",
        says=_says(pairs),
        do=_do(pairs),
        picture=charts.paired_bars(
            "Model in use beside the simple rule",
            [_QUESTIONS[target].name for target in drawn],
            [float(used["value"]) for used, _ in drawn.values()],
            [float(naive["value"]) for _, naive in drawn.values()],
            ("in use", "simple rule"),
        ),
        headers=("question", "model", "measured by", "value", "90 % interval", "why it is used or not"),
        rows=texts([row for target, rows in newest.items() if target in pairs for row in _lines(target, rows)]),
    )


def over_time(read: Reader) -> Chapter | None:
    """How good the models in use were on each window that was graded; nothing before the second."""
    shares = {target for target, question in _QUESTIONS.items() if question.show == "{:.1%}"}
    rows = [row for row in _read(read) if row["champion"] and row["target"] in shares and _decides(row)]
    days = sorted({row["cutoff"] for row in rows})[-MOST_WINDOWS:]
    found = {
        target: {
            row["cutoff"]: float(row["value"]) for row in rows if row["target"] == target and row["cutoff"] in days
        }
        for target in _QUESTIONS
    }
    found = {target: values for target, values in found.items() if len(values) > 1}
    if not found:
        return None
    days = [day for day in days if any(day in values for values in found.values())]
    changes = {target: values[max(values)] - values[sorted(values)[-2]] for target, values in found.items()}
    worst = min(changes, key=lambda target: (changes[target], target))
    fell = changes[worst] < 0
    return Chapter(
        title="How the predictions hold up",
        says=f"{len(days)} windows were graded. "
        + (
            f"{_QUESTIONS[worst].name} fell most since the window before, by {-changes[worst] * 100:.1f} points."
            if fell
            else "No prediction fell since the window before."
        ),
        do="If it falls on several windows, customers or data changed: check the sources and new promotions first."
        if fell
        else "Nothing to do: the predictions hold.",
        picture=charts.lines(
            "Model in use on each window",
            [str(day) for day in days],
            {_QUESTIONS[target].name: [values.get(day) for day in days] for target, values in found.items()},
            "{:.0%}",
        ),
        headers=("first day of the window", *(_QUESTIONS[target].name for target in found)),
        rows=texts([(day, *(_percent(values.get(day)) for values in found.values())) for day in days]),
    )


def _read(read: Reader) -> list[Grade]:
    return [dict(zip(_NAMES, row, strict=True)) for row in read(_GRADES) if row[0] in _QUESTIONS]


def _newest(rows: Sequence[Grade]) -> dict[str, list[Grade]]:
    found: dict[str, list[Grade]] = {}
    for target in _QUESTIONS:
        mine = [row for row in rows if row["target"] == target]
        if mine:
            last = max(row["cutoff"] for row in mine)
            found[target] = [row for row in mine if row["cutoff"] == last]
    return found


def _decides(row: Grade) -> bool:
    return bool(row["metric"] == _QUESTIONS[row["target"]].metric)


def _pair(rows: Sequence[Grade]) -> tuple[Grade, Grade] | None:
    """The deciding metric of the model in use and of the simple rule; none where nobody could be graded."""
    decided = [row for row in rows if _decides(row) and row["customers"] > 0]
    used = next((row for row in decided if row["champion"]), None)
    naive = next((row for row in decided if row["naive"]), None)
    return (used, naive) if used is not None and naive is not None else None


def _says(pairs: Mapping[str, tuple[Grade, Grade]]) -> str:
    models = [target for target, (used, _) in pairs.items() if not used["naive"]]
    rules = [_QUESTIONS[target].name.lower() for target in pairs if target not in {*models, "segments"}]
    said = f"{len(pairs)} questions were put to a window that no model had seen; a model answers {len(models)} of them"
    parts = [f"{said}, each better than the simple rule." if len(models) == len(pairs) else f"{said}."]
    if rules:
        parts.append(f"No model was better at telling {', '.join(rules)} than the simple rule, so the rule is in use.")
    if "segments" in pairs and "segments" not in models:
        parts.append("Clusters explain less than ten groups by past spend: read them with care.")
    return " ".join(parts)


def _do(pairs: Mapping[str, tuple[Grade, Grade]]) -> str:
    shares = {target: pair for target, pair in pairs.items() if _QUESTIONS[target].show == "{:.1%}"}
    if not shares:
        return "Trust a prediction as far as it beats the simple rule beside it."
    best = max(shares, key=lambda target: (shares[target][0]["value"] - shares[target][1]["value"], target))
    return (
        f"Lean on the model where it adds most ({_QUESTIONS[best].name.lower()}); "
        "elsewhere the simple rule tells you nearly as much."
    )


def _lines(target: str, rows: Sequence[Grade]) -> list[tuple[object, ...]]:
    question = _QUESTIONS[target]
    decided = [row for row in rows if _decides(row)]
    return [
        (
            question.name if place == 0 else "",
            _model(row),
            question.measure,
            question.show.format(row["value"]),
            _interval(row, question.show),
            row["note"],
        )
        for place, row in enumerate(decided)
    ]


def _model(row: Grade) -> str:
    name = _MODELS.get(row["model"], str(row["model"]).replace("_", " "))
    marks = [word for word, is_so in (("in use", row["champion"]), ("simple rule", row["naive"])) if is_so]
    return f"{name} ({', '.join(marks)})" if marks else name


def _interval(row: Grade, show: str) -> str | None:
    if row["low"] is None or row["high"] is None:
        return None
    return f"{show.format(row['low'])} to {show.format(row['high'])}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"
