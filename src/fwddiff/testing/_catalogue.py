"""The scenarios that `run` runs: what a function may be made of, each in the smallest function that has it.

Derivatives are closed forms where there is one; otherwise differences of the plain function decide. `formula`
is the function as a user of a framework writes it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fwddiff._buffers import DiffCache, get_tmp
from fwddiff._magnitude import magnitude
from fwddiff.testing._scenarios import Scenario, scenarios


class Orbit(NamedTuple):
    """A state of a body: numbers or arrays."""

    place: Any
    speed: Any


# --- numbers ------------------------------------------------------------------------------------------------


def _bell(x):
    return x * math.exp(-x * x)


def _circle(t):
    return np.array([math.cos(t), math.sin(t), t * t])


def _circle_formula(xp, t):
    return xp.stack([xp.cos(t), xp.sin(t), t * t])


def _thrown(t):
    return Orbit(20.0 * t - 4.9 * t * t, 20.0 - 9.8 * t)


# --- arrays -------------------------------------------------------------------------------------------------


def _springs(x, stiffness):
    total = 0.0
    for k in range(len(x) - 1):
        total += stiffness * (x[k + 1] - x[k]) ** 4
    return total


def _springs_slopes(x, stiffness):
    stretch = x[1:] - x[:-1]
    force, slope = 4.0 * stiffness * stretch**3, np.zeros_like(x)
    slope[1:] += force
    slope[:-1] -= force
    return slope, np.sum(stretch**4)


def _diffusion(u, rate):
    out = np.empty(len(u))
    for k in range(len(u)):
        out[k] = rate * (u[k - 1] - 2.0 * u[k] + u[(k + 1) % len(u)]) + u[k] * u[k]
    return out


def _diffusion_slopes(u, rate):
    eye = np.eye(u.size)
    laplace = np.roll(eye, 1, axis=0) - 2.0 * eye + np.roll(eye, -1, axis=0)
    return rate * laplace + 2.0 * np.diag(u), laplace @ u


def _diffusion_formula(xp, u, rate):
    return rate * (xp.roll(u, 1) - 2.0 * u + xp.roll(u, -1)) + u * u


def _spread(m):
    total = 0.0
    for i in range(m.shape[0]):
        for j in range(m.shape[1]):
            total += m[i, j] ** 2 * m[i, 0]
    return total


def _spread_slope(m):
    slope = 2.0 * m * m[:, :1]
    slope[:, 0] += np.sum(m * m, axis=1)
    return (slope,)


# --- nested -------------------------------------------------------------------------------------------------


def _model(parameters, x):
    slope, (low, high) = parameters["slope"], parameters["limits"]
    return low * math.exp(slope[0] * x) + high * math.sin(slope[1] * x)


def _model_slopes(parameters, x):
    (a, b), (low, high) = parameters["slope"], parameters["limits"]
    grown, wave = math.exp(a * x), math.sin(b * x)
    slopes = np.array([low * x * grown, high * x * math.cos(b * x)])
    moved = low * a * grown + high * b * math.cos(b * x)
    return {"slope": slopes, "limits": (grown, wave)}, moved


def _step(body):
    speed = body.speed - 0.1 * math.sin(body.place)
    return {"body": Orbit(body.place + 0.1 * speed, speed), "energy": 0.5 * speed * speed}


# --- mutating -----------------------------------------------------------------------------------------------


def _rates(out, x):
    out[0] = x[0] * x[1]
    out[1] = math.sin(x[1])
    out[2] = x[0] ** 2


def _rates_slope(x):
    return (np.array([[x[1], x[0]], [0.0, math.cos(x[1])], [2.0 * x[0], 0.0]]),)


def _powers(out, t):
    out[0] = t
    for k in range(1, len(out)):
        out[k] = out[k - 1] * t


# Called by another function of fwddiff, which does not look into functions of its own modules.
_rates.__module__ = _powers.__module__ = "scenarios"

_ROOM = DiffCache(np.empty(3))


def _buffered(x):
    room = get_tmp(_ROOM, x)
    for k in range(3):
        room[k] = x[k] ** 2 * x[0]
    return room[0] * room[1] + room[2]


def _buffered_slope(x):
    a, b, c = x
    return (np.array([4.0 * a**3 * b**2 + c**2, 2.0 * a**4 * b, 2.0 * a * c]),)


def _running(x):
    sums = np.zeros(len(x))
    sums[0] = x[0]
    for k in range(1, len(x)):
        sums[k] = sums[k - 1]
        sums[k] += x[k] * sums[k - 1]
    return sums[-1]


# --- branching ----------------------------------------------------------------------------------------------


def _hinges(x):
    total = 0.0
    for value in x:
        if value > 1.0:
            total += value * value
        elif value < -1.0:
            total -= 3.0 * value
        else:
            continue
    return total


def _hinges_slope(x):
    return (np.where(x > 1.0, 2.0 * x, np.where(x < -1.0, -3.0, 0.0)),)


def _hinges_formula(xp, x):
    return xp.sum(xp.where(x > 1.0, x * x, xp.where(x < -1.0, -3.0 * x, 0.0 * x)))


def _early(x):
    if x < 0.0:
        return -x
    if x > 10.0:
        return math.sqrt(x)
    return x**3


# --- deep ---------------------------------------------------------------------------------------------------

_YEARS = 100


def _interest(rate):
    capital = 1.0
    for _ in range(_YEARS):
        capital = capital * (1.0 + rate / _YEARS)
    return capital


def _pendulum(start, steps):
    place, speed = start[0], start[1]
    for _ in range(steps):
        speed = speed - 0.01 * math.sin(place)
        place = place + 0.01 * speed
    return np.array([place, speed])


# --- while --------------------------------------------------------------------------------------------------


def _root(x):
    y, step = 1.0 + 0.0 * x, 1.0
    while magnitude(step) > 1e-10:
        step = 0.5 * (y - x / y)
        y = y - step
    return y


def _halvings(x):
    power, count = x[0] * x[1], 0
    while power > 1.0:
        power = power / 2.0
        count += 1
    return power * power + count


def catalogue() -> list[Scenario]:
    """The built-in scenarios of `run`, those of `scenarios()` among them."""
    random = np.random.default_rng(7)
    chain, small = random.uniform(-1.0, 1.0, 17), random.uniform(0.5, 1.5, 5)
    parameters = {"slope": np.array([0.3, 1.2]), "limits": (0.8, -0.4)}
    return [
        Scenario(
            "bell",
            _bell,
            (0.7,),
            lambda x: ((1.0 - 2.0 * x * x) * math.exp(-x * x),),
            "whole",
            lambda xp, x: x * xp.exp(-x * x),
            kinds=("number",),
            hessian=lambda x: (4.0 * x**3 - 6.0 * x) * math.exp(-x * x),
        ),
        Scenario(
            "number to array",
            _circle,
            (0.7,),
            operation="whole",
            formula=_circle_formula,
            kinds=("number", "array"),
            jacobian=lambda t: (np.array([-math.sin(t), math.cos(t), 2.0 * t]),),
        ),
        Scenario("number to struct", _thrown, (1.5,), operation="whole", kinds=("number", "nested")),
        Scenario(
            "springs",
            _springs,
            (chain, 1.3),
            _springs_slopes,
            "whole",
            lambda xp, x, stiffness: xp.sum(stiffness * (x[1:] - x[:-1]) ** 4),
            kinds=("array", "number"),
        ),
        Scenario(
            "diffusion",
            _diffusion,
            (small, 0.4),
            operation="whole",
            formula=_diffusion_formula,
            kinds=("array", "mutating"),
            jacobian=_diffusion_slopes,
        ),
        Scenario(
            "matrix",
            _spread,
            (random.uniform(0.5, 1.5, (2, 3)),),
            _spread_slope,
            "whole",
            lambda xp, m: xp.sum(m**2 * m[:, :1]),
            kinds=("array",),
        ),
        Scenario("dict of arrays", _model, (parameters, 0.9), _model_slopes, "whole", kinds=("nested",)),
        Scenario("struct to struct", _step, (Orbit(0.8, -0.3),), operation="whole", kinds=("nested",)),
        Scenario(
            "written in place",
            _rates,
            (np.array([1.3, 0.7]),),
            operation="whole",
            kinds=("mutating", "array"),
            jacobian=_rates_slope,
            writes=(3,),
        ),
        Scenario(
            "written in place, of a number",
            _powers,
            (1.1,),
            operation="whole",
            kinds=("mutating", "number"),
            jacobian=lambda t: (np.arange(1, 5) * t ** np.arange(4.0),),
            writes=(4,),
        ),
        Scenario(
            "buffer",
            _buffered,
            (np.array([0.9, 1.2, 0.5]),),
            _buffered_slope,
            "whole",
            kinds=("mutating", "array"),
        ),
        Scenario(
            "local array",
            _running,
            (small,),
            operation="whole",
            kinds=("mutating", "array"),
            jacobian=lambda x: (_running_slope(x),),
        ),
        Scenario(
            "hinges",
            _hinges,
            (np.array([1.4, -2.0, 0.3, 3.1]),),
            _hinges_slope,
            "whole",
            _hinges_formula,
            kinds=("branching", "array"),
        ),
        Scenario(
            "early return",
            _early,
            (1.7,),
            lambda x: (3.0 * x * x,),
            "whole",
            kinds=("branching", "number"),
            hessian=lambda x: 6.0 * x,
        ),
        Scenario(
            "compound interest",
            _interest,
            (0.05,),
            lambda rate: ((1.0 + rate / _YEARS) ** (_YEARS - 1),),
            "whole",
            kinds=("deep", "number"),
            hessian=lambda rate: (1.0 - 1.0 / _YEARS) * (1.0 + rate / _YEARS) ** (_YEARS - 2),
        ),
        Scenario(
            "pendulum", _pendulum, (np.array([0.5, 0.0]), 100), operation="whole", kinds=("deep", "array")
        ),
        Scenario(
            "Newton's root",
            _root,
            (2.5,),
            lambda x: (0.5 / math.sqrt(x),),
            "whole",
            kinds=("while", "number"),
            hessian=lambda x: -0.25 * x**-1.5,
        ),
        Scenario(
            "halved until small",
            _halvings,
            (np.array([2.5, 1.4]),),
            lambda x: (2.0 * (x[0] * x[1] / 4.0) * x[::-1] / 4.0,),
            "whole",
            kinds=("while", "branching", "array"),
        ),
        *scenarios(),
    ]


def _running_slope(x):
    """The sum is x₀ ∏ (1 + x_k)."""
    product = x[0] * np.prod(1.0 + x[1:])
    return np.concatenate([[product / x[0]], product / (1.0 + x[1:])])
