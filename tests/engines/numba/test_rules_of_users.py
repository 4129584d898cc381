"""Functions with a row of their own (`fd.scalar_rule`) in code on plain numbers: values are the code's,
slopes the row's, to any order; exceptions, integers and captured values are as without a row.
"""

from __future__ import annotations

import math

import mpmath
import numba
import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff, rules


@pytest.fixture(autouse=True)
def only_here():
    """Rules added by a test do not outlive it."""
    before = dict(rules.TABLE)
    yield
    rules.TABLE.clear()
    rules.TABLE.update(before)


def derivatives(function, *arguments, active=(0,), captured=()):
    """Value, gradient and Hessian by `active`, of code on plain numbers alone."""
    rule = fwddiff(function, engine="numba").whole.prepare(*arguments).rule
    assert rule.code is not None
    values = [*map(np.asarray, (*arguments, *captured))]
    pullback = rule.pullback(active)
    twice = pullback.pushforward(active)
    gradient = [float(v) for v in pullback([*values, np.array(1.0)])]
    hessian = [
        [float(v) for v in twice([*values, np.array(1.0), *map(np.array, e)])] for e in np.eye(len(active))
    ]
    return float(rule(values)[0]), gradient, hessian


def bessel(n, x):
    """By its series, so that the rule is what knows more: J_n' = (J_{n-1} - J_{n+1}) / 2."""
    if n < 0:
        return (-1.0) ** n * bessel(-n, x)
    total, term = 0.0, 1.0
    for k in range(n):
        term *= x / 2 / (k + 1)
    for k in range(40):
        total += term
        term *= -x * x / 4 / ((k + 1) * (k + 1 + n))
    return total


def test_slopes_that_call_the_function_elsewhere():
    fd.scalar_rule(bessel, "0", "(bessel(n - 1, x) - bessel(n + 1, x)) / 2")
    for n, x in ((0, 0.7), (3, 2.5)):
        value, (slope,), ((second,),) = derivatives(lambda x, n: bessel(n, x), x, n)
        exact = [float(mpmath.besselj(n, x, derivative=k)) for k in range(3)]
        np.testing.assert_allclose([value, slope, second], exact, rtol=1e-13)


def sine(x):
    return math.sin(x)


def cosine(x):
    return math.cos(x)


def test_rows_that_name_each_other():
    fd.scalar_rule(sine, "100")
    fd.scalar_rule(cosine, "-sine(x)")
    fd.scalar_rule(sine, "cosine(x)")
    value, gradient, hessian = derivatives(lambda x, y: sine(x * y) * x, 0.7, 1.3, active=(0, 1))
    x, y, s, c = 0.7, 1.3, math.sin(0.91), math.cos(0.91)
    assert value == pytest.approx(s * x)
    np.testing.assert_allclose(gradient, [s + x * y * c, x * x * c], rtol=1e-14)
    mixed = 2 * x * c - x * x * y * s
    np.testing.assert_allclose(
        hessian, [[2 * y * c - x * y * y * s, mixed], [mixed, -(x**3) * s]], rtol=1e-13
    )


def test_a_rule_counts_and_not_the_code_at_every_order():
    def wrong(x):
        return x / 2

    fd.scalar_rule(wrong, "7 * y * x")
    value, (slope,), ((second,),) = derivatives(lambda x: 3 * wrong(x), 2.0)
    # y = x / 2 with y' = 7 y x: y'' = 7 y + 7 x y'
    assert (value, slope, second) == (3.0, 42.0, 3 * (7 * 1.0 + 7 * 2.0 * 14.0))


def test_captured_values_have_no_derivative_but_count_in_slopes():
    weight = np.array(1.5)

    def scaled(x, power):
        return weight * x**power

    fd.scalar_rule(scaled, "power * scaled(x, power - 1)", "0")
    value, gradient, hessian = derivatives(lambda x: scaled(x, 3.0), 2.0, active=(0, 1), captured=[weight])
    assert value == 12.0
    np.testing.assert_allclose(gradient, [3 * 1.5 * 4.0, 0.0])
    np.testing.assert_allclose(hessian, [[6 * 1.5 * 2.0, 0.0], [0.0, 0.0]])


def test_captured_arrays():
    table = np.array([1.0, 2.0, 4.0])

    def looked_up(x):
        return table[int(x)] + 0.0 * x

    fd.scalar_rule(looked_up, "10 * y")
    g = fwddiff(lambda x: looked_up(x) * x, engine="numba")
    assert g.whole.prepare(1.5).rule.code is not None
    assert fd.unthunk(fd.rrule(g, 1.5)[1](1.0)[0]) == 2.0 + 1.5 * 20.0


def test_integers_stay_integers():
    def repeated(x, n):
        for _ in range(n):
            x = x * x
        return x

    fd.scalar_rule(repeated, "2**2 * n * y / x", "0")
    value, (slope,), _ = derivatives(lambda x: repeated(x, 2), 3.0)
    assert (value, slope) == (81.0, 8 * 27.0)

    def whole(n):
        return n // 2

    fd.scalar_rule(whole, "1")
    assert fwddiff(lambda n: whole(n), engine="numba").broadcast(np.array([5, 7])).tolist() == [2, 3]
    value, (slope,), _ = derivatives(lambda x: x * whole(5), 1.5)
    assert (value, slope) == (3.0, 2.0)


def test_exceptions_and_tries():
    def checked_root(x):
        if x < 0:
            raise ValueError("not positive")
        return math.sqrt(x)

    fd.scalar_rule(checked_root, "1 / (2 * y)")

    def guarded(x):
        try:
            return checked_root(x)
        except Exception:
            return -3 * x

    assert fd.derivative(lambda x: checked_root(x), 4.0, backend="numba") == 0.25
    with pytest.raises(ValueError, match="not positive"):
        fd.derivative(lambda x: checked_root(x), -4.0, backend="numba")
    assert [fd.derivative(guarded, x, backend="numba") for x in (4.0, -4.0)] == [0.25, -3.0]


def test_compiled_functions_given_a_rule_and_single_precision():
    @numba.njit
    def softplus(x):
        return math.log1p(math.exp(x))

    fd.scalar_rule(softplus, "1 / (1 + exp(-x))")
    x = np.linspace(-2, 2, 5, dtype=np.float32)
    y, pullback = fd.rrule(fwddiff(lambda x: softplus(x) * x, engine="numba").broadcast, x)
    bar = fd.unthunk(pullback(np.ones(5, np.float32))[0])
    wide = x.astype(float)
    assert (y.dtype, bar.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(bar, np.log1p(np.exp(wide)) + wide / (1 + np.exp(-wide)), rtol=1e-5)


def test_a_recursive_function_with_a_rule():
    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    fd.scalar_rule(power, "n * power(x, n - 1)", "0")
    value, (slope,), ((second,),) = derivatives(lambda x: power(x, 5), 1.2)
    np.testing.assert_allclose([value, slope, second], [1.2**5, 5 * 1.2**4, 20 * 1.2**3], rtol=1e-14)


def test_in_loops_and_over_arrays():
    def cube(x):
        return x * x * x

    fd.scalar_rule(cube, "30 * x * x")
    x = np.array([0.5, 1.5, -1.0])

    def f(x):
        return sum_of(x) * x[0]

    def sum_of(x):
        total = 0.0
        for v in x:
            total += cube(v)
        return total

    g = fwddiff(f, engine="numba").whole.prepare(x).rule
    assert g.code is not None
    (bar,) = g.pullback((0,))([x, np.array(1.0)])
    np.testing.assert_allclose(bar, 30 * x * x * x[0] + np.array([np.sum(x**3), 0, 0]))
    with pytest.raises(fd.CompileError, match="element by element"):
        fd.gradient(lambda x: np.sum(cube(x)), x, backend="numba")
