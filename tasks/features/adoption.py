"""The category a customer has not bought for a year and is most likely to take up next, with a calibrated probability.

What goes together is learnt by EASE over categories (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data",
2019). How often such a suggestion comes true is learnt by a logistic regression on the last closed window: what was
known before it, what was bought in it. The naive rival suggests the category that most customers bought lately.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tasks.features.observation import Floats

NEIGHBOURS, POPULAR = "neighbours", "popular"
MODELS = (NEIGHBOURS, POPULAR)
YEAR_DAYS = 365
MOST_CATEGORIES = 300
MOST_TAUGHT = 5_000  # customers that the model learns from; all are served
FEWEST_CUSTOMERS = 200
FEWEST_CATEGORIES = 3
CHUNK_CUSTOMERS = 20_000
RIDGE_SHARE = 0.4

Flags = NDArray[np.bool_]

_PAIRS = """
    CREATE OR REPLACE TEMP TABLE adoption_pairs AS
    WITH lines AS (
        SELECT customer_id, category, $as_of::DATE - order_date AS age
        FROM order_lines JOIN products USING (product_id)
        WHERE customer_id IS NOT NULL AND category IS NOT NULL AND amount > 0 AND order_date < $as_of
          AND order_date >= $as_of::DATE - ($year + $horizon)::INTEGER
          AND NOT regexp_matches(lower(concat_ws(' | ', category, department)), $leave_out)
    ), people AS (
        SELECT customer_id, row_number() OVER (ORDER BY customer_id) - 1 AS customer,
               row_number() OVER (ORDER BY md5(customer_id), customer_id) <= $most_taught AS teaches
        FROM (SELECT DISTINCT customer_id FROM lines)
    ), shelves AS (
        SELECT category, row_number() OVER (ORDER BY category) - 1 AS shelf FROM (
            SELECT category FROM lines GROUP BY category
            ORDER BY count(DISTINCT customer_id) DESC, category LIMIT $most_categories)
    )
    SELECT customer_id, customer, teaches, category, shelf,
           bool_or(age <= $year) AS owned, bool_or(age <= $horizon) AS recent,
           bool_or(age > $horizon) AS owned_before, bool_or(age > $horizon AND age <= 2 * $horizon) AS recent_before
    FROM lines JOIN people USING (customer_id) JOIN shelves USING (category) GROUP BY ALL
"""
_BOUGHT = """
    SELECT DISTINCT customer_id, category FROM order_lines JOIN products USING (product_id)
    WHERE customer_id IS NOT NULL AND amount > 0
      AND order_date >= $as_of AND order_date < $as_of::DATE + $horizon::INTEGER
"""


@dataclass(frozen=True, slots=True, eq=False)
class _Shelves:
    """Rows are customers, columns categories: bought in the year, and in the horizon, before some morning."""

    owned: Flags
    recent: Flags

    @property
    def popularity(self) -> Floats:
        """Share of customers who bought from each category within the horizon, kept off zero."""
        return np.asarray((self.recent.sum(axis=0) + 0.5) / (len(self.recent) + 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """Slopes of a logistic regression per pair, the weights between categories (none: suggest what is popular), how
    popular each category is, and the line that calibrates the chance of those pairs that are suggested."""

    slopes: Floats
    together: Floats | None
    popularity: Floats
    calibration: tuple[float, float] = (0.0, 1.0)

    def pick(self, shelves: _Shelves) -> tuple[NDArray[np.int64], Floats, Flags]:
        """The best category per customer, its chance within the horizon, and whether there is one at all."""
        score = _signals(shelves, self.popularity, self.together) @ self.slopes
        ranked = np.broadcast_to(self.popularity[np.newaxis, :], score.shape) if self.together is None else score
        best = np.argmax(np.where(shelves.owned, -np.inf, np.round(ranked, 9)), axis=1)  # ties go to the first by name
        chosen = np.take_along_axis(score, best[:, np.newaxis], axis=1)[:, 0]
        shift, stretch = self.calibration
        return best, np.asarray(1 / (1 + np.exp(-(shift + stretch * chosen)))), np.asarray(~shelves.owned.all(axis=1))


def suggest(
    db: duckdb.DuckDBPyConnection,
    as_of: date,
    horizon_days: int,
    *,
    leave_out: tuple[str, ...] = (),
    model: str | None = None,
) -> pa.Table:
    """Return customer_id, adoption_category and adoption_probability (0 to 1, within the horizon), by customer_id.

    Reads the views order_lines and products. ``leave_out`` are words of categories that nobody takes up; ``model`` is
    ``neighbours`` (when left out) or ``popular``. Empty where fewer than 200 customers or three categories can teach.
    """
    words = "|".join(re.escape(word.lower()) for word in leave_out) or "^$a"
    values = {"as_of": as_of, "horizon": horizon_days, "year": YEAR_DAYS, "leave_out": words}
    db.execute(_PAIRS, values | {"most_taught": MOST_TAUGHT, "most_categories": MOST_CATEGORIES})
    names = [row[0] for row in db.sql("SELECT DISTINCT category FROM adoption_pairs ORDER BY 1").fetchall()]
    with threadpool_limits(limits=1):
        learnt = _learn(db, len(names), popular=model == POPULAR)
        parts = [] if learnt is None else [*_suggestions(db, learnt, names)]
    schema = pa.schema(
        {"customer_id": pa.string(), "adoption_category": pa.string(), "adoption_probability": pa.float64()}
    )
    return pa.Table.from_batches(parts, schema)


def came_true(db: duckdb.DuckDBPyConnection, suggested: pa.Table, as_of: date, horizon_days: int) -> Floats:
    """1 for each suggestion whose customer bought from the category in the window that starts at ``as_of``, else 0."""
    db.register("suggested", suggested)
    rows = db.execute(
        f"WITH bought AS ({_BOUGHT}) "
        "SELECT (bought.category IS NOT NULL)::DOUBLE AS hit FROM suggested LEFT JOIN bought "
        "ON suggested.customer_id = bought.customer_id AND adoption_category = category ORDER BY suggested.customer_id",
        {"as_of": as_of, "horizon": horizon_days},
    ).fetchnumpy()
    return np.asarray(rows["hit"], dtype=np.float64)


def _learn(db: duckdb.DuckDBPyConnection, categories: int, *, popular: bool) -> _Model | None:
    """Fit on the window that ended today, then look at today: popularity and neighbours are those of now."""
    rows, ids = _read(db, "teaches")
    people = len(ids)
    if people < FEWEST_CUSTOMERS or categories < FEWEST_CATEGORIES:
        return None
    before = _Shelves(*(_matrix(rows, name, people, categories) for name in ("owned_before", "recent_before")))
    now = _Shelves(*(_matrix(rows, name, people, categories) for name in ("owned", "recent")))
    known = np.asarray(before.owned.any(axis=1))
    open_to = ~before.owned & known[:, np.newaxis]
    taken = now.recent[open_to]
    if not 0 < taken.sum() < len(taken):
        return None
    learnt = _Model(np.zeros(0), None if popular else _neighbours(before.owned), before.popularity)
    signals = _signals(before, learnt.popularity, learnt.together)[open_to]
    learnt = replace(learnt, slopes=_logistic(signals, taken))
    learnt = replace(learnt, calibration=_calibration(learnt, before, now, known))
    return replace(learnt, together=None if popular else _neighbours(now.owned), popularity=now.popularity)


def _logistic(signals: Floats, taken: Flags) -> Floats:
    fitted = LogisticRegression(C=1e6, max_iter=300, fit_intercept=False).fit(signals, taken)
    return np.asarray(fitted.coef_[0], dtype=np.float64)


def _calibration(learnt: _Model, before: _Shelves, now: _Shelves, known: Flags) -> tuple[float, float]:
    """The best of many chances is a flattered one: what was suggested is compared with what came true."""
    best, chance, has_one = learnt.pick(before)
    judged = known & has_one
    hit = np.take_along_axis(now.recent, best[:, np.newaxis], axis=1)[judged, 0]
    if hit.all() or not hit.any():
        return 0.0, 1.0
    odds = np.log(chance[judged] / (1 - chance[judged]))
    shift, stretch = _logistic(np.stack([np.ones(len(odds)), odds], axis=1), hit)
    return float(shift), float(stretch)


def _suggestions(db: duckdb.DuckDBPyConnection, model: _Model, names: list[str]) -> Iterator[pa.RecordBatch]:
    total = db.sql("SELECT max(customer) + 1 FROM adoption_pairs").fetchall()[0][0]
    categories = np.array(names, dtype=object)
    for first in range(0, total, CHUNK_CUSTOMERS):
        rows, ids = _read(db, f"customer >= {first} AND customer < {first + CHUNK_CUSTOMERS}")
        shelves = _Shelves(*(_matrix(rows, name, len(ids), len(names)) for name in ("owned", "recent")))
        best, chance, has_one = model.pick(shelves)
        yield pa.record_batch(
            {
                "customer_id": pa.array([name for name, kept in zip(ids, has_one, strict=True) if kept], pa.string()),
                "adoption_category": pa.array(categories[best[has_one]].tolist(), pa.string()),
                "adoption_probability": pa.array(np.round(chance[has_one], 6), pa.float64()),
            }
        )


def _read(db: duckdb.DuckDBPyConnection, where: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The pairs of some customers, numbered from 0, and who they are."""
    rows = db.sql(
        "SELECT dense_rank() OVER (ORDER BY customer) - 1 AS customer, customer_id, shelf, "
        f"owned, recent, owned_before, recent_before FROM adoption_pairs WHERE {where} ORDER BY customer, shelf"
    ).to_arrow_table()
    columns = {name: rows[name].to_numpy(zero_copy_only=False) for name in rows.column_names if name != "customer_id"}
    return columns, list(dict.fromkeys(rows["customer_id"].to_pylist()))


def _matrix(rows: dict[str, NDArray[Any]], name: str, people: int, categories: int) -> Flags:
    found = np.zeros((people, categories), dtype=np.bool_)
    found[rows["customer"], rows["shelf"]] = rows[name]
    return found


def _signals(shelves: _Shelves, popularity: Floats, together: Floats | None) -> Floats:
    """Per customer and category: a constant, popularity (logit), how widely the customer buys, and neighbours."""
    shape = shelves.owned.shape
    found = [
        np.ones(shape),
        np.broadcast_to(np.log(popularity / (1 - popularity))[None, :], shape),
        np.broadcast_to(np.log1p(shelves.owned.sum(axis=1))[:, None], shape),
        np.broadcast_to(np.log1p(shelves.recent.sum(axis=1))[:, None], shape),
    ]
    if together is not None:
        found.append(shelves.owned @ together)
    return np.stack(found, axis=2)


def _neighbours(owned: Flags) -> Floats:
    """EASE weights: row is the category owned, column the one suggested."""
    table = owned.astype(np.float64)
    gram = table.T @ table  # whole numbers: the order of customers does not matter
    gram[np.diag_indices_from(gram)] += RIDGE_SHARE * len(table)
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights)
