"""Recorded functions against mpmath: values, and derivatives to the second order in every argument."""

from __future__ import annotations

import functools
import itertools
import math

import mpmath
import numpy as np

import fwddiff as fd
from fwddiff import special
from fwddiff._record import RECORDS, Record


def points(record: Record, count: int, seed: int = 0) -> list[tuple[float, ...]]:
    """Points of the domain, by magnitude where it spans orders of magnitude."""
    rng = np.random.default_rng(seed)
    return [tuple(_drawn(rng, record, k) for k in range(len(record.arguments))) for _ in range(count)]


def _drawn(rng: np.random.Generator, record: Record, k: int) -> float:
    low, high = record.domain[record.arguments[k]]
    if k in record.whole:
        return int(rng.integers(int(low), int(high) + 1))
    if low > 0 and high / low > 100:
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    return rng.uniform(low, high)


def function_of(record: Record):
    """The oracle as a function of mpmath's numbers."""
    code = compile(record.oracle, f"<oracle of {record.name}>", "eval")
    known = vars(mpmath) | {"abs": abs}
    # Among the globals, for functions inside of the expression see nothing else.
    return lambda *a: eval(code, known | dict(zip(record.arguments, a, strict=True)))


def derivatives(record: Record, point: tuple[float, ...], digits: int = 50) -> tuple[list, list[list]]:
    """Gradient and Hessian by numerical differentiation with many digits; whole arguments are left out."""
    oracle = function_of(record)
    moving = [k for k in range(len(point)) if k not in record.whole]
    with mpmath.workdps(digits):
        given = [mpmath.mpf(x) if k in moving else int(x) for k, x in enumerate(point)]
        slope = functools.partial(_difference, oracle, given)
        gradient = [slope((k,)) for k in moving]
        hessian = [[slope((k, j)) for j in moving] for k in moving]
    return gradient, hessian


def _difference(oracle, point: list, order: tuple[int, ...]):
    """Central differences; with 50 digits and a step of 1e-12 the error is below 1e-20."""
    step = {k: mpmath.mpf(10) ** -12 * max(abs(point[k]), mpmath.mpf(10) ** -6) for k in order}
    if len(order) == 2 and order[0] == order[1]:
        (k,) = set(order)
        return (
            _moved(oracle, point, {k: step[k]}) - 2 * oracle(*point) + _moved(oracle, point, {k: -step[k]})
        ) / step[k] ** 2
    total = 0
    for signs in itertools.product((1, -1), repeat=len(order)):
        moves = {k: sign * step[k] for k, sign in zip(order, signs, strict=True)}
        total += math.prod(signs) * _moved(oracle, point, moves)
    return total / math.prod(2 * step[k] for k in order)


def _moved(oracle, point: list, moves: dict):
    return oracle(*(x + moves.get(k, 0) for k, x in enumerate(point)))


@functools.cache
def caller(record: Record):
    """A user's function that calls it."""
    listing, space = ", ".join(record.arguments), {"special": special}
    text = f"def called({listing}):\n    return special.{record.name}({listing})\n"
    exec(text, space)
    return space["called"]


def check(name: str, at: list[tuple[float, ...]], tolerance: float = 1e-10, backend: str = "numba") -> None:
    """Value, gradient and Hessian of a recorded function at these points, relative to the size of each.

    A derivative much smaller than the sum of the terms that it is made of is compared with |f| / |x|.
    """
    record = RECORDS[name]
    moving = tuple(k for k in range(len(record.arguments)) if k not in record.whole)
    called = caller(record)
    for point in at:
        with mpmath.workdps(30):
            value = function_of(record)(*map(mpmath.mpf, point))
        found = fd.value_and_gradient(called, *point, argnum=moving, backend=backend)
        second = fd.hessian(called, *point, argnum=moving, backend=backend)
        gradient, hessian = derivatives(record, point)
        scale = [abs(value) / max(abs(point[k]), 1e-3) for k in moving]
        _close(f"{name}{point}", found[0], value, tolerance, 0)
        for k, _ in enumerate(moving):
            _close(f"d{name}{point} by {k}", found[1][k], gradient[k], tolerance, scale[k])
            for j, _ in enumerate(moving):
                size = scale[k] / max(abs(point[moving[j]]), 1e-3)
                _close(f"d²{name}{point} by {k}, {j}", second[k][j], hessian[k][j], 100 * tolerance, size)


def _close(what: str, found: float, expected, tolerance: float, scale) -> None:
    size = max(abs(expected), 1e-3 * scale)
    error = abs(mpmath.mpf(float(found)) - expected)
    assert error <= tolerance * size + 1e-300, f"{what}: {float(found)!r}, not {mpmath.nstr(expected, 17)}"
