"""What the champions say about every customer today: one row each, ready for the customer features."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pyarrow as pa

from tasks.features.backtest import churn_candidates, next_order_forecasts, spend_candidates, training_rows
from tasks.features.grading import Candidate
from tasks.features.observation import Floats, Observation
from tasks.features.rivals import Lifetimes, histories
from tasks.features.training_rows import one_thread


def predict_customers(
    db: duckdb.DuckDBPyConnection,
    observation: Observation,
    lifetimes: Lifetimes | None,
    champions: Mapping[str, str | None],
) -> pa.Table:
    """Return the predictions for the window that starts at the observation's cut-off; reads the view ``orders``.

    ``champions`` maps lifetime_value, churn and next_order to the model that a back-test chose; where it is missing or
    cannot be fitted today, the richest model that can serves. Columns: customer_id, expected_orders and p_alive (null
    where repeat purchases cannot be modelled), expected_spend, expected_spend_median, expected_spend_low and _high (all
    currency; the ends of the 80 % interval are null where the model says one number only), churn_probability (null on
    young data), next_order_date, next_order_earliest, next_order_latest (null beyond the horizon), horizon_days,
    prediction_model.
    """
    horizon_days = observation.horizon_days
    rows = training_rows(db, observation.cutoff, horizon_days) if len(observation) else None
    # The three fits share nothing but what they read, and spend their time outside the interpreter's lock.
    with one_thread(), ThreadPoolExecutor(max_workers=3) as pool:
        spends = pool.submit(spend_candidates, rows, observation, lifetimes)
        churns = pool.submit(churn_candidates, rows, observation, lifetimes)
        orders = pool.submit(next_order_forecasts, rows, observation)
    spend_model, spend = _chosen(spends.result(), "mean", champions.get("lifetime_value"))
    churn_model, churn = _chosen(churns.result(), "probability", champions.get("churn"))
    forecasts = orders.result()
    wanted = champions.get("next_order")
    order_model = wanted if wanted in forecasts else next(iter(forecasts))
    earliest, middle, latest = forecasts[order_model].dates()
    unknown = np.full(len(observation), np.nan)
    alive = lifetimes.purchases.alive_probability(*histories(observation)) if lifetimes else unknown
    return pa.table(
        {
            "customer_id": pa.array(observation.customers.tolist(), pa.string()),
            "p_alive": _nullable(alive),
            "expected_orders": _nullable(lifetimes.orders(observation) if lifetimes else unknown),
            "expected_spend": _nullable(spend.predictions.get("mean", unknown)),
            "expected_spend_median": _nullable(spend.predictions.get("median", unknown)),
            "expected_spend_low": _nullable(spend.predictions.get("low", unknown)),
            "expected_spend_high": _nullable(spend.predictions.get("high", unknown)),
            "churn_probability": _nullable(churn.predictions.get("probability", unknown)),
            "next_order_date": pa.array(middle, pa.date32()),
            "next_order_earliest": pa.array(earliest, pa.date32()),
            "next_order_latest": pa.array(latest, pa.date32()),
            "horizon_days": pa.array([horizon_days] * len(observation), pa.int64()),
            "prediction_model": pa.array(
                [f"spend {spend_model}, churn {churn_model}, next order {order_model}"] * len(observation), pa.string()
            ),
        }
    )


def _chosen(candidates: Mapping[str, Candidate], needs: str, wanted: str | None) -> tuple[str, Candidate]:
    usable = {name: one for name, one in candidates.items() if one.usable and needs in one.predictions}
    name = wanted if wanted in usable else next(iter(usable), None)
    return (name, usable[name]) if name is not None else ("none", Candidate({}))


def _nullable(values: Floats) -> pa.Array:
    return pa.array(np.round(values, 6), pa.float64(), from_pandas=True)
