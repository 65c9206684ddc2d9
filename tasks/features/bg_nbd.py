"""BG/NBD and MBG/NBD: buyers purchase at their own steady rate and may leave right after any purchase."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, expit, gammaln, hyp2f1

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

NEAR = 1e-5
ROWS = 16_384
"""Histories evaluated at a time: their intermediate results fit into the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _BetaGeometric:
    """What both models share; they differ in whether a buyer may leave before the first repeat purchase."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    standard_errors: dict[str, float]
    title: ClassVar[str]
    first_chances: ClassVar[int]
    """Chances to leave that a customer had by the end of the first purchase."""

    def alive_probability(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """Probability per customer, in [0, 1], of not having left by the end of observation."""
        return in_chunks(self._alive, *checked(frequency, recency, age))

    def expected_purchases(self, horizon: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """Expected purchases per customer within ``horizon`` (unit of age) after the end of observation.

        A customer with frequency, recency and age 0 is a new one, just after the first purchase.
        """
        length = checked_horizon(horizon)

        def predict(x: Floats, t_x: Floats, T: Floats) -> Floats:
            # Recency matters through P(alive) alone: the costly part is computed once per distinct pair of the others.
            pairs, place = np.unique(x + 1j * T, return_inverse=True)
            if_alive = self._purchases_if_alive(length, pairs.real, pairs.imag)
            return if_alive[place] * self._alive(x, t_x, T)

        return in_chunks(predict, *checked(frequency, recency, age))

    def no_purchase_probability(
        self, horizon: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Floats:
        """Probability per customer, in [0, 1], of buying nothing within ``horizon`` (unit of age) from now."""
        length = checked_horizon(horizon)

        def predict(x: Floats, t_x: Floats, T: Floats) -> Floats:
            buys_if_alive = -np.expm1(-(self.r + x) * np.log1p(length / (self.alpha + T)))
            return np.asarray(1 - self._alive(x, t_x, T) * buys_if_alive)

        return in_chunks(predict, *checked(frequency, recency, age))

    def _alive(self, x: Floats, t_x: Floats, T: Floats) -> Floats:
        return np.asarray(expit(-_log_odds_gone(self._parameters, x, t_x, T, self.first_chances)))

    @property
    def _parameters(self) -> Floats:
        return np.array([self.r, self.alpha, self.a, self.b])

    def _purchases_if_alive(self, length: float, x: Floats, T: Floats) -> Floats:
        """The formula, read from both sides of the points where it is 0/0 (a = 1) or 2F1 degenerates (r - a whole)."""

        def at(r: float, a: float) -> Floats:
            parameters = np.array([r, self.alpha, a, self.b])
            return _purchases_if_alive(parameters, length, x, T, self.first_chances)

        def at_chance(a: float) -> Floats:
            return _past_gap(lambda r: at(r, a), self.r, gap=a + round(self.r - a))

        return _past_gap(at_chance, self.a, gap=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BgNbd(_BetaGeometric):
    """A fitted BG/NBD model (Fader, Hardie and Lee 2005, "Counting Your Customers" the Easy Way).

    Purchase rates vary between customers as Gamma(r, alpha), the chance to leave after a repeat purchase as Beta(a, b);
    whoever has not bought again is alive for certain. ``standard_errors`` has one entry per parameter.
    """

    title: ClassVar[str] = "BG/NBD"
    first_chances: ClassVar[int] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MbgNbd(_BetaGeometric):
    """A fitted MBG/NBD model (Batislam, Denizel and Filiztekin 2007).

    As BG/NBD, but a customer may also leave right after the first purchase. ``standard_errors`` has one entry per
    parameter.
    """

    title: ClassVar[str] = "MBG/NBD"
    first_chances: ClassVar[int] = 1


def fit_bg_nbd(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None) -> BgNbd:
    """Fit BG/NBD by maximum likelihood to one row per customer (or per distinct history, with ``weights``).

    ``frequency`` counts repeat purchases; ``recency`` is the time from first to last purchase, ``age`` from the first
    purchase to the end of observation, in one unit. Raises ConfigurationError for rows that make no sense,
    CheckFailedError when the data does not determine the model (all one-time buyers, too few customers).
    """
    return _fit(BgNbd, distinct_histories(frequency, recency, age, weights))


def fit_mbg_nbd(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weights: ArrayLike | None = None) -> MbgNbd:
    """Fit MBG/NBD by maximum likelihood; columns, units and errors as in ``fit_bg_nbd``."""
    return _fit(MbgNbd, distinct_histories(frequency, recency, age, weights))


_Model = TypeVar("_Model", bound=_BetaGeometric)


def _fit(model: type[_Model], histories: Histories) -> _Model:
    def objective(parameters: Floats, rows: Histories) -> tuple[float, Floats]:
        return log_likelihood(parameters, rows, model.first_chances)

    rate, age = histories.purchase_rate, histories.mean_age
    starts = [
        {"r": r, "alpha": r / rate if age else 1.0, "a": a, "b": b}
        for r, a, b in ((0.5, 1.0, 2.0), (2.0, 0.1, 1.0), (0.1, 1.0, 10.0))
    ]
    maximum = fit_histories(objective, histories, starts, model=model.title)
    found = maximum.parameters
    return model(
        r=found["r"],
        alpha=found["alpha"],
        a=found["a"],
        b=found["b"],
        log_likelihood=maximum.log_likelihood,
        standard_errors=maximum.standard_errors,
    )


def log_likelihood(parameters: Floats, histories: Histories, first_chances: int) -> tuple[float, Floats]:
    """Log-likelihood of all customers and its gradient with respect to (r, alpha, a, b).

    ``first_chances`` is 0 for BG/NBD, 1 for MBG/NBD: chances to leave before the first repeat purchase.
    """
    value, gradient = _count_terms(parameters, histories, first_chances)
    for part in parts(len(histories.weights), ROWS):
        part_value, part_gradient = _time_terms(parameters, histories, part, first_chances)
        value += part_value
        gradient += part_gradient
    return value, gradient


def _time_terms(parameters: Floats, histories: Histories, part: slice, first_chances: int) -> tuple[float, Floats]:
    """Log of (still there at the end, or left at the last purchase), and its gradient."""
    r, alpha, a, b = parameters
    x, t_x, T = histories.frequency[part], histories.recency[part], histories.age[part]
    weights = histories.weights[part]
    odds = _log_odds_gone(parameters, x, t_x, T, first_chances)
    gone = expit(odds)
    s = r + x
    to_age, to_recency = np.log(alpha + T), np.log(alpha + t_x)
    waiting = to_age + gone * (to_recency - to_age)
    slope = s * ((1 - gone) / (alpha + T) + gone / (alpha + t_x))
    gradient = [
        -(weights @ waiting),
        -(weights @ slope),
        (weights @ gone) / a,
        -(weights @ (gone / _chances_before_last(b, x + first_chances))),
    ]
    return float(weights @ (np.logaddexp(0, odds) - s * to_age)), np.array(gradient)


def _count_terms(parameters: Floats, histories: Histories, first_chances: int) -> tuple[float, Floats]:
    """What depends on the number of purchases alone: summed over distinct counts instead of customers."""
    r, alpha, a, b = parameters
    x, weights = histories.purchase_counts, histories.count_weights
    stayed = b + x + first_chances
    total = weights.sum()
    value = gammaln(r + x) + gammaln(stayed) - gammaln(a + stayed)
    constant = r * np.log(alpha) - gammaln(r) + gammaln(a + b) - gammaln(b)
    shared = weights @ digamma(a + stayed)
    gradient = [
        weights @ digamma(r + x) + total * (np.log(alpha) - digamma(r)),
        total * r / alpha,
        total * digamma(a + b) - shared,
        total * (digamma(a + b) - digamma(b)) + weights @ digamma(stayed) - shared,
    ]
    return float(weights @ value + total * constant), np.array(gradient)


def _log_odds_gone(parameters: Floats, x: Floats, t_x: Floats, T: Floats, first_chances: int) -> Floats:
    """Log-odds of having left at the last purchase; minus infinity without a chance to leave."""
    r, alpha, a, b = parameters
    chances = x + first_chances
    odds = np.log(a / _chances_before_last(b, chances)) + (r + x) * np.log1p((T - t_x) / (alpha + t_x))
    return np.where(chances > 0, odds, -np.inf)


def _chances_before_last(b: float, chances: Floats) -> Floats:
    return b + np.maximum(chances, 1) - 1


def _purchases_if_alive(parameters: Floats, length: float, x: Floats, T: Floats, first_chances: int) -> Floats:
    """Expected purchases of somebody known to be alive.

    The papers' 2F1(r + x, b + x; a + b + x - 1; z) overflows for heavy buyers. Euler's transformation gives a function
    whose first two parameters do not grow with x. It is the one that overflows when a is in the hundreds and the
    horizon long; there the original serves.
    """
    r, alpha, a, b = parameters
    s, beta = r + x, alpha + T
    c = a + b + x + first_chances - 1
    c = np.where(np.abs(c) < 1e-12, 1e-12, c)  # a pole the product below does not have  # noqa: PLR2004
    z = length / (beta + length)
    survival = np.log1p(length / beta)
    with np.errstate(over="ignore", invalid="ignore"):
        left = np.exp((1 - a) * survival) * hyp2f1(a - 1, c - s, c, z)
        bad = ~np.isfinite(left)
        if bad.any():
            original = np.exp(-s * survival) * hyp2f1(s, b + x + first_chances, c, z)
            left = np.where(bad, np.where(np.isfinite(original), original, 0.0), left)
    return np.asarray(c / (a - 1) * (1 - left))


def _past_gap(function: Callable[[float], Floats], value: float, *, gap: float) -> Floats:
    """A smooth function whose formula fails at ``gap``: near it, the straight line between both sides."""
    if abs(value - gap) >= NEAR:
        return function(value)
    below, above = function(gap - NEAR), function(gap + NEAR)
    return np.asarray(below + (value - gap + NEAR) / (2 * NEAR) * (above - below))
