"""Pareto/NBD: buyers purchase at their own steady rate and leave at an unseen moment, any moment."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, expit, exprel, gammaln

from tasks.features.maximum_likelihood import fit_histories
from tasks.features.purchase_histories import (
    Floats,
    Histories,
    checked,
    checked_horizon,
    distinct_histories,
    in_chunks,
    parts,
)

NODES = (8, 14, 20, 32)
WIDEST, DEEPEST = (0.8, 2.0, 3.0), (3.0, 12.0, 28.0)
"""Width of the interval and decay over it (both logarithms) up to which so many Gauss-Legendre nodes are exact."""
QUADRATURES = tuple(np.polynomial.legendre.leggauss(nodes) for nodes in NODES)
ROWS = 4_096
"""Histories integrated at a time: rows times nodes fit into the processor's cache."""
NEGLIGIBLE = 40.0
"""Decay (in logarithms) after which the rest of an integral is below rounding."""
LARGEST_LOG = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoNbd:
    """A fitted Pareto/NBD model (Schmittlein, Morrison and Colombo 1987).

    Purchase rates vary between customers as Gamma(r, alpha), rates of leaving as Gamma(s, beta). ``standard_errors``
    has one entry per parameter.
    """

    r: float
    alpha: float
    s: float
    beta: float
    log_likelihood: float
    standard_errors: dict[str, float]

    def alive_probability(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """Probability per customer, in [0, 1], of not having left by the end of observation."""
        return in_chunks(self._alive, *checked(frequency, recency, age), rows=ROWS)

    def expected_purchases(self, horizon: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """Expected purchases per customer within ``horizon`` (unit of age) after the end of observation.

        A customer with frequency, recency and age 0 is a new one, just after the first purchase.
        """
        length = checked_horizon(horizon)

        def predict(x: Floats, t_x: Floats, T: Floats) -> Floats:
            survival = np.log1p(length / (self.beta + T))
            # exprel keeps (1 - exp(-(s - 1) u)) / (s - 1) exact through s = 1.
            time_alive = (self.beta + T) * survival * exprel((1 - self.s) * survival)
            return np.asarray((self.r + x) / (self.alpha + T) * time_alive * self._alive(x, t_x, T))

        return in_chunks(predict, *checked(frequency, recency, age), rows=ROWS)

    def no_purchase_probability(
        self, horizon: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Floats:
        """Probability per customer, in [0, 1], of buying nothing within ``horizon`` (unit of age) from now."""
        length = checked_horizon(horizon)

        def predict(x: Floats, t_x: Floats, T: Floats) -> Floats:
            silent = self._log_density(x, t_x, T + length) - self._log_density(x, t_x, T)
            return np.asarray(np.exp(np.minimum(silent, 0)))

        return in_chunks(predict, *checked(frequency, recency, age), rows=ROWS)

    @property
    def _parameters(self) -> Floats:
        return np.array([self.r, self.alpha, self.s, self.beta])

    def _alive(self, x: Floats, t_x: Floats, T: Floats) -> Floats:
        still_there = _log_still_there(self._parameters, x, T)
        return np.asarray(expit(still_there - _left_between(self._parameters, x, t_x, T).log_density))

    def _log_density(self, x: Floats, t_x: Floats, T: Floats) -> Floats:
        """Log-likelihood of a history up to terms that do not depend on its age."""
        still_there = _log_still_there(self._parameters, x, T)
        return np.asarray(np.logaddexp(still_there, _left_between(self._parameters, x, t_x, T).log_density))


def fit_pareto_nbd(
    frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None
) -> ParetoNbd:
    """Fit Pareto/NBD by maximum likelihood; columns, units and errors as in ``fit_bg_nbd``.

    The likelihood is usually written with two forms of Gauss's 2F1, one per order of alpha and beta, whose derivatives
    have no closed form and whose difference cancels. Both stand for one integral over the moment of leaving, from the
    last purchase to the end of observation (Fader and Hardie 2005, "A Note on Deriving the Pareto/NBD Model"). Its
    integrand is positive and smooth, so Gauss-Legendre quadrature in the logarithm of time gives value and gradient
    to rounding, without branches.
    """
    histories = distinct_histories(frequency, recency, age, weights)

    rate, mean_age = histories.purchase_rate, histories.mean_age
    starts = [
        {"r": r, "alpha": r / rate, "s": s, "beta": s * mean_age} for r, s in ((0.5, 0.5), (2.0, 0.2), (0.1, 2.0))
    ]
    maximum = fit_histories(log_likelihood, histories, starts, model="Pareto/NBD")
    found = maximum.parameters
    return ParetoNbd(
        r=found["r"],
        alpha=found["alpha"],
        s=found["s"],
        beta=found["beta"],
        log_likelihood=maximum.log_likelihood,
        standard_errors=maximum.standard_errors,
    )


def log_likelihood(parameters: Floats, histories: Histories) -> tuple[float, Floats]:
    """Log-likelihood of all customers and its gradient with respect to (r, alpha, s, beta)."""
    r, alpha, s, beta = parameters
    x, total = histories.purchase_counts, histories.customers
    constant = r * np.log(alpha) - gammaln(r) + s * np.log(beta)
    value = float(histories.count_weights @ gammaln(r + x) + total * constant)
    gradient = np.array(
        [
            histories.count_weights @ digamma(r + x) + total * (np.log(alpha) - digamma(r)),
            total * r / alpha,
            total * np.log(beta),
            total * s / beta,
        ]
    )
    for part in parts(len(histories.weights), ROWS):
        part_value, part_gradient = _time_terms(
            parameters, histories.frequency[part], histories.recency[part], histories.age[part], histories.weights[part]
        )
        value += part_value
        gradient += part_gradient
    return value, gradient


def _time_terms(parameters: Floats, x: Floats, t_x: Floats, T: Floats, weights: Floats) -> tuple[float, Floats]:
    """Log of (still there at the end, or left somewhere since the last purchase), and its gradient."""
    r, alpha, s, beta = parameters
    still_there = _log_still_there(parameters, x, T)
    left = _left_between(parameters, x, t_x, T)
    gone = expit(left.log_density - still_there)
    stayed = 1 - gone
    gradient = [
        -(stayed * np.log(alpha + T) + gone * left.log_alpha),
        -(r + x) * (stayed / (alpha + T) + gone * left.per_alpha),
        gone / s - (stayed * np.log(beta + T) + gone * left.log_beta),
        -(stayed * s / (beta + T) + gone * (s + 1) * left.per_beta),
    ]
    return float(weights @ np.logaddexp(still_there, left.log_density)), np.array([weights @ row for row in gradient])


def _log_still_there(parameters: Floats, x: Floats, T: Floats) -> Floats:
    r, alpha, s, beta = parameters
    return np.asarray(-(r + x) * np.log(alpha + T) - s * np.log(beta + T))


class _Left(NamedTuple):
    """Leaving between last purchase and now: its log density, and means over the moment t of leaving."""

    log_density: Floats
    log_alpha: Floats  # mean of log(alpha + t)
    per_alpha: Floats  # mean of 1 / (alpha + t)
    log_beta: Floats
    per_beta: Floats


def _left_between(parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> _Left:
    """Integrate s (alpha + t)^-(r + x) (beta + t)^-(s + 1) over t from t_x to T.

    With m the smaller of alpha and beta and t + m on a logarithmic scale, the integrand's slope is bounded by the
    exponents and its singularities stay a distance of pi away, whatever the parameters.
    """
    r, alpha, s, beta = parameters
    width = np.log1p((_last_that_counts(parameters, x, t_x, T) - t_x) / (t_x + min(alpha, beta)))
    rules = np.maximum(np.searchsorted(WIDEST, width), np.searchsorted(DEEPEST, (r + s + x) * width))
    found = np.empty((len(_Left._fields), len(x)))
    for rule in np.unique(rules):
        rows = np.flatnonzero(rules == rule)
        found[:, rows] = _integrate(parameters, x[rows], t_x[rows], width[rows], QUADRATURES[rule])
    return _Left(*found)


def _integrate(parameters: Floats, x: Floats, t_x: Floats, width: Floats, quadrature: tuple[Floats, Floats]) -> _Left:
    r, alpha, s, beta = parameters
    m = min(alpha, beta)
    positions, node_weights = quadrature
    steps = np.multiply.outer(width, (positions + 1) / 2)
    since = np.expm1(steps) * (t_x + m)[:, None]
    by_alpha, by_beta = (alpha + t_x)[:, None] + since, (beta + t_x)[:, None] + since
    log_alpha, log_beta = np.log(by_alpha), np.log(by_beta)
    log_density = steps - (r + x)[:, None] * log_alpha - (s + 1) * log_beta
    top = log_density.max(axis=1)
    density = np.exp(log_density - top[:, None]) * (node_weights / 2)
    mass = density.sum(axis=1)
    density /= mass[:, None]
    with np.errstate(divide="ignore"):  # a purchase on the last day leaves no time to leave: log(0)
        total = np.log(s * mass * width * (t_x + m)) + top
    return _Left(
        total,
        *(np.einsum("ij,ij->i", density, values) for values in (log_alpha, 1 / by_alpha, log_beta, 1 / by_beta)),
    )


def _last_that_counts(parameters: Floats, x: Floats, t_x: Floats, T: Floats) -> Floats:
    """End of the integral, earlier than T where the integrand has died out: a heavy buyer's silence soon tells all."""
    r, alpha, s, beta = parameters
    buying = NEGLIGIBLE / np.maximum(r + x - 1, NEGLIGIBLE / LARGEST_LOG)
    leaving = min((NEGLIGIBLE + max(0.0, float(np.log(beta / alpha)))) / s, LARGEST_LOG)
    dies_out = np.minimum((alpha + t_x) * np.expm1(buying), (beta + t_x) * np.expm1(leaving))
    return np.asarray(np.minimum(T, t_x + dies_out))
