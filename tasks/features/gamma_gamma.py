"""Gamma-Gamma: what a customer spends per purchase, when purchases vary around a level of the customer's own."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, gammaln

from tasks.errors import CheckFailedError, ConfigurationError
from tasks.features.maximum_likelihood import maximise
from tasks.features.purchase_histories import Floats, collapsed, column, same_length


@dataclass(frozen=True, slots=True, kw_only=True)
class GammaGamma:
    """A fitted Gamma-Gamma model (Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary Value").

    A purchase is worth Gamma(p, nu), nu varies between customers as Gamma(q, v); v has the unit of money.
    ``standard_errors`` has one entry per parameter.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    standard_errors: dict[str, float]

    def expected_spend(self, frequency: ArrayLike, mean_value: ArrayLike) -> Floats:
        """Expected value of a customer's next purchase: the own average, drawn towards everybody's by its uncertainty.

        ``mean_value`` averages over ``frequency`` purchases and is ignored where that is 0. Raises ConfigurationError
        for values that make no sense, CheckFailedError where spend is too unequal to have a mean (p * frequency + q is
        1 or less).
        """
        x, z = _checked(frequency, mean_value)
        certainty = self.p * x + self.q - 1
        if np.any(certainty <= 0):
            raise CheckFailedError(
                f"Spend is so unequal (q = {self.q:.4g}) that {int((certainty <= 0).sum())} customers have no expected "
                "spend. Check the largest orders, or use the average order value."
            )
        return np.asarray(self.p * (self.v + x * z) / certainty)


class Spend(NamedTuple):
    """Distinct (frequency, mean value) rows with what the likelihood needs of them."""

    frequency: Floats
    total: Floats
    weights: Floats
    counts: Floats
    count_weights: Floats
    log_total: float  # sum over customers of frequency times log of total
    log_mean: float  # sum over customers of log of mean


def fit_gamma_gamma(frequency: ArrayLike, mean_value: ArrayLike, weights: ArrayLike | None = None) -> GammaGamma:
    """Fit Gamma-Gamma by maximum likelihood to the customers with a ``frequency`` of 1 or more.

    ``mean_value`` is the average value of the ``frequency`` purchases, in money; in the papers these are the repeat
    purchases, and customers without any are left out. The model takes the level of spend as unrelated to frequency.
    Raises ConfigurationError for values that make no sense (a mean of 0 or less), CheckFailedError when nobody bought
    twice or the data does not determine the model.
    """
    spend = distinct_spend(frequency, mean_value, weights)
    customers = float(spend.weights.sum())
    average = float(spend.weights @ (spend.total / spend.frequency)) / customers
    starts = [{"p": p, "q": q, "v": average * (q - 1) / p} for p, q in ((4.0, 3.0), (1.0, 2.0), (20.0, 10.0))]

    def objective(parameters: Floats) -> tuple[float, Floats]:
        return log_likelihood(parameters, spend)

    maximum = maximise(objective, starts, customers=customers, model="Gamma-Gamma")
    found = maximum.parameters
    return GammaGamma(
        p=found["p"],
        q=found["q"],
        v=found["v"],
        log_likelihood=maximum.log_likelihood,
        standard_errors=maximum.standard_errors,
    )


def log_likelihood(parameters: Floats, spend: Spend) -> tuple[float, Floats]:
    """Log-likelihood of all customers and its gradient with respect to (p, q, v)."""
    p, q, v = parameters
    x, w = spend.counts, spend.count_weights
    customers = w.sum()
    shape = p * spend.frequency + q
    log_sum = np.log(spend.total + v)
    value = (
        w @ (gammaln(p * x + q) - gammaln(p * x))
        + customers * (q * np.log(v) - gammaln(q))
        + p * spend.log_total
        - spend.log_mean
        - spend.weights @ (shape * log_sum)
    )
    gradient = [
        w @ (x * (digamma(p * x + q) - digamma(p * x))) + spend.log_total - spend.weights @ (spend.frequency * log_sum),
        w @ digamma(p * x + q) + customers * (np.log(v) - digamma(q)) - spend.weights @ log_sum,
        customers * q / v - spend.weights @ (shape / (spend.total + v)),
    ]
    return float(value), np.array(gradient)


def _checked(frequency: ArrayLike, mean_value: ArrayLike) -> tuple[Floats, Floats]:
    x, z = column("frequency", frequency), np.atleast_1d(np.asarray(mean_value, dtype=np.float64))
    same_length(frequency=x, mean_value=z)
    z = column("mean_value", np.where(x > 0, z, 0.0))
    worthless = (x > 0) & (z <= 0)
    if worthless.any():
        raise ConfigurationError(
            f"{int(worthless.sum())} customers have purchases worth 0 on average (first at row "
            f"{int(worthless.argmax())}); leave purchases without value out of frequency and mean_value."
        )
    return x, z


def distinct_spend(frequency: ArrayLike, mean_value: ArrayLike, weights: ArrayLike | None = None) -> Spend:
    """Collapse customers with equal spend into weighted rows; those without purchases are left out."""
    x, z = _checked(frequency, mean_value)
    w = np.ones_like(x) if weights is None else column("weights", weights)
    same_length(frequency=x, weights=w)
    kept = (x > 0) & (w > 0)
    if not kept.any():
        raise CheckFailedError(
            f"None of the {w.sum():.0f} customers has a purchase to average, so spend cannot be modelled. "
            "Load a longer history, or use the average order value until second purchases appear."
        )
    (x, z), w = collapsed((x[kept], z[kept]), w[kept])
    counts, starts = np.unique(x, return_index=True)
    total = x * z
    return Spend(
        frequency=x,
        total=total,
        weights=w,
        counts=counts,
        count_weights=np.add.reduceat(w, starts),
        log_total=float(w @ (x * np.log(total))),
        log_mean=float(w @ np.log(z)),
    )
