"""`fd.magnitude`: stopping tests of loops that see derivatives too."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import dual
from fwddiff._operators import _At

ENGINES = ["numba", "numpy"]


def kepler_by_value(start, mean, eccentricity):
    """Eccentric anomaly by Newton's iteration, which stops when the value has settled."""
    anomaly, step = start, 1.0
    while abs(step) > 1e-10:
        step = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1 - eccentricity * math.cos(anomaly))
        if abs(step) > 1e-10:
            anomaly = anomaly - step
    return anomaly


def kepler(start, mean, eccentricity):
    """The same, which stops when value and derivatives have settled."""
    anomaly, step = start, 1.0
    while fd.magnitude(step) > 1e-10:
        step = (anomaly - eccentricity * math.sin(anomaly) - mean) / (1 - eccentricity * math.cos(anomaly))
        if fd.magnitude(step) > 1e-10:
            anomaly = anomaly - step
    return anomaly


ANOMALY, ECCENTRICITY = 1.1, 0.3
MEAN = ANOMALY - ECCENTRICITY * math.sin(ANOMALY)
SLOPE = 1 / (1 - ECCENTRICITY * math.cos(ANOMALY))
# d²E/dM² = -e sin(E) E'³ and d²E/dMde = cos(E) E'² - e sin²(E) E'³, from M = E - e sin(E).
CURVATURE = -ECCENTRICITY * math.sin(ANOMALY) * SLOPE**3
MIXED = math.cos(ANOMALY) * SLOPE**2 - ECCENTRICITY * math.sin(ANOMALY) ** 2 * SLOPE**3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_that_starts_at_its_solution(engine):
    settled = fd.gradient(lambda p: kepler(ANOMALY, p[0], p[1]), (MEAN, ECCENTRICITY), backend=engine)
    assert settled[0] == pytest.approx(SLOPE, rel=1e-12)
    assert settled[1] == pytest.approx(math.sin(ANOMALY) * SLOPE, rel=1e-12)
    by_value = fd.gradient(lambda p: kepler_by_value(ANOMALY, p[0], p[1]), (MEAN, ECCENTRICITY))
    assert abs(by_value[0] - SLOPE) > 0.1


@pytest.mark.parametrize("engine", ENGINES)
def test_second_order(engine):
    found = fd.hvp(lambda p: kepler(ANOMALY, p[0], p[1]), (MEAN, ECCENTRICITY), (1.0, 0.0), backend=engine)
    assert found[0] == pytest.approx(CURVATURE, rel=1e-12)
    assert found[1] == pytest.approx(MIXED, rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_in_a_broadcast(engine):
    anomalies = np.linspace(0.1, 3.0, 7)
    means = anomalies - ECCENTRICITY * np.sin(anomalies)
    _, pullback = fd.rrule(fd.fwddiff(kepler, engine=engine).broadcast, anomalies, means, ECCENTRICITY)
    thunks = pullback(np.ones(7))
    np.testing.assert_allclose(fd.unthunk(thunks[1]), 1 / (1 - ECCENTRICITY * np.cos(anomalies)), rtol=1e-12)
    np.testing.assert_allclose(fd.unthunk(thunks[0]), 0.0, atol=1e-9)


@pytest.mark.parametrize("x", [-2.5, 2.5, 3, -3, True, np.float32(-1.5), np.int64(-4), math.inf])
def test_of_plain_numbers(x):
    assert fd.magnitude(x) == abs(float(x))
    assert type(fd.magnitude(x)) is float


def test_of_plain_arrays():
    assert fd.magnitude(np.array([[1.0, -7.0], [2.0, 3.0]])) == 7.0
    assert fd.magnitude(np.array([])) == 0.0
    assert math.isnan(fd.magnitude(np.array([1.0, math.nan])))


@pytest.mark.parametrize(
    ("value", "partials", "expected"),
    [
        (1.0, (0.5, -3.0), 3.0),
        (-4.0, (0.5, -3.0), 4.0),
        (0.5, (math.inf, math.nan, 0.7), 0.7),
        (math.nan, (1.0,), math.nan),
        (-math.inf, (1.0,), math.inf),
    ],
)
def test_of_duals(value, partials, expected):
    assert fd.magnitude(dual.make(value, partials, 1)) == pytest.approx(expected, nan_ok=True)


def test_of_nested_duals_sees_all_levels():
    inner = dual.make(0.1, (0.2,), 1)
    assert fd.magnitude(dual.make(inner, (dual.make(0.3, (-9.0,), 1),), 2)) == 9.0


def test_of_arrays_of_duals():
    x = dual.make(np.array([1.0, -2.0]), (np.array([0.0, 5.0]), np.array([math.inf, 6.0])), 1)
    assert fd.magnitude(x) == 6.0


def size(x):
    return fd.magnitude(x)


def size_of_multiple(x):
    return fd.magnitude(x * 3.0 / 2.0) + 0.0 * x


def size_of_square_root(x):
    return fd.magnitude(math.sqrt(x)) + 0.0 * x


@pytest.mark.parametrize("engine", ENGINES)
def test_what_kernels_see(engine):
    """1.5 x is 0.9 and has the partial 1.5; at x = 0 the slope of the square root is infinite."""
    multiple = fd.fwddiff(size_of_multiple, engine=engine)
    value, pullback = fd.rrule(multiple, 0.6)
    assert value == pytest.approx(0.9)
    assert fd.unthunk(pullback(1.0)[0]) == 0.0
    (stored,) = multiple.whole.prepare(0.6).rule.partials((0,))([np.array(0.6)])[:1]
    assert stored == 1.5
    root = fd.fwddiff(size_of_square_root, engine=engine)
    assert root.whole.prepare(0.0).rule.partials((0,))([np.array(0.0)])[0] == 0.0


@pytest.mark.parametrize("engine", ENGINES)
def test_dtypes_and_integers(engine):
    sizes = fd.fwddiff(size, engine=engine)
    found = sizes.broadcast(np.array([-1.5, 2.0], np.float32))
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, 2.0]
    assert sizes.broadcast(np.array([-3, 4])).tolist() == [3.0, 4.0]


def solve(matrix_diagonal, target):
    """Jacobi's iteration for a diagonal matrix plus 0.1 everywhere."""
    x = target * 0.0
    change = target
    while fd.magnitude(change) > 1e-13:
        change = (target - 0.1 * np.sum(x)) / matrix_diagonal - x
        x = x + change
    return np.sum(x * x)


@pytest.mark.parametrize("engine", ENGINES)
def test_of_arrays_in_kernels(engine):
    diagonal, target = np.array([2.0, 3.0, 4.0]), np.zeros(3)
    exact = np.linalg.inv(np.diag(diagonal) + 0.1)
    found = fd.hvp(lambda t, d: solve(d, t), target, np.ones(3), diagonal, backend=engine)
    np.testing.assert_allclose(found, 2 * exact.T @ exact @ np.ones(3), rtol=1e-11)


def test_operators_compile_functions_that_call_it():
    """`magnitude` is no reason to run a function as plain Python."""
    assert not _At(lambda x: fd.magnitude(x) * x, 1.0, (), "auto").python
