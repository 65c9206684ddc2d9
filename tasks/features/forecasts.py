"""The horizon and the year ahead of every customer, ready to stand beside what was measured.

The champions say what happens within the horizon. How the rest of the year relates to the horizon comes from the
buy-till-you-die models, which are made to look far; where they cannot be fitted, the year is taken pro rata. The
interval of the lifetime value carries what past customers spent beside their forecast from the horizon to the year.
"""

from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

from tasks.config import FeatureSettings
from tasks.features.observation import Floats, Observation, default_horizon_days, observe
from tasks.features.predictions import predict_customers
from tasks.features.rivals import Lifetimes, fit_lifetimes, histories
from tasks.lake.grade_book import champions

YEAR_DAYS = 365
WEEK_DAYS = 7
MOST_GAPS = 200_000

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


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """One row per customer with an order (``rows``) and the parameters of the buy-till-you-die models."""

    rows: pa.Table
    parameters: tuple[tuple[str, str, float, float | None], ...]
    horizon_days: int


def forecast(db: duckdb.DuckDBPyConnection, as_of: date, settings: FeatureSettings) -> Forecasts:
    """Forecast every customer from the views ``orders`` and ``model_grades``; see ``predict_customers`` for columns.

    Adds lifetime_value, lifetime_value_low and lifetime_value_high (net spend of 365 days; the 80 % interval is
    null where the champion says no spread).
    """
    horizon = settings.horizon_days or choose_horizon(db, as_of)
    observation = observe(db, as_of, horizon)
    lifetimes = fit_lifetimes(observation)
    rows = predict_customers(db, observation, lifetimes, champions(db, as_of))
    for name, values in _year(rows, observation, lifetimes, horizon).items():
        rows = rows.append_column(name, pa.array(np.round(values, 6), pa.float64(), from_pandas=True))
    return Forecasts(rows, _parameters(lifetimes), horizon)


def choose_horizon(db: duckdb.DuckDBPyConnection, as_of: date) -> int:
    """The horizon that suits the shop's purchase rhythm, from the gaps between days with orders."""
    gaps = db.execute(_GAPS, {"as_of": as_of, "most": MOST_GAPS}).to_arrow_table()["gap_days"]
    return default_horizon_days(np.asarray(gaps.to_numpy(), dtype=np.float64))


def _year(rows: pa.Table, observation: Observation, lifetimes: Lifetimes | None, horizon: int) -> dict[str, Floats]:
    beyond = _year_per_horizon(observation, lifetimes, horizon)
    of_horizon = {"": "expected_spend", "_low": "expected_spend_low", "_high": "expected_spend_high"}
    return {
        f"lifetime_value{end}": np.asarray(rows[name].to_numpy(), dtype=np.float64) * beyond
        for end, name in of_horizon.items()
    }


def _year_per_horizon(observation: Observation, lifetimes: Lifetimes | None, horizon: int) -> Floats:
    pro_rata = YEAR_DAYS / horizon
    if lifetimes is None:
        return np.full(len(observation), pro_rata)
    past = histories(observation)
    near = lifetimes.purchases.expected_purchases(horizon / WEEK_DAYS, *past)
    year = lifetimes.purchases.expected_purchases(YEAR_DAYS / WEEK_DAYS, *past)
    return np.clip(year / np.maximum(near, 1e-12), min(1.0, pro_rata), max(1.0, pro_rata))


def _parameters(lifetimes: Lifetimes | None) -> tuple[tuple[str, str, float, float | None], ...]:
    if lifetimes is None:
        return ()
    models = (
        ("BG/NBD", lifetimes.purchases, ("r", "alpha", "a", "b")),
        ("Gamma-Gamma", lifetimes.values, ("p", "q", "v")),
    )
    return tuple(
        (title, name, float(getattr(model, name)), model.standard_errors.get(name))
        for title, model, names in models
        for name in names
    )
