"""What does not depend on an input keeps the slope 0 in it, however infinite the slopes around are.

The right values are limits written by hand. What stays nan is an infinite slope times a zero that was
computed: of one path, whose limit nobody can know from two numbers.
"""

from __future__ import annotations

import math
from math import inf, nan

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

ENGINES = ("numba", "numpy")


def pulled(g, *arguments, cotangent=1.0):
    _, back = fd.rrule(g, *arguments)
    return [fd.unthunk(thunk) for thunk in back(cotangent)]


def smallest(v):
    low = v[2]
    for k in range(3):
        low = v[k] if v[k] < low else low
    return math.sqrt(low) + v[1]


def rooted(v):
    total = 0.0
    for k in range(3):
        total += math.sqrt(v[k]) if v[k] < 2.0 else v[k] * v[k]
    return total


def buffered(v):
    out = np.zeros_like(v)
    for k in range(3):
        out[k] = np.sqrt(v[k])
    return out[0] + out[2] * 3.0


def everything(v):
    """Functions of v = (0, 1, 4, inf, nan); of one vector, so that one kernel has them all."""
    return (
        v[1] + math.sqrt(v[0]),
        3.0 - (v[1] - math.sqrt(v[0])),
        v[1] * math.sqrt(v[0]) + v[2],
        v[1] * v[3] + v[2],
        v[1] / v[0] + v[2],
        v[1] + np.log(v[4]),
        v[0] ** 0.5 + v[2] ** 2,
        v[0] ** -1 + v[2] ** 3,
        np.sum(np.sqrt(v[:3]) * v[1]),
        np.maximum(np.sqrt(v[0]), v[1]),
        np.minimum(np.sqrt(v[0]), v[1]),
        math.sqrt(v[0] if v[0] < v[1] else v[1]),
        smallest(v),
        rooted(v),
        buffered(v),
        np.sqrt(v[0] * v[0]) + v[1],
        np.cbrt(v[0] ** 3) + v[1],
        np.cbrt((-2.0 * v[0]) ** 3) + v[1],
        np.square(np.sqrt(v[0])) + v[1],
        np.sqrt(v[0] ** 2 + (v[1] - 1.0) ** 2) + v[2],
    )


POINT = np.array([0.0, 1.0, 4.0, inf, nan])
SLOPES = {
    "sum": [inf, 1, 0, 0, 0],
    "difference": [inf, -1, 0, 0, 0],
    "product": [inf, 0, 1, 0, 0],
    "infinite factor": [0, inf, 1, 1, 0],
    "infinite quotient": [-inf, inf, 1, 0, 0],
    "nan element": [0, 1, 0, 0, nan],
    "power": [inf, 0, 8, 0, 0],
    "integer power": [-inf, 0, 48, 0, 0],
    "array": [inf, 3.5, 0.25, 0, 0],
    "maximum": [0, 1, 0, 0, 0],
    "minimum": [inf, 0, 0, 0, 0],
    "branches": [inf, 0, 0, 0, 0],
    "loop": [inf, 1, 0, 0, 0],
    "sum in a loop": [inf, 0.5, 8, 0, 0],
    "buffer": [inf, 0, 0.75, 0, 0],
    # One path: nan, not a zero in silence.
    "kink": [nan, 1, 0, 0, 0],
    "root of a power": [nan, 1, 0, 0, 0],
    "root of a negative power": [nan, 1, 0, 0, 0],
    "square of a root": [nan, 1, 0, 0, 0],
    "norm": [nan, nan, 1, 0, 0],
}


@pytest.mark.parametrize("engine", ENGINES)
def test_elements(engine):
    pullback = fd.rrule(fwddiff(everything, engine=engine), POINT)[1]
    for k, (name, expected) in enumerate(SLOPES.items()):
        (gradient,) = map(fd.unthunk, pullback(tuple(float(k == j) for j in range(len(SLOPES)))))
        np.testing.assert_allclose(gradient, expected, rtol=1e-14, err_msg=name)
        assert not np.signbit(gradient[gradient == 0]).any(), name


def lower(a, b):
    return math.sqrt(a if a < b else b)


def descended(a, b):
    x, step = 4.0, 1.0
    while step > 0.5:
        x = a if x > 2.0 else x
        step = step / 2
    return math.sqrt(x) + b * math.sqrt(b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", ["store", "recompute"])
def test_joined_variables(engine, mode):
    g = fwddiff(lower, engine=engine, mode=mode)
    np.testing.assert_array_equal(pulled(g, 0.0, 1.0), [inf, 0])
    a, b = np.array([0.0, 4.0, 2.0]), np.array([1.0, 0.0, 16.0])
    np.testing.assert_allclose(
        pulled(g.broadcast, a, b, cotangent=np.ones(3)), [[inf, 0, math.sqrt(2) / 4], [0, inf, 0]]
    )
    singles = pulled(
        g.broadcast, a.astype(np.float32), b.astype(np.float32), cotangent=np.ones(3, np.float32)
    )
    assert singles[0].dtype == np.float32
    np.testing.assert_allclose(singles, [[inf, 0, math.sqrt(2) / 4], [0, inf, 0]], rtol=1e-6)
    shared, own = pulled(g.sum, 0.0, np.array([1.0, 3.0]))
    assert shared == inf
    np.testing.assert_array_equal(own, [0, 0])
    np.testing.assert_array_equal(pulled(fwddiff(descended, engine=engine, mode=mode), 0.0, 4.0), [inf, 3])


@pytest.mark.parametrize("engine", ENGINES)
def test_many_elements_and_tasks(engine):
    """One element in ten thousand needs the second look; the others are what they were."""
    n = 40_000 if engine == "numba" else 40
    a, b = np.linspace(1, 2, n), np.linspace(2, 3, n)
    a[n // 2] = 0.0
    found = pulled(fwddiff(lower, engine=engine).broadcast, a, b, cotangent=np.ones(n))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found, [0.5 / np.sqrt(a), np.zeros(n)], rtol=1e-15)


def several(x):
    return x * x, math.sqrt(x)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", ["store", "recompute"])
def test_cotangents_and_tangents_of_zero_ask_for_nothing(engine, mode):
    g = fwddiff(several, engine=engine, mode=mode)
    assert pulled(g, 0.0, cotangent=(1.0, 0.0)) == [0.0]
    assert pulled(g, 0.0, cotangent=(0.0, 1.0)) == [inf]
    masked = fwddiff(lambda x: np.log(x), engine=engine, mode=mode)
    found = pulled(masked.broadcast, np.array([0.0, nan, 2.0]), cotangent=np.array([0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(found, [[0, 0, 0.5]])
    sums = fwddiff(lambda x, y: math.sqrt(x) + y * y, engine=engine)
    assert fd.frule(sums, (0.0, 3.0), (0.0, 1.0)) == (9.0, 6.0)
    assert fd.frule(sums, (0.0, 3.0), (1.0, 1.0)) == (9.0, inf)
    roots = fwddiff(lambda v: np.sqrt(v), engine=engine)
    at, one = np.array([0.0, 4.0]), np.array([0.0, 1.0])
    np.testing.assert_array_equal(fd.frule(roots, (at,), (one,))[1], [0, 0.25])
    np.testing.assert_array_equal(pulled(roots, at, cotangent=one), [[0, 0.25]])
    np.testing.assert_array_equal(fd.jacobian(roots, at), [[inf, 0], [0, 0.25]])


@pytest.mark.parametrize("engine", ENGINES)
def test_second_order(engine):
    def beside(v):
        return v[0] * v[0] * v[1] + math.sqrt(v[2])

    found = fd.hessian(beside, np.array([2.0, 3.0, 0.0]), backend=engine)
    np.testing.assert_array_equal(found, [[6, 4, 0], [4, 0, 0], [0, 0, -inf]])
    found = fd.hessian(
        lambda v: math.sqrt(v[0] if v[0] < v[1] else v[1]), np.array([0.0, 1.0]), backend=engine
    )
    np.testing.assert_array_equal(found, [[-inf, 0], [0, 0]])
    # A cotangent of zero that varies: the slope of the gradient in it is the slope itself.
    g = fwddiff(lambda a, b: a * a + math.sqrt(b), engine=engine)
    pullback = fd.rrule(g, 3.0, 0.0)[1]
    assert [fd.unthunk(t) for t in pullback(0.0)] == [0.0, 0.0]
