"""Scenarios: a function, arguments, and what its gradient has to be; with the same formula for hosts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff._magnitude import magnitude
from fwddiff._wrapper import Operation, fwddiff


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A function to differentiate.

    `arguments` are those of `operation` ("whole", "broadcast" or "sum"); `gradient(*arguments)` mirrors them
    (`None` for what has no derivative) and belongs to the sum of all outputs; without it, differences decide.
    `formula(xp, *arguments)` is the function (that of numbers: for whole arrays of them) as a user of a host
    writes it with `xp`, the host's `numpy`; without it, the scenario is not benchmarked.

    For `run` there is more to say. `kinds` are words for what is special. `jacobian(*arguments)` is a tuple,
    with an array of the shape result + argument for each float leaf, and `hessian(*arguments)` the second
    derivatives of a function of one argument. `writes` is the shape of the array that `function(out,
    *arguments)` writes its result into.
    """

    name: str
    function: Callable
    arguments: tuple
    gradient: Callable | None = None
    operation: str = "broadcast"
    formula: Callable | None = None
    kinds: tuple[str, ...] = ()
    jacobian: Callable | None = None
    hessian: Callable | None = None
    writes: tuple[int, ...] | None = None

    def operation_of(self, wrapped: Any = None) -> Operation:
        """The operation to check: of `wrapped`, or of the function freshly wrapped."""
        found = fwddiff(self.function) if wrapped is None else wrapped
        return getattr(found, self.operation)


@dataclasses.dataclass(frozen=True)
class Weibull:
    """Parameters of a Weibull distribution, numbers or arrays."""

    shape: Any
    scale: Any


def _exponential(theta, x):
    return -math.log(theta) - x / theta


def _exponential_gradient(theta, x):
    return x / theta**2 - 1 / theta, -1 / theta


def _huber(x, width):
    if abs(x) <= width:
        return 0.5 * x * x
    return width * (abs(x) - 0.5 * width)


def _huber_gradient(x, width):
    inside = abs(x) <= width
    return np.where(inside, x, width * np.sign(x)), np.sum(np.where(inside, 0.0, abs(x) - width))


def _kepler(mean, eccentricity):
    anomaly, step = mean, 1.0
    while magnitude(step) > 1e-9:
        step = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1 - eccentricity * math.cos(anomaly))
        anomaly = anomaly - step
    return anomaly


def _kepler_gradient(mean, eccentricity):
    anomaly = mean
    for _ in range(200):
        anomaly = mean + eccentricity * np.sin(anomaly)
    slope = 1 / (1 - eccentricity * np.cos(anomaly))
    return slope, np.sin(anomaly) * slope


def _kepler_formula(xp, mean, eccentricity):
    anomaly = mean
    for _ in range(8):
        residual = anomaly - eccentricity * xp.sin(anomaly) - mean
        anomaly = anomaly - residual / (1 - eccentricity * xp.cos(anomaly))
    return anomaly


def _normal(mean, deviation, x):
    z = (x - mean) / deviation
    return -0.5 * z * z - math.log(deviation)


def _normal_gradient(mean, deviation, x):
    z = (x - mean) / deviation
    return np.sum(z) / deviation, np.sum(z * z - 1) / deviation, -z / deviation


def _weibull(model, t):
    z = t / model.scale
    return math.log(model.shape / model.scale) + (model.shape - 1) * math.log(z) - z**model.shape


def _rosenbrock(x):
    total = 0.0
    for k in range(len(x) - 1):
        total += 100 * (x[k + 1] - x[k] ** 2) ** 2 + (1 - x[k]) ** 2
    return total


def _rosenbrock_gradient(x):
    gradient, inner = np.zeros_like(x), x[1:] - x[:-1] ** 2
    gradient[1:] += 200 * inner
    gradient[:-1] += -400 * x[:-1] * inner - 2 * (1 - x[:-1])
    return (gradient,)


def _count(x, n, nothing):
    return (x**n, n) if nothing is None else (x, n)


def scenarios(n: int = 5) -> list[Scenario]:
    """The built-in scenarios, with arrays of `n` elements."""
    random = np.random.default_rng(2)
    positive, others = random.uniform(0.6, 2.0, n), random.uniform(0.3, 3.0, n)
    signed = random.uniform(-2.0, 2.0, n)
    return [
        Scenario(
            "exponential log-density",
            _exponential,
            (positive, others),
            _exponential_gradient,
            formula=lambda xp, theta, x: -xp.log(theta) - x / theta,
            kinds=("array",),
        ),
        Scenario(
            "Huber loss",
            _huber,
            (signed, 0.9),
            _huber_gradient,
            formula=lambda xp, x, width: xp.where(
                xp.abs(x) <= width, 0.5 * x * x, width * (xp.abs(x) - 0.5 * width)
            ),
            kinds=("array", "branching"),
        ),
        Scenario(
            "Kepler's equation",
            _kepler,
            (positive, others / 4),
            _kepler_gradient,
            formula=_kepler_formula,
            kinds=("array", "while"),
        ),
        Scenario(
            "normal log-likelihood",
            _normal,
            (0.3, 1.4, signed),
            _normal_gradient,
            "sum",
            formula=lambda xp, mean, deviation, x: -0.5 * ((x - mean) / deviation) ** 2 - xp.log(deviation),
            kinds=("number", "array"),
        ),
        Scenario("Weibull struct", _weibull, (Weibull(positive, 1.7), others), kinds=("nested", "array")),
        Scenario(
            "Rosenbrock",
            _rosenbrock,
            (signed[: min(n, 9)],),
            _rosenbrock_gradient,
            "whole",
            kinds=("array",),
        ),
        Scenario(
            "integers and None",
            _count,
            (positive, np.arange(n) % 4, None),
            lambda x, n, nothing: (n * x ** (n - 1.0), None, None),
            kinds=("array", "nested"),
        ),
    ]
