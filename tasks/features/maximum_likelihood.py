"""Maximum likelihood for models whose parameters are all positive."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tasks.errors import CheckFailedError
from tasks.features.purchase_histories import Floats, Histories

Objective: TypeAlias = Callable[[Floats], tuple[float, Floats]]
"""Parameters to log-likelihood and its gradient, both summed over all customers."""

WIDEST = np.log(1e6)
"""How far (in logarithms) a parameter may move from its start, which has the scale of the data."""
GAIN_TOLERANCE = 1e-9
"""Log-likelihood that may remain unclimbed at the maximum."""
LARGEST_LOG_ERROR = 10.0
"""A parameter known only within a factor of e to this power is not determined by the data."""
FLATTEST = 1e-10
"""Smallest curvature, relative to the steepest direction, that is told from rounding."""
DIFFERENCE = 1e-5
ROUNDING = 1e-13
STEPS = 200
SAMPLE_ROWS = 20_000
"""Distinct histories that lead close to the maximum of millions."""


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where the likelihood is highest: parameters and their standard errors by name, and the log-likelihood there."""

    parameters: dict[str, float]
    standard_errors: dict[str, float]
    log_likelihood: float


class _NotFoundError(Exception):
    """One start led nowhere; the text says where the search ended."""


def fit_histories(
    log_likelihood: Callable[[Floats, Histories], tuple[float, Floats]],
    histories: Histories,
    starts: Sequence[dict[str, float]],
    *,
    model: str,
) -> Maximum:
    """Maximise over all customers, on large data from where an evenly spread sample of histories leads."""

    def climb(rows: Histories, starts: Sequence[dict[str, float]]) -> Maximum:
        return maximise(lambda at: log_likelihood(at, rows), starts, customers=rows.customers, model=model)

    if len(histories.weights) > 4 * SAMPLE_ROWS:
        with contextlib.suppress(CheckFailedError):  # all customers may determine what a sample does not
            starts = [climb(histories.thinned(SAMPLE_ROWS), starts).parameters, *starts]
    return climb(histories, starts)


def maximise(objective: Objective, starts: Sequence[dict[str, float]], *, customers: float, model: str) -> Maximum:
    """Climb from each start in turn until one reaches a proper maximum: flat in every direction and curved downwards.

    Newton's method on the logarithms of the parameters (so that they stay positive) with curvature from differences of
    the analytic gradient: it needs few evaluations and its last step tells how much log-likelihood is left to gain.
    Standard errors come from the observed information. ``starts`` map parameter names to first guesses on the scale of
    the data. Raises CheckFailedError, saying where the first search ended, when no start reaches a maximum.
    """
    names = tuple(starts[0])
    cost = _in_logarithms(objective, customers)
    reasons = []
    for start in starts:
        origin = np.log([start[name] for name in names])
        try:
            return _climb(cost, origin, names, customers)
        except _NotFoundError as reason:
            reasons.append(str(reason))
    raise CheckFailedError(
        f"{model} has no proper maximum on these {customers:.0f} customers: {reasons[0]}. The data does not determine "
        "the model: load more customers or a longer history, try another model of the family, or use past spend."
    )


def _in_logarithms(objective: Objective, customers: float) -> Objective:
    """Per-customer cost to minimise, so that tolerances do not depend on the size of the data."""

    def cost(logs: Floats) -> tuple[float, Floats]:
        parameters = np.exp(logs)
        value, gradient = objective(parameters)
        return -value / customers, -gradient * parameters / customers

    return cost


def _climb(cost: Objective, origin: Floats, names: tuple[str, ...], customers: float) -> Maximum:
    logs = origin
    for _ in range(STEPS):
        _refuse_edge(logs - origin, names)
        value, gradient = cost(logs)
        curvatures, directions = np.linalg.eigh(_curvature(cost, logs, gradient))
        # Where the surface bends the wrong way, |curvature| still leads downhill and away from the saddle.
        strength = np.maximum(np.abs(curvatures), FLATTEST * np.abs(curvatures).max())
        step = directions @ (directions.T @ gradient / strength)
        if gradient @ step * customers / 2 < GAIN_TOLERANCE:
            log_errors = _log_errors(curvatures, directions, logs, names) / np.sqrt(customers)
            return _maximum(value * customers, logs, log_errors, names)
        logs = _downhill(cost, value, logs, step)
    raise _NotFoundError(f"the search was still climbing after {STEPS} steps at {_point(logs, names)}")


def _refuse_edge(moved: Floats, names: tuple[str, ...]) -> None:
    for name, distance in zip(names, moved, strict=True):
        if abs(distance) > WIDEST:
            raise _NotFoundError(
                f"the likelihood keeps rising while {name} runs to {'0' if distance < 0 else 'infinity'}"
            )


def _curvature(cost: Objective, logs: Floats, gradient: Floats) -> Floats:
    rows = np.array([cost(logs + step)[1] - gradient for step in DIFFERENCE * np.eye(len(logs))]) / DIFFERENCE
    return np.asarray((rows + rows.T) / 2)


def _downhill(cost: Objective, value: float, logs: Floats, step: Floats) -> Floats:
    """Newton's step, at most a factor of e in any parameter, halved until it pays."""
    step = step / max(1.0, float(np.abs(step).max()))
    enough = value + ROUNDING * abs(value)
    while np.abs(step).max() > DIFFERENCE and cost(logs - step)[0] > enough:
        step = step / 2
    return np.asarray(logs - step)


def _log_errors(curvatures: Floats, directions: Floats, logs: Floats, names: tuple[str, ...]) -> Floats:
    """Standard errors of the logarithms of the parameters, if one customer had been observed."""
    if curvatures[0] <= FLATTEST * curvatures[-1]:
        raise _NotFoundError(f"the likelihood is flat around {_point(logs, names)}")
    return np.asarray(np.sqrt(np.sum(directions**2 / curvatures, axis=1)))


def _maximum(cost: float, logs: Floats, log_errors: Floats, names: tuple[str, ...]) -> Maximum:
    if log_errors.max() > LARGEST_LOG_ERROR:
        raise _NotFoundError(f"{names[int(log_errors.argmax())]} could be anything around {_point(logs, names)}")
    parameters = np.exp(logs)
    return Maximum(
        parameters=dict(zip(names, parameters.tolist(), strict=True)),
        standard_errors=dict(zip(names, (parameters * log_errors).tolist(), strict=True)),
        log_likelihood=-cost,
    )


def _point(logs: Floats, names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} = {value:.4g}" for name, value in zip(names, np.exp(logs), strict=True))
