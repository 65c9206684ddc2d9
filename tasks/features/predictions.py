"""What the models say about each customer on the morning of ``as_of``.

Spend and silence over the horizon come from models fitted on past cut-offs of the same shop, which see more than
frequency and recency; how the rest of the year relates to the horizon comes from the buy-till-you-die models, which are
made to look far. Whoever has never ordered gets nulls.
"""

from dataclasses import dataclass, replace
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

from tasks.config import FeatureSettings
from tasks.errors import CheckFailedError
from tasks.features.churn import fit_churn
from tasks.features.expected_spend import SpendForecast, fit_expected_spend
from tasks.features.lifetime_value import BgNbd, GammaGamma, fit_bg_nbd, fit_gamma_gamma
from tasks.features.observation import (
    Floats,
    Observation,
    default_horizon_days,
    first_day,
    observe,
    training_cutoffs,
)
from tasks.features.training_rows import MOST_ROWS, TrainingRows, stack

YEAR_DAYS = 365
WEEK_DAYS = 7
Z_80 = 1.2815515655446004  # half width of an 80 % interval of a normal variable, in standard deviations

_HISTORIES = """
    SELECT customer_id, active_days - 1 AS frequency, days_since_first_order - recency_days AS recency,
           days_since_first_order AS age, greatest(monetary::DOUBLE / active_days, 0) AS mean_value
    FROM measures WHERE active_days > 0 ORDER BY customer_id
"""


# Gaps between days with orders; of very many a sample that no row order changes.
_GAPS = """
    SELECT gap_days FROM (
        SELECT customer_id, order_date, order_date - lag(order_date) OVER (
            PARTITION BY customer_id ORDER BY order_date
        ) AS gap_days
        FROM (
            SELECT DISTINCT customer_id, order_date FROM orders
            WHERE customer_id IS NOT NULL AND order_date < $as_of AND NOT is_return
        )
    ) WHERE gap_days > 0 ORDER BY md5(customer_id || order_date), customer_id LIMIT $most
"""
MOST_GAPS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Frequency (repeat days), recency and age in weeks, and mean value of a day with orders, one row per customer."""

    customers: pa.Array
    frequency: Floats
    recency: Floats
    age: Floats
    mean_value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """One row per customer with an order (``rows``), the parameters of the fitted models, and what should be told."""

    rows: pa.Table
    parameters: tuple[tuple[str, str, float, float | None], ...]
    notes: tuple[str, ...]
    horizon_days: int


def predict(db: duckdb.DuckDBPyConnection, as_of: date, settings: FeatureSettings) -> Predictions:
    """Predict spend, silence and lifetime value from the table ``measures`` and the view ``orders``."""
    horizon = settings.horizon_days or default_horizon_days(_gaps(db, as_of))
    histories = _histories(db)
    if not len(histories.customers):
        return Predictions(_no_rows(), (), ("No customer has ordered yet: nothing is predicted.",), horizon)
    today = observe(db, as_of, horizon)
    rows = _training_rows(db, as_of, horizon)
    spend, churn = fit_expected_spend(rows, horizon), fit_churn(rows, horizon)
    lasting = _fit_lasting(histories)
    order = np.argsort(today.customers)
    forecast = spend.predict(today)
    columns = {
        "churn_probability": churn.predict(today)[order],
        **_spend_columns(SpendForecast(forecast.expected[order], forecast.median[order]), lasting, histories, horizon),
    }
    model = f"spend: {spend.family}, churn: {churn.family}, beyond: {'BG/NBD' if lasting.purchases else 'pro rata'}"
    notes = tuple(note for note in (spend.note, churn.note, lasting.note) if note)
    return Predictions(_table(histories, columns, model), lasting.parameters, notes, horizon)


def _gaps(db: duckdb.DuckDBPyConnection, as_of: date) -> Floats:
    found = db.execute(_GAPS, {"as_of": as_of, "most": MOST_GAPS}).to_arrow_table()
    return np.asarray(found["gap_days"].to_numpy(), dtype=np.float64)


def _histories(db: duckdb.DuckDBPyConnection) -> Histories:
    table = db.sql(_HISTORIES).to_arrow_table()

    def floats(name: str) -> Floats:
        return np.asarray(table[name].to_numpy(), dtype=np.float64)

    return Histories(
        customers=table["customer_id"].combine_chunks(),
        frequency=floats("frequency"),
        recency=floats("recency") / WEEK_DAYS,
        age=floats("age") / WEEK_DAYS,
        mean_value=floats("mean_value"),
    )


def _training_rows(db: duckdb.DuckDBPyConnection, as_of: date, horizon: int) -> TrainingRows | None:
    first = first_day(db)
    cutoffs = () if first is None else training_cutoffs(first, as_of, horizon)
    windows: list[Observation] = [
        replace(observed)
        for cutoff in cutoffs
        if len(observed := observe(db, cutoff, horizon, outcome=True, most_customers=MOST_ROWS // len(cutoffs)))
    ]
    return stack(windows) if windows else None


@dataclass(frozen=True, slots=True, eq=False)
class Lasting:
    """The buy-till-you-die models; ``purchases`` is None where they cannot be fitted, and ``note`` says why."""

    purchases: BgNbd | None
    spend: GammaGamma | None
    note: str

    @property
    def parameters(self) -> tuple[tuple[str, str, float, float | None], ...]:
        """Rows of (model, parameter, value, standard error)."""
        models = (("BG/NBD", self.purchases, ("r", "alpha", "a", "b")), ("Gamma-Gamma", self.spend, ("p", "q", "v")))
        return tuple(
            (title, name, float(getattr(model, name)), model.standard_errors.get(name))
            for title, model, names in models
            if model is not None
            for name in names
        )


def _fit_lasting(histories: Histories) -> Lasting:
    try:
        purchases = fit_bg_nbd(histories.frequency, histories.recency, histories.age)
        paying = (histories.frequency > 0) & (histories.mean_value > 0)
        spend = fit_gamma_gamma(histories.frequency[paying], histories.mean_value[paying])
    except CheckFailedError as error:
        return Lasting(None, None, f"Beyond the horizon spend is taken pro rata: {error}")
    return Lasting(purchases, spend, "")


def _spend_columns(forecast: SpendForecast, lasting: Lasting, histories: Histories, horizon: int) -> dict[str, Floats]:
    frequency, recency, age = histories.frequency, histories.recency, histories.age
    root = np.sqrt(forecast.median)
    spread = Z_80 * np.sqrt(np.maximum(forecast.expected - forecast.median, 0))
    pro_rata = YEAR_DAYS / horizon
    columns: dict[str, Floats] = {"expected_spend": forecast.expected, "expected_spend_median": forecast.median}
    beyond = np.full(len(age), pro_rata)
    if lasting.purchases is not None:
        near = lasting.purchases.expected_purchases(horizon / WEEK_DAYS, frequency, recency, age)
        year = lasting.purchases.expected_purchases(YEAR_DAYS / WEEK_DAYS, frequency, recency, age)
        beyond = np.clip(year / np.maximum(near, 1e-12), min(1.0, pro_rata), max(1.0, pro_rata))
        columns["p_alive"] = lasting.purchases.alive_probability(frequency, recency, age)
        columns["expected_orders"] = near
    columns["lifetime_value"] = forecast.expected * beyond
    columns["lifetime_value_low"] = np.maximum(root - spread, 0) ** 2 * beyond
    columns["lifetime_value_high"] = (root + spread) ** 2 * beyond
    return columns


_PREDICTED = (
    "p_alive",
    "expected_orders",
    "expected_spend",
    "expected_spend_median",
    "churn_probability",
    "lifetime_value",
    "lifetime_value_low",
    "lifetime_value_high",
)


def _table(histories: Histories, columns: dict[str, Floats], model: str) -> pa.Table:
    size = len(histories.customers)
    arrays = {
        name: pa.array(np.round(columns[name], 6), from_pandas=True)
        if name in columns
        else pa.nulls(size, pa.float64())
        for name in _PREDICTED
    }
    return pa.table({"customer_id": histories.customers, **arrays, "prediction_model": pa.array([model] * size)})


def _no_rows() -> pa.Table:
    names = ("customer_id", *_PREDICTED, "prediction_model")
    return pa.table({name: pa.nulls(0, pa.float64() if name in _PREDICTED else pa.string()) for name in names})
