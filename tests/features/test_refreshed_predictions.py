"""Predictions between daily runs move as far as the lifetime models move, and say so."""

from datetime import date

import pyarrow as pa
import pytest

from tasks.features.refreshed_predictions import ALONE, CARRIED, MOVED, NO_ORDER, move_predictions
from tasks.lake.contracts import CONTRACTS

CONTRACT = CONTRACTS["customer_features"]
# BG/NBD and Gamma-Gamma as published for CDNOW (weeks; Fader and Hardie)
PUBLISHED = {
    ("BG/NBD", "r"): 0.243, ("BG/NBD", "alpha"): 4.414, ("BG/NBD", "a"): 0.793, ("BG/NBD", "b"): 2.426,
    ("Gamma-Gamma", "p"): 6.25, ("Gamma-Gamma", "q"): 3.74, ("Gamma-Gamma", "v"): 15.44,
}  # fmt: skip
PREDICTIONS = {
    "expected_spend": 80.0, "expected_spend_median": 60.0, "lifetime_value": 300.0, "lifetime_value_low": 100.0,
    "lifetime_value_high": 500.0, "churn_probability": 0.4, "p_alive": 0.8, "expected_orders": 2.0,
    "prediction_model": "spend blend, churn blend", "horizon_days": 91,
}  # fmt: skip
MEASURED = [name for name in CONTRACT.names if name not in {*PREDICTIONS, "next_order_date", "next_order_earliest"}]


def person(name, orders, first, last, spend, **more):
    """A customer who ordered on ``orders`` days, ``first`` and ``last`` days ago."""
    gap = (first - last) / (orders - 1) if orders > 1 else None
    filled = {column.name: None if column.nullable else 0 for column in CONTRACT.columns}
    texts = {"email_consent": "unknown", "prediction_model": "", "top_categories": []}
    flags = {"is_business": False, "has_email": True}
    told = {
        "customer_id": name, "as_of": date(2026, 3, 2), "orders": orders, "active_days": orders,
        "days_since_first_order": first, "recency_days": last, "monetary": spend, "interorder_days_mean": gap,
    }  # fmt: skip
    return {**filled, **texts, **flags, **told, **more}


def table(*people):
    return pa.Table.from_pylist(list(people), schema=CONTRACT.schema)


def moved(now, before, parameters=PUBLISHED):
    refreshed = table(*now).select([name for name in CONTRACT.names if name in MEASURED])
    found = move_predictions(
        refreshed=refreshed, previous=table(*before), parameters=parameters, horizon_days=91, columns=CONTRACT.names
    )
    return {row["customer_id"]: row for row in found.to_pylist()}


def test_who_bought_again_is_expected_to_spend_more_and_to_leave_less():
    row = moved([person("ana", 4, 101, 1, 90)], [person("ana", 3, 100, 60, 60, **PREDICTIONS)])["ana"]
    assert row["expected_spend"] > 80
    assert row["churn_probability"] < 0.4
    assert row["lifetime_value_low"] / row["lifetime_value"] == pytest.approx(1 / 3)
    assert row["prediction_model"] == "spend blend, churn blend" + MOVED
    assert row["next_order_date"] == date(2026, 4, 4)


def test_a_changed_profile_leaves_every_prediction_to_the_byte():
    before = person("ana", 3, 100, 60, 60, **PREDICTIONS)
    row = moved([person("ana", 3, 101, 61, 60, country="GB")], [before])["ana"]
    assert {name: row[name] for name in PREDICTIONS} == PREDICTIONS
    assert row["country"] == "GB"


def test_two_steps_move_as_far_as_one():
    start = person("ana", 3, 100, 60, 60, **PREDICTIONS)
    at_once = moved([person("ana", 5, 101, 1, 120)], [start])["ana"]
    half = moved([person("ana", 4, 101, 5, 80)], [start])["ana"]
    then = moved([person("ana", 5, 101, 1, 120)], [half])["ana"]
    for name in ("expected_spend", "lifetime_value", "churn_probability", "p_alive", "expected_orders"):
        assert then[name] == pytest.approx(at_once[name], rel=1e-5), name
    assert then["prediction_model"] == at_once["prediction_model"]


def test_a_first_order_is_predicted_by_the_lifetime_models_alone():
    row = moved([person("zoe", 1, 1, 1, 35)], [])["zoe"]
    assert row["prediction_model"] == ALONE
    assert row["p_alive"] == 1
    assert 0 < row["churn_probability"] < 1
    assert row["expected_spend"] < row["lifetime_value"]
    assert row["expected_spend_median"] is None


def test_without_kept_parameters_the_morning_is_carried_and_said_so():
    row = moved([person("ana", 4, 101, 1, 90)], [person("ana", 3, 100, 60, 60, **PREDICTIONS)], {})["ana"]
    assert row["expected_spend"] == 80
    assert row["prediction_model"].endswith(CARRIED)


def test_who_never_ordered_has_no_prediction():
    nobody = person("una", 0, None, None, 0, active_days=None)
    row = moved([nobody], [])["una"]
    assert row["prediction_model"] == NO_ORDER
    assert row["churn_probability"] is None
