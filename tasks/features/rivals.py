"""What a model must beat: carried-forward spend, recency, the RFM score, and the lifetime models of the literature."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from tasks.errors import CheckFailedError
from tasks.features.lifetime_value import BgNbd, GammaGamma, expected_value, fit_bg_nbd, fit_gamma_gamma
from tasks.features.observation import UNITS_PER_HORIZON, Floats, Observation

WEEK_DAYS = 7.0


@dataclass(frozen=True, slots=True, eq=False)
class Lifetimes:
    """BG/NBD and Gamma-Gamma fitted to the customers of one observation; both read its visits as purchases."""

    purchases: BgNbd
    values: GammaGamma

    def spend(self, observation: Observation) -> Floats:
        """Expected spend over the horizon per customer, in the retailer's currency."""
        frequency, recency, age = histories(observation)
        return expected_value(
            self.purchases,
            self.values,
            observation.horizon_days / WEEK_DAYS,
            frequency=frequency,
            recency=recency,
            age=age,
            mean_value=visit_values(observation),
        )

    def no_order(self, observation: Observation) -> Floats:
        """Probability of no order within the horizon per customer."""
        return self.purchases.no_purchase_probability(observation.horizon_days / WEEK_DAYS, *histories(observation))

    def orders(self, observation: Observation) -> Floats:
        """Expected visits over the horizon per customer."""
        return self.purchases.expected_purchases(observation.horizon_days / WEEK_DAYS, *histories(observation))


def fit_lifetimes(observation: Observation) -> Lifetimes | None:
    """Fit both models on everything known at the cut-off; None where the data does not determine them."""
    frequency, recency, age = histories(observation)
    if len(observation) == 0:
        return None
    try:
        return Lifetimes(fit_bg_nbd(frequency, recency, age), fit_gamma_gamma(frequency, visit_values(observation)))
    except CheckFailedError:
        return None


def histories(observation: Observation) -> tuple[Floats, Floats, Floats]:
    """Return frequency (repeat visits), recency and age in weeks, as the lifetime models define them."""
    columns = observation.columns
    tenure = columns["tenure"]
    return columns["visits"] - 1, (tenure - columns["recency"]) / WEEK_DAYS, tenure / WEEK_DAYS


def visit_values(observation: Observation) -> Floats:
    """Return the mean spend per visit day, a cent at least where something was bought."""
    return np.maximum(observation.columns["spend"] / observation.columns["visits"], 0.01)


def carried_spend(observation: Observation) -> Floats:
    """Spend of the last thirteen units (a horizon, to the day or nearly so), carried forward to the whole horizon."""
    days = UNITS_PER_HORIZON * observation.unit_days
    return observation.columns[f"spend_last_{UNITS_PER_HORIZON}"] * (observation.horizon_days / days)


def rfm_sum(observation: Observation) -> Floats:
    """Sum of the recency, frequency and monetary quintiles, 3 to 15; ties share a quintile."""
    scores = (-observation.columns["recency"], observation.columns["visits"], observation.columns["spend"])
    return np.asarray(sum(np.ceil(5 * rankdata(score) / len(score)) for score in scores), dtype=np.float64)
