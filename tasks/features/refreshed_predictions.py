"""Predictions between two daily runs: what the morning predicted, moved by as much as the lifetime models move.

The morning's champions (trees over many measures) are not refitted for an event, nor kept. What is kept are the
parameters of BG/NBD and Gamma-Gamma. They read frequency, recency, age and mean value before and after the event; the
morning's expected spend and lifetime value change by the ratio of their forecasts, its churn probability by the
difference of their log odds. Two refreshes in a row move as far as one. A customer without a prediction from the
morning gets those of the lifetime models alone. ``prediction_model`` says which of all this happened.

Fader, Hardie and Lee (2005) for BG/NBD, Fader and Hardie (2013) for Gamma-Gamma.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.errors import CheckFailedError
from tasks.features.lifetime_value import BgNbd, GammaGamma
from tasks.features.purchase_histories import Floats

WEEK_DAYS = 7.0
YEAR_DAYS = 365
SURE = 1e-6
CENT = 0.01
MOVED = "; moved by BG/NBD since"
CARRIED = "; carried since the last order"
ALONE = "BG/NBD and Gamma-Gamma of the morning, without the champions"
NONE = "none: no lifetime model is kept"
NO_ORDER = "none: no order yet"
_SPEND = (
    "expected_spend",
    "expected_spend_median",
    "lifetime_value",
    "lifetime_value_low",
    "lifetime_value_high",
)
_PREDICTED = ("p_alive", "expected_orders", *_SPEND, "churn_probability")
_DAYS = ("next_order_date", "next_order_earliest", "next_order_latest")
_HISTORY = ("active_days", "days_since_first_order", "recency_days", "monetary")


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What the lifetime models alone say, per customer; NaN without an order."""

    alive: Floats
    orders: Floats
    spend: Floats
    year: Floats
    silent: Floats


def move_predictions(
    *,
    refreshed: pa.Table,
    previous: pa.Table,
    parameters: Mapping[tuple[str, str], float],
    horizon_days: int,
    columns: Sequence[str],
) -> pa.Table:
    """Rows of customer_features in ``columns``: what was measured now, and predictions moved from the morning's.

    ``previous`` has the rows that the customers had before, ``parameters`` maps (model, name) to a value. Where nothing
    about a customer's orders changed, the prediction stays to the byte.
    """
    now = refreshed.to_pandas().set_index("customer_id", drop=False)
    before = previous.to_pandas().set_index("customer_id").reindex(now.index)
    models = _models(parameters)
    after, earlier = _forecast(models, now, horizon_days), _forecast(models, before, horizon_days)
    same = _same_history(now, before)
    had = before["expected_spend"].notna().to_numpy(dtype=bool)
    ordered = now["recency_days"].notna().to_numpy(dtype=bool)
    moved = _moved(before, after, earlier)
    alone = _alone(after)
    for name in _PREDICTED:
        old = before[name].to_numpy(dtype=float, na_value=np.nan)
        fresh = np.where(had, np.where(np.isnan(moved[name]), old, moved[name]), alone[name])
        now[name] = np.where(ordered, np.where(same, old, np.round(fresh, 6)), np.nan)
    can_move = ~np.isnan(after.spend)
    morning = before["prediction_model"].fillna("").str.split(";").str[0].to_numpy(dtype=object)
    now["prediction_model"] = [
        _told(told, same=kept, had=known, can_move=moves, ordered=bought, before=old)
        for told, kept, known, moves, bought, old in zip(
            *(morning, same, had, can_move, ordered, before["prediction_model"]), strict=True
        )
    ]
    _move_days(now, before, same)
    now["horizon_days"] = horizon_days
    for name in set(columns) - set(now.columns):
        now[name] = before.get(name)
    return _table(now, refreshed, previous, columns)


def _models(parameters: Mapping[tuple[str, str], float]) -> tuple[BgNbd, GammaGamma] | None:
    def given(model: str, names: str) -> dict[str, float]:
        return {name: parameters[(model, name)] for name in names.split() if (model, name) in parameters}

    purchases, spend = given("BG/NBD", "r alpha a b"), given("Gamma-Gamma", "p q v")
    if len(purchases) < 4 or len(spend) < 3:  # noqa: PLR2004 - a model is whole or not there
        return None
    rest = {"log_likelihood": float("nan"), "standard_errors": {}}
    return BgNbd(**purchases, **rest), GammaGamma(**spend, **rest)  # type: ignore[arg-type]


def _forecast(models: tuple[BgNbd, GammaGamma] | None, frame: pd.DataFrame, horizon_days: int) -> Forecast:
    values = {name: frame[name].to_numpy(dtype=float, na_value=np.nan) for name in _HISTORY}
    bought = (values["active_days"] > 0) & np.isfinite(values["recency_days"])
    nothing = np.full(len(frame), np.nan)
    if models is None or not bought.any():
        return Forecast(nothing, nothing, nothing, nothing, nothing)
    history = {name: column[bought] for name, column in values.items()}
    frequency = history["active_days"] - 1
    age = history["days_since_first_order"] / WEEK_DAYS
    recency = (history["days_since_first_order"] - history["recency_days"]) / WEEK_DAYS
    purchases, spend = models
    try:
        worth = spend.expected_spend(frequency, np.maximum(history["monetary"] / history["active_days"], CENT))
    except CheckFailedError:
        return Forecast(nothing, nothing, nothing, nothing, nothing)
    near, far = horizon_days / WEEK_DAYS, YEAR_DAYS / WEEK_DAYS
    orders = purchases.expected_purchases(near, frequency, recency, age)

    def spread(found: Floats) -> Floats:
        whole = nothing.copy()
        whole[bought] = found
        return whole

    return Forecast(
        alive=spread(purchases.alive_probability(frequency, recency, age)),
        orders=spread(orders),
        spend=spread(orders * worth),
        year=spread(purchases.expected_purchases(far, frequency, recency, age) * worth),
        silent=spread(purchases.no_purchase_probability(near, frequency, recency, age)),
    )


def _moved(before: pd.DataFrame, after: Forecast, earlier: Forecast) -> dict[str, Floats]:
    def old(name: str) -> Floats:
        return before[name].to_numpy(dtype=float, na_value=np.nan)

    near = np.maximum(after.spend, SURE) / np.maximum(earlier.spend, SURE)
    year = np.maximum(after.year, SURE) / np.maximum(earlier.year, SURE)
    odds = _log_odds(old("churn_probability")) + _log_odds(after.silent) - _log_odds(earlier.silent)
    ratios = {name: year if name.startswith("lifetime") else near for name in _SPEND}
    return {
        "p_alive": after.alive,
        "expected_orders": after.orders,
        **{name: old(name) * ratio for name, ratio in ratios.items()},
        "churn_probability": 1 / (1 + np.exp(-odds)),
    }


def _alone(after: Forecast) -> dict[str, Floats]:
    nothing = np.full(len(after.spend), np.nan)
    return {
        "p_alive": after.alive,
        "expected_orders": after.orders,
        "expected_spend": after.spend,
        "expected_spend_median": nothing,
        "lifetime_value": after.year,
        "lifetime_value_low": nothing,
        "lifetime_value_high": nothing,
        "churn_probability": after.silent,
    }


def _log_odds(chance: Floats) -> Floats:
    inside = np.clip(chance, SURE, 1 - SURE)
    return np.asarray(np.log(inside / (1 - inside)))


def _same_history(now: pd.DataFrame, before: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether the orders say the same, apart from the day on which they are looked at."""

    def days_between(frame: pd.DataFrame) -> Floats:
        first, last = (frame[name].to_numpy(dtype=float, na_value=np.nan) for name in _HISTORY[1:3])
        return np.asarray(first - last)

    pairs = [
        (days_between(now), days_between(before)),
        *((now[n].to_numpy(dtype=float, na_value=np.nan), before[n].to_numpy(dtype=float, na_value=np.nan))
          for n in ("active_days", "monetary", "orders")),
    ]  # fmt: skip
    equal = [(a == b) | (np.isnan(a) & np.isnan(b)) for a, b in pairs]
    return np.asarray(np.logical_and.reduce(equal) & before["horizon_days"].notna().to_numpy(dtype=bool))


def _told(morning: str, *, same: bool, had: bool, can_move: bool, ordered: bool, before: object) -> str:
    if not ordered:
        return NO_ORDER
    if same:
        return str(before)
    if had:
        return morning + (MOVED if can_move else CARRIED)
    return ALONE if can_move else NONE


def _move_days(now: pd.DataFrame, before: pd.DataFrame, same: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    """The next order after a new one: the customer's own mean gap after it; without a gap nothing is said."""
    for name in _DAYS:
        if name in before:
            now[name] = before[name].where(same, None)
    gap = now["interorder_days_mean"].to_numpy(dtype=float, na_value=np.nan)
    recency = now["recency_days"].to_numpy(dtype=float, na_value=np.nan)
    ahead = np.round(gap - recency + 1)
    days = [
        morning + timedelta(days=int(wait)) if not kept and np.isfinite(wait) and wait > 0 else old
        for morning, wait, kept, old in zip(_mornings(now), ahead, same, now["next_order_date"], strict=True)
    ]
    now["next_order_date"] = days


def _mornings(now: pd.DataFrame) -> list[date]:
    return [day if isinstance(day, date) else day.date() for day in now["as_of"]]


def _table(now: pd.DataFrame, refreshed: pa.Table, previous: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Measured columns as they were measured, predicted ones out of the frame in the type they had."""
    arrays = []
    for name in columns:
        kind = previous.schema.field(name).type
        if name in refreshed.schema.names:
            arrays.append(refreshed[name].combine_chunks().cast(kind))
        else:
            arrays.append(pa.array([_plain(value) for value in now[name]], kind))
    return pa.table(dict(zip(columns, arrays, strict=True)))


def _plain(value: object) -> object:
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.date() if isinstance(value, pd.Timestamp) else value
