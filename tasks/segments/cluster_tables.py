"""Clusters in tables: the clustering in use, the reviews, and each customer's cluster."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.lake.contracts import CONTRACTS
from tasks.lake.contracts.column import TEXT, WHOLE
from tasks.segments.behaviour import COLUMNS, measure
from tasks.segments.clusters import Review, Solution

FRAME_COLUMNS = ("customer_id", *COLUMNS)


def solution_rows(solution: Solution) -> pa.Table:
    """Rows of ``cluster_models`` for a clustering that was just accepted."""
    definition = solution.model_dump_json()
    rows = [
        {
            "as_of": solution.accepted_on,
            "cluster": number,
            "label": label,
            "method": solution.partition.method,
            "share": share,
            "eta_squared": solution.eta_squared,
            "stability": solution.stability,
            "definition": definition,
        }
        for number, label, share in zip(solution.numbers, solution.labels, solution.shares, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=CONTRACTS["cluster_models"].schema)


def solution_in_use(rows: Sequence[Mapping[str, Any]], as_of: date) -> Solution | None:
    """The clustering accepted last on or before ``as_of``, out of rows of ``cluster_models``."""
    known = [row for row in rows if row["as_of"] <= as_of]
    if not known:
        return None
    newest = max(known, key=lambda row: (row["as_of"], -row["cluster"]))
    return Solution.model_validate_json(newest["definition"])


def review_rows(reviews: Sequence[Review], as_of: date) -> pa.Table:
    """Rows of ``cluster_reviews``; of candidates that came to the same method and number the chosen or first one."""
    told: dict[tuple[str, int], Review] = {}
    for review in sorted(reviews, key=lambda one: not one.chosen):
        told.setdefault((review.method, review.clusters), review)
    names = set(CONTRACTS["cluster_reviews"].names) - {"as_of"}
    rows = [{"as_of": as_of, **{name: getattr(review, name) for name in names}} for review in told.values()]
    return pa.Table.from_pylist(rows, schema=CONTRACTS["cluster_reviews"].schema)


def customer_clusters(solution: Solution | None, today: pd.DataFrame) -> pa.Table:
    """customer_id, cluster and cluster_label of everyone with an order; no rows without a clustering."""
    people = measure(today)
    numbers = np.array([], dtype=np.int64) if solution is None else solution.place(people)
    names = {} if solution is None else dict(zip(solution.numbers, solution.labels, strict=True))
    return pa.table(
        {
            "customer_id": pa.array(people.customer_ids[: len(numbers)], TEXT),
            "cluster": pa.array(numbers, WHOLE),
            "cluster_label": pa.array([names[number] for number in numbers.tolist()], TEXT),
        }
    )
