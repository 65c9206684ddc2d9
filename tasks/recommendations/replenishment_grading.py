"""How well the day of the next purchase of a product is foretold, against the customer's own mean gap carried forward.

Customers count equally, whatever the number of products they buy again; a product that was not bought within the
window counts as bought at its end, and so does a prediction beyond it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np

from tasks.recommendations.grading import Grade, Window, interval
from tasks.recommendations.own_history import Pairs, pairs_before
from tasks.recommendations.purchases import Flags, Floats, Level, Purchases, collect, day_number, purchases, universe
from tasks.recommendations.replenishment import (
    OWN_GAP,
    RHYTHM,
    days_until_next,
    due_days,
    learn_rhythm,
    own_gap_days,
)
from tasks.recommendations.settings import RecommendationSettings

TARGET = "replenishment"
ERROR = "mae_days"
ERROR_WHEN_BOUGHT = "mae_days_when_bought"
ERRORS = frozenset({ERROR, ERROR_WHEN_BOUGHT})
COVERAGE = "interval_80_coverage"


@dataclass(frozen=True, slots=True, eq=False)
class Foretold:
    """Per pair that was bought on two days or more: the days foretold by each model, and an interval."""

    pairs: Pairs
    again: Flags
    middle: Mapping[str, Floats]
    first: Floats
    last: Floats


def grade_replenishment(
    db: duckdb.DuckDBPyConnection, cutoff: date, horizon_days: int, level: Level, settings: RecommendationSettings
) -> Grade | None:
    """Grade ``replenishment`` for ``horizon_days`` from ``cutoff`` on; None where nobody had bought anything twice.

    Metrics are mae_days (up to the horizon), the same over what was bought within the window (which rewards whoever
    always says soon, and so decides nothing), and interval_80_coverage for models that say one. The champion is chosen
    on the window that ended at the cut-off. Reads the views order_lines, products and customer_segments.
    """
    collect(db, cutoff + timedelta(days=horizon_days), settings)
    bought, items = purchases(db, level, "teaches"), universe(db, level).items
    first = day_number(cutoff)
    tested, chosen = (
        measure(foretell(bought, start, items), bought, start, horizon_days, items)
        for start in (first, first - horizon_days)
    )
    if not len(tested[OWN_GAP][ERROR]):
        return None
    champion, note = _choose(chosen)
    in_use = champion
    if tested[champion][ERROR].mean() > tested[OWN_GAP][ERROR].mean():
        in_use = OWN_GAP
        note = f"{champion} fell below {OWN_GAP} in the tested window, so {OWN_GAP} is used."
    return Grade(
        target=TARGET,
        level=level,
        champion=champion,
        naive=OWN_GAP,
        in_use=in_use,
        models={
            name: {metric: interval(values) for metric, values in each.items() if len(values)}
            for name, each in tested.items()
        },
        customers=len(tested[OWN_GAP][ERROR]),
        chosen_on=Window(cutoff - timedelta(days=horizon_days), cutoff),
        tested_on=Window(cutoff, cutoff + timedelta(days=horizon_days)),
        note=note,
    )


def foretell(bought: Purchases, cutoff: int, items: int) -> Foretold:
    """What each model says on the morning of day ``cutoff`` about the next purchase; later days are not looked at."""
    pairs = pairs_before(bought, cutoff)
    due = due_days(pairs, learn_rhythm(bought, cutoff, items))
    middle = {RHYTHM: due.middle, OWN_GAP: own_gap_days(pairs)}
    return Foretold(pairs, pairs.days > 1, middle, due.first, due.last)


def measure(
    said: Foretold, bought: Purchases, cutoff: int, horizon_days: int, items: int
) -> dict[str, dict[str, Floats]]:
    """Per model and metric one value per customer who had bought something again."""
    window = bought.between(cutoff, cutoff + horizon_days)
    following = days_until_next(window, said.pairs, cutoff, items)
    came, real = said.again & np.isfinite(following), _within(following, horizon_days)
    low, high = _within(said.first, horizon_days), _within(said.last, horizon_days)
    inside = ((real >= low) & (real <= high)).astype(np.float64)
    off = {name: np.abs(_within(days, horizon_days) - real) for name, days in said.middle.items()}
    measured = {
        name: {
            ERROR: _per_customer(said.pairs, said.again, days),
            ERROR_WHEN_BOUGHT: _per_customer(said.pairs, came, days),
        }
        for name, days in off.items()
    }
    measured[RHYTHM][COVERAGE] = _per_customer(said.pairs, said.again, inside)
    return measured


def _within(days: Floats, horizon_days: int) -> Floats:
    return np.minimum(np.where(np.isnan(days), np.inf, days), horizon_days)


def _per_customer(pairs: Pairs, counted: Flags, values: Floats) -> Floats:
    customer = pairs.customer[counted]
    count = np.bincount(customer)
    return np.asarray(np.bincount(customer, values[counted])[count > 0] / count[count > 0])


def _choose(chosen: Mapping[str, Mapping[str, Floats]]) -> tuple[str, str]:
    gain = chosen[OWN_GAP][ERROR] - chosen[RHYTHM][ERROR]
    if not len(gain):
        return OWN_GAP, "Nobody had bought anything twice before the window before."
    days = interval(gain)
    told = f"{days.value:.2f} days ({days.low:.2f} to {days.high:.2f}) nearer than {OWN_GAP} in the window before."
    if days.low <= 0:
        return OWN_GAP, f"{RHYTHM} was not surely better: {told}"
    return RHYTHM, f"{RHYTHM} was {told}"
