"""What was known about each customer on the morning of a cut-off, and what they did afterwards.

One row per customer with an order before the cut-off; every column is built in DuckDB from orders whose local date is
before it, so nothing later can leak in. Money and decayed sums run over DECIMAL: the same orders in any sequence give
the same bytes. Attributes of profiles are left out on purpose: they rarely carry the date on which they became known,
and customers who stay are the ones whose profile gets filled in, so they tell a back-test the future.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray

from tasks.errors import ConfigurationError

Floats: TypeAlias = NDArray[np.float64]

HALF_LIVES = (1, 2, 4, 8, 16)  # in rhythm units, see rhythm_days
WINDOWS = (1, 2, 4, 8, 13)
PERIODS = 4  # the newest units and the newest four-unit periods, each on its own
SHORTEST_UNIT_DAYS = 7  # below a week, weekdays would be taken for trends
UNITS_PER_HORIZON = 13
YEAR_DAYS = 364  # whole weeks, so that weekdays match
MOST_ORIGINS = 8
EARLIEST_SHARE = 0.3  # an origin needs this share of the horizon as history before it

_OBSERVED = """
WITH purchases AS (
    SELECT customer_id, $cutoff::DATE - order_date AS age, order_date, ordered_at, amount, discount, items,
           distinct_products, is_return, weekend, store_id
    FROM orders WHERE customer_id IS NOT NULL AND order_date < $cutoff::DATE
), start AS (
    SELECT max(age) AS history_days FROM purchases
), days AS (
    SELECT customer_id, age, greatest(sum(amount), 0)::DECIMAL(18,4) AS spend, bool_or(NOT is_return) AS visit
    FROM purchases GROUP BY ALL
), visits AS (
    SELECT customer_id, age, lead(age) OVER newest_first - age AS gap, row_number() OVER newest_first AS position
    FROM days WHERE visit WINDOW newest_first AS (PARTITION BY customer_id ORDER BY age)
), rhythm AS (
    SELECT customer_id, min(age) AS recency, max(age) AS tenure, count(*) AS visits,
           sum(gap)::DOUBLE / nullif(count(gap), 0) AS gap_mean,
           sqrt(greatest(0, sum(gap * gap)::DOUBLE - sum(gap)::DOUBLE * sum(gap) / count(gap))
               / nullif(count(gap) - 1, 0)) AS gap_deviation,
           max(gap) AS gap_longest, quantile_disc(gap, 0.5) AS gap_median, quantile_disc(gap, 0.9) AS gap_long,
           (sum(gap) FILTER (position <= 5))::DOUBLE / nullif(count(gap) FILTER (position <= 5), 0) AS gap_recent,
           {visit_columns}
    FROM visits GROUP BY customer_id
), spending AS (
    SELECT customer_id, sum(spend)::DOUBLE AS spend, {spend_columns} FROM days GROUP BY customer_id
), baskets AS (
    SELECT customer_id, count(*) AS orders, sum(amount)::DOUBLE / count(*) AS basket_mean,
           quantile_disc(amount, 0.5)::DOUBLE AS basket_median, quantile_disc(amount, 0.9)::DOUBLE AS basket_large,
           sum(items::DECIMAL(18,3))::DOUBLE / count(*) AS basket_items,
           sum(distinct_products)::DOUBLE / count(*) AS basket_products,
           sum(discount)::DOUBLE / nullif(sum(amount + discount)::DOUBLE, 0) AS discount_share,
           (count(*) FILTER (weekend))::DOUBLE / count(*) AS weekend_share,
           count(DISTINCT store_id) AS stores,
           md5_number_lower(min({{'at': epoch_us(ordered_at), 'paid': amount, 'items': items}})::VARCHAR)
               % 1000000007 AS draw
    FROM purchases WHERE NOT is_return GROUP BY customer_id
)
SELECT customer_id, draw::BIGINT AS draw, history_days, recency, tenure, visits, orders, spend, basket_mean,
    basket_median, basket_large, basket_items, basket_products, coalesce(discount_share, 0) AS discount_share,
    weekend_share, stores,
    coalesce(gap_mean, tenure) AS gap_mean, coalesce(gap_deviation, gap_mean, tenure) AS gap_deviation,
    coalesce(gap_longest, tenure) AS gap_longest, coalesce(gap_median, tenure) AS gap_median,
    coalesce(gap_long, tenure) AS gap_long, coalesce(gap_recent, tenure) AS gap_recent,
    COLUMNS('^(visits|spend|roots|active)_')
FROM rhythm JOIN spending USING (customer_id) JOIN baskets USING (customer_id), start
{sample}
ORDER BY customer_id
"""

_FOLLOWED = """
SELECT customer_id, sum(amount)::DOUBLE AS spend, count(*) FILTER (NOT is_return) AS orders,
       min(order_date) FILTER (NOT is_return) - $cutoff::DATE AS days
FROM orders
WHERE customer_id IS NOT NULL AND order_date >= $cutoff::DATE AND order_date < $cutoff::DATE + $horizon::INT
GROUP BY customer_id
"""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What customers did in [cut-off, cut-off + horizon): net spend, orders, days from the cut-off to the first order.

    ``days`` is the horizon for those who did not order; ``bought`` tells the two apart.
    """

    spend: Floats
    orders: Floats
    days: Floats

    @property
    def bought(self) -> NDArray[np.bool_]:
        """Whether there was at least one order."""
        return self.orders > 0


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Customers as known at a cut-off: one row each, in the order of ``customers``.

    ``columns`` maps a name to one float per customer (money in the retailer's currency, times in days); ``draw`` is a
    number from the first order alone, so samples and folds do not depend on how customers are called. ``outcome`` is
    None unless it was asked for.
    """

    cutoff: date
    horizon_days: int
    unit_days: int
    history_days: int
    customers: NDArray[np.object_]
    draw: NDArray[np.int64]
    columns: dict[str, Floats]
    outcome: Outcome | None = None

    def __len__(self) -> int:
        return len(self.customers)

    def known_outcome(self) -> Outcome:
        """What happened afterwards; raises ConfigurationError if the window was not observed."""
        if self.outcome is None:
            raise ConfigurationError(f"The window after {self.cutoff} was not observed: ask for it with outcome=True.")
        return self.outcome


def rhythm_days(horizon_days: int) -> int:
    """Return the unit of time for half-lives and windows: a thirteenth of the horizon, a week at least."""
    return max(SHORTEST_UNIT_DAYS, round(horizon_days / UNITS_PER_HORIZON))


def default_horizon_days(interorder_days: Sequence[float] | Floats) -> int:
    """Return the horizon that suits the purchase rhythm: about eight usual gaps in whole weeks, 4 to 52 weeks.

    ``interorder_days`` are gaps between orders, of one customer or many. The usual gap is their 75th percentile, so
    that a customer who is merely slow does not count as gone: grocery gets about 13 weeks, furniture a year.
    Without any gap the horizon is 13 weeks.
    """
    gaps = np.asarray(interorder_days, dtype=np.float64)
    gaps = gaps[np.isfinite(gaps) & (gaps > 0)]
    if len(gaps) == 0:
        return 13 * 7
    return int(np.clip(np.ceil(8 * np.quantile(gaps, 0.75) / 7), 4, 52)) * 7


def first_day(db: duckdb.DuckDBPyConnection) -> date | None:
    """Return the local date of the first order of a known customer, None without any."""
    found = db.execute("SELECT min(order_date) FROM orders WHERE customer_id IS NOT NULL AND NOT is_return").fetchone()
    return found[0] if found else None


def training_cutoffs(first: date, cutoff: date, horizon_days: int, most: int = MOST_ORIGINS) -> tuple[date, ...]:
    """Return past cut-offs, oldest first, whose windows end by ``cutoff`` and which have a history before them.

    The newest is ``cutoff`` minus the horizon; the others precede it at even steps of at least two weeks. Empty when
    the history is too short to look back over a whole window.
    """
    newest = cutoff - timedelta(days=horizon_days)
    room = (newest - first).days - max(28, round(EARLIEST_SHARE * horizon_days))
    if room < 0:
        return ()
    step = max(14, horizon_days // 6)
    return tuple(newest - timedelta(days=step * back) for back in range(min(most, room // step + 1)))[::-1]


def observe(
    db: duckdb.DuckDBPyConnection,
    cutoff: date,
    horizon_days: int,
    *,
    outcome: bool = False,
    most_customers: int | None = None,
) -> Observation:
    """Return every customer with an order before ``cutoff``, and with ``outcome`` what followed within the horizon.

    Reads the view ``orders``. ``most_customers`` takes that many by a fixed draw, for training on very large data.
    Raises ConfigurationError for a horizon below one day.
    """
    if horizon_days < 1:
        raise ConfigurationError(f"The horizon must be one day or more; it is {horizon_days}.")
    unit = rhythm_days(horizon_days)
    sample = (
        ""
        if most_customers is None
        else f"QUALIFY row_number() OVER (ORDER BY draw, customer_id) <= {int(most_customers)}"
    )
    query = _OBSERVED.format(visit_columns=_visit_columns(unit), spend_columns=_spend_columns(unit), sample=sample)
    rows = db.execute(query, {"cutoff": cutoff}).to_arrow_table()
    raw = {
        name: np.asarray(rows[name].to_numpy(zero_copy_only=False), dtype=np.float64)
        for name in rows.column_names
        if name not in ("customer_id", "draw")
    }
    history_days = int(raw.pop("history_days")[0]) if len(rows) else 0
    customers = np.array(rows["customer_id"].to_pylist(), dtype=object)
    return Observation(
        cutoff=cutoff,
        horizon_days=horizon_days,
        unit_days=unit,
        history_days=history_days,
        customers=customers,
        draw=rows["draw"].to_numpy(zero_copy_only=False).astype(np.int64),
        columns=_per_day(raw, unit, history_days),
        outcome=_outcome(db, cutoff, horizon_days, customers) if outcome else None,
    )


def _visit_columns(unit: int) -> str:
    decayed = [
        f"sum(pow(2, -age / {unit * half}.0)::DECIMAL(20,10))::DOUBLE AS visits_decayed_{half}" for half in HALF_LIVES
    ]
    windows = [f"(count(*) FILTER (age <= {unit * units}))::DOUBLE AS visits_last_{units}" for units in WINDOWS]
    active = [
        f"(count(DISTINCT (age - 1) // {unit}) FILTER (age <= {unit * units}))::DOUBLE AS active_last_{units}"
        for units in WINDOWS[2:]
    ]
    return ", ".join([*decayed, *windows, *active])


def _spend_columns(unit: int) -> str:
    decayed = [
        f"sum((spend::DOUBLE * pow(2, -age / {unit * half}.0))::DECIMAL(28,8))::DOUBLE AS spend_decayed_{half}"
        for half in HALF_LIVES
    ]
    roots = [
        f"sum((sqrt(spend::DOUBLE) * pow(2, -age / {unit * half}.0))::DECIMAL(28,8))::DOUBLE AS roots_decayed_{half}"
        for half in HALF_LIVES
    ]
    windows = [
        f"coalesce(sum(spend) FILTER (age <= {unit * units}), 0)::DOUBLE AS spend_last_{units}" for units in WINDOWS
    ]
    periods = [
        f"coalesce(sum(spend) FILTER (age > {first * length} AND age <= {(first + 1) * length}), 0)::DOUBLE "
        f"AS spend_{name}_{first}"
        for name, length in (("unit", unit), ("period", 4 * unit))
        for first in range(PERIODS)
    ]
    return ", ".join([*decayed, *roots, *windows, *periods])


def _per_day(raw: dict[str, Floats], unit: int, history_days: int) -> dict[str, Floats]:
    """Turn decayed sums into rates per day of history, and add the ratios that a tree would have to approximate."""
    columns = dict(raw)
    ages = np.arange(1, history_days + 1)
    for half in HALF_LIVES:
        weight = np.exp2(-ages / (unit * half)).sum()
        for kind in ("visits", "spend", "roots"):
            columns[f"{kind}_decayed_{half}"] = raw[f"{kind}_decayed_{half}"] / max(weight, 1e-9)
    history = max(history_days, 1)
    for name in ("gap_mean", "gap_longest", "gap_long", "gap_recent"):
        columns[f"recency_per_{name}"] = raw["recency"] / np.maximum(raw[name], 1)
    columns["regularity"] = raw["gap_deviation"] / np.maximum(raw["gap_mean"], 1)
    columns["coverage"] = raw["tenure"] / history
    columns["visits_per_day"] = raw["visits"] / history
    columns["spend_per_day"] = raw["spend"] / history
    columns["repeats"] = np.minimum(raw["visits"] - 1, 3)
    return columns


def _outcome(db: duckdb.DuckDBPyConnection, cutoff: date, horizon_days: int, customers: NDArray[np.object_]) -> Outcome:
    rows = db.execute(_FOLLOWED, {"cutoff": cutoff, "horizon": horizon_days}).to_arrow_table()
    place = {name: row for row, name in enumerate(rows["customer_id"].to_pylist())}
    where = np.array([place.get(name, len(place)) for name in customers], dtype=np.int64)

    def placed(name: str, otherwise: float) -> Floats:
        values = np.asarray(rows[name].to_numpy(zero_copy_only=False), dtype=np.float64)
        filled = np.where(np.isnan(values), otherwise, values)
        return np.append(filled, otherwise)[where]

    return Outcome(placed("spend", 0.0), placed("orders", 0.0), placed("days", float(horizon_days)))
