"""Kinds of arguments: for each, one fwddiff function of two arrays, and the same function in a host's own
operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fwddiff import fwddiff


@dataclass(frozen=True)
class Kind:
    """`ours(a, b)` goes through fwddiff; `native(xp, a, b)` is written with the functions of `xp`. Shapes of
    a and b."""

    name: str
    ours: Callable[[Any, Any], Any]
    native: Callable[[Any, Any, Any], Any]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    def points(self, dtype: str) -> list[np.ndarray]:
        random = np.random.default_rng(len(self.name))
        return [random.uniform(0.4, 1.6, shape).astype(dtype) for shape in self.shapes]


@fwddiff
def wave(a, b):
    return math.sin(a * b) * math.exp(-a) + b / (1 + a * a)


def wave_native(xp, a, b):
    return xp.sin(a * b) * xp.exp(-a) + b / (1 + a * a)


@fwddiff
def branching(a, b):
    if a > b:
        return a * math.log(b)
    return b * b * math.tanh(a)


def branching_native(xp, a, b):
    return xp.where(a > b, a * xp.log(b), b * b * xp.tanh(a))


@fwddiff
def looping(a, b):
    total = a
    for _ in range(4):
        total = 0.5 * (total + b / total)
    return total * a


def looping_native(xp, a, b):
    total = a
    for _ in range(4):
        total = 0.5 * (total + b / total)
    return total * a


@dataclass
class Pair:
    first: Any
    second: Any


class Parts(NamedTuple):
    product: Any
    quotient: Any


@fwddiff
def parts(pair, scale):
    return Parts(pair.first * math.cos(pair.second), scale * pair.first / pair.second)


def of_structs(a, b):
    found = parts.broadcast(Pair(a, b), 3)
    return found.product * found.quotient


def of_structs_native(xp, a, b):
    return (a * xp.cos(b)) * (3 * a / b)


class Holder:
    """What functions capture: an object whose attribute changes from call to call."""

    held: Any = None


@fwddiff
def capturing(a):
    return math.exp(-a * Holder.held) * Holder.held


def captured(a, b):
    Holder.held = b
    try:
        return capturing.broadcast(a)
    finally:
        Holder.held = None


def captured_native(xp, a, b):
    return xp.exp(-a * b) * b


@fwddiff
def beside(a, count, nothing, b, flag):
    total = 0.0
    for k in range(count):
        total += a**k
    return total * b if nothing is None and flag else b


@fwddiff
def polynomial(coefficients, x):
    total = 0.0
    for k in range(len(coefficients)):
        total = total * x + coefficients[k]
    return total * math.sin(x)


def polynomial_native(xp, coefficients, x):
    # Some hosts may not know the size before the function runs.
    length = getattr(xp, "length", lambda array: array.shape[0])
    total = coefficients[0]  # not 0.0: PyTorch's tangent of 0.0 * x is in double precision, whatever x is
    for k in range(1, length(coefficients)):
        total = total * x + coefficients[k]
    return total * xp.sin(x)


KINDS = [
    Kind("numbers", wave, wave_native, ((), ())),
    Kind("broadcast", wave.broadcast, wave_native, ((3, 1), (4,))),
    Kind("sum", wave.sum, lambda xp, a, b: xp.sum(wave_native(xp, a, b)), ((3,), (2, 1))),
    Kind("branches", branching.broadcast, branching_native, ((5,), (5,))),
    Kind("loop", looping.broadcast, looping_native, ((2, 2), (2, 2))),
    Kind("struct of arrays", of_structs, of_structs_native, ((4,), (4,))),
    Kind("captured value", captured, captured_native, ((4,), ())),
    Kind(
        "integer, None, bool beside floats",
        lambda a, b: beside.broadcast(a, 3, None, b, True),
        lambda xp, a, b: (1 + a + a * a) * b,
        ((3,), (3,)),
    ),
    Kind("array argument", polynomial, polynomial_native, ((3,), ())),
]
