"""`fd.magnitude`: stopping tests of loops that see derivatives too."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import dual
from fwddiff._capture import plan, refers_to_us

mpmath = pytest.importorskip("mpmath")

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
    assert not refers_to_us(plan(lambda x: fd.magnitude(x) * x))


# --- relative to a scale: loops that end --------------------------------------------------------------------


def colebrook(reynolds, roughness):
    """1/sqrt(f) of the flow in a pipe, from x + 2 log10(roughness / 3.7 + 2.51 x / reynolds) = 0."""
    x = 8.0
    for _ in range(50):
        a = roughness / 3.7 + 2.51 * x / reynolds
        step = (x + 2 * math.log10(a)) / (1 + 2 / math.log(10) * 2.51 / (reynolds * a))
        x -= step
        if fd.magnitude(step, x) <= 1e-12:
            break
    return x


def cube_root(start, x):
    """By Newton's iteration; near x = 0 derivatives are huge."""
    y = start * x
    for _ in range(200):
        step = (y - x / (y * y)) / 3
        y -= step
        if fd.magnitude(step, y) <= 1e-12:
            break
    return y


def lambert(x, scale):
    """w with w exp(w) = scale x."""
    w = 1.0
    for _ in range(50):
        step = (w - scale * x * math.exp(-w)) / (1 + w)
        w -= step
        if fd.magnitude(step, w) <= 1e-12:
            break
    return w


def exact_colebrook(reynolds, roughness):
    c, d = mpmath.mpf("3.7"), mpmath.mpf("2.51")
    return mpmath.findroot(lambda x: x + 2 * mpmath.log(roughness / c + d * x / reynolds, 10), 8)


EQUATIONS = {
    "pipe, smooth": (colebrook, exact_colebrook, (1e6, 1e-6)),
    "pipe, rough": (colebrook, exact_colebrook, (1e8, 1e-2)),
    "cube root": (cube_root, lambda s, x: mpmath.cbrt(x), (1.0, 1e-4)),
    "lambert": (lambert, lambda x, s: mpmath.lambertw(s * x), (2e-4, 1e4)),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("equation", EQUATIONS)
def test_equations_with_large_derivatives(equation, engine):
    solve, exact, point = EQUATIONS[equation]
    with mpmath.workdps(40):
        slopes = [float(mpmath.diff(exact, point, order)) for order in [(1, 0), (0, 1)]]
        curvatures = [float(mpmath.diff(exact, point, order)) for order in [(2, 0), (1, 1), (0, 2)]]
    found = fd.gradient(solve, *point, argnum=(0, 1), backend=engine)
    np.testing.assert_allclose(found, slopes, rtol=1e-11, atol=1e-11 * max(map(abs, slopes)))
    (a, b), (_, c) = fd.hessian(solve, *point, argnum=(0, 1), backend=engine)
    np.testing.assert_allclose([a, b, c], curvatures, rtol=1e-9, atol=1e-9 * max(map(abs, curvatures)))


def test_third_order_ends():
    third = fd.derivative(fd.derivative(fd.derivative(lambda e: colebrook(1e6, e))))(1e-6)
    with mpmath.workdps(40):
        exact = float(mpmath.diff(lambda e: exact_colebrook(1e6, e), 1e-6, 3))
    assert third == pytest.approx(exact, rel=1e-9)


def steps_and_last(roughness):
    """Number of steps and size of the last, times the argument: so their derivatives are what a pass with
    partials finds."""
    x, count, size = 8.0, 0, 0.0
    for _ in range(50):
        a = roughness / 3.7 + 2.51 * x / 1e6
        step = (x + 2 * math.log10(a)) / (1 + 2 / math.log(10) * 2.51 / (1e6 * a))
        x, count, size = x - step, count + 1, fd.magnitude(step)
        if fd.magnitude(step, x) <= 1e-12:
            break
    return count * roughness, size * roughness


def test_the_scale_ends_the_loop_and_not_its_bound():
    count, size = fd.derivative(steps_and_last, 1e-6, backend="numpy")
    assert count < 10
    assert size > 1e-12  # what a bare tolerance would wait for in vain


@pytest.mark.parametrize(
    ("x", "scale", "expected"),
    [
        (3.0, 0.5, 3.0),
        (3.0, -6.0, 0.5),
        (dual.make(0.0, (8.0, 1.0), 1), dual.make(5.0, (4.0, 1e-3), 1), 2.0),
        (dual.make(0.0, (8.0,), 1), 5.0, 8.0),
        (0.5, dual.make(5.0, (4.0,), 1), 0.1),
        (dual.make(0.0, (math.inf, math.nan), 1), 1.0, 0.0),
        (math.nan, 1.0, math.nan),
        (np.array([1.0, -6.0]), np.array([4.0, 3.0]), 2.0),
    ],
)
def test_relative_to_a_scale(x, scale, expected):
    assert fd.magnitude(x, scale) == pytest.approx(expected, nan_ok=True)


def relative_step(x, y):
    return fd.magnitude(x * y, y * 4.0) + 0.0 * x


def relative_steps(x, y):
    return fd.magnitude(x * y, y * 4.0) + 0.0 * x[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_relative_sizes_in_kernels(engine):
    """x y = 6 against 4 y = 12: 1/2; partials: y = 3 by x (of 0: itself), x = 2 by y (of 4: 1/2)."""
    rule = fd.fwddiff(relative_step, engine=engine).whole.prepare(2.0, 3.0).rule
    assert rule([np.array(2.0), np.array(3.0)])[0] == 0.5
    assert rule.partials((0, 1))([np.array(2.0), np.array(3.0)])[0] == 3.0
    assert rule.partials((1,))([np.array(2.0), np.array(3.0)])[0] == 0.5
    x, y = np.array([2.0, 4.0]), np.array([3.0, 0.125])
    assert fd.fwddiff(relative_steps, engine=engine).whole.prepare(x, y).rule([x, y])[0] == 0.5
