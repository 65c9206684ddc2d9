"""What the daily run writes about every customer."""

from datetime import timedelta

import pyarrow.compute as pc

from tasks.features.observation import observe
from tasks.features.predictions import predict_customers
from tasks.features.rivals import fit_lifetimes
from tasks.lake.contracts import CONTRACTS
from tests.features.purchases import START, database, drawn

CUTOFF = START + timedelta(days=125)


def predicted(db, champions=None):
    observation = observe(db, CUTOFF, 42)
    return predict_customers(db, observation, fit_lifetimes(observation), champions or {})


def test_every_customer_gets_one_row_of_known_columns():
    with database(drawn(300, 120, leave=0.1)) as db:
        said = predicted(db)
    assert said["customer_id"].to_pylist() == sorted(set(said["customer_id"].to_pylist()))
    horizon_only = {"expected_spend_low", "expected_spend_high"}  # their year is what is kept
    assert set(said.column_names) - horizon_only <= set(CONTRACTS["customer_features"].schema.names)
    assert all(
        low <= high for low, high in zip(*(said[name].to_pylist() for name in sorted(horizon_only)[::-1]), strict=True)
    )
    assert said["expected_spend"].null_count == 0
    assert pc.min(said["churn_probability"]).as_py() > 0
    assert set(said["prediction_model"].to_pylist()) == {"spend linear, churn linear, next order bands"}


def test_the_champion_of_the_back_test_is_used():
    with database(drawn(300, 120, leave=0.1)) as db:
        said = predicted(db, {"lifetime_value": "decayed_spend", "churn": "past_spend", "next_order": "own_rhythm"})
    assert said["prediction_model"][0].as_py() == "spend decayed_spend, churn past_spend, next order own_rhythm"


def test_one_visit_of_one_customer_gives_nulls_rather_than_inventions():
    with database([("ana", CUTOFF - timedelta(days=3), 20.0)]) as db:
        said = predicted(db).to_pylist()
    assert [(row["customer_id"], row["churn_probability"], row["p_alive"]) for row in said] == [("ana", None, None)]


def test_nobody_gives_an_empty_table():
    with database([]) as db:
        assert predicted(db).num_rows == 0
