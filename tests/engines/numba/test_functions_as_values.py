"""Functions defined inside that are handed to helpers, stored, returned, or call themselves, compiled.

The oracle is the functions themselves in Python on numbers, and their central differences; of second
derivatives, differences of the first. Kernels on disk are in `test_cache`.
"""

# ruff: noqa: B023, E731 - what happens to variables that lambdas refer to is the subject

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

A, B = 0.7, 1.3


# --- helpers that take functions ----------------------------------------------------------------------------


def newton(residual, x):
    for _ in range(8):
        x = x - residual(x) / 3.0
    return x


def rk4(rhs, y, t0, t1, n):
    h, t = (t1 - t0) / n, t0
    for _ in range(n):
        k1 = rhs(t, y)
        k2 = rhs(t + h / 2, y + h / 2 * k1)
        k3 = rhs(t + h / 2, y + h / 2 * k2)
        y, t = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + rhs(t + h, y + h * k3)), t + h
    return y


def simpson(f, a, b, n=4):
    h = (b - a) / n
    total = f(a) + f(b)
    for i in range(1, n):
        total += (4 if i % 2 else 2) * f(a + i * h)
    return total * h / 3


def adaptive(f, a, b, fa, fb, depth):
    m = 0.5 * (a + b)
    fm = f(m)
    if depth <= 0 or abs(fa - 2 * fm + fb) < 1e-4:
        return (b - a) * (fa + 4 * fm + fb) / 6
    return adaptive(f, a, m, fa, fm, depth - 1) + adaptive(f, m, b, fm, fb, depth - 1)


def twice(f, x):
    return f(f(x))


def handed_on(f, x):
    return twice(f, x) + 1.0


def pair_of(f, x):
    return f(x), f(2 * x)


def scaled(x, f):
    return f(x) * x


def compose(f, g):
    return lambda x: f(g(x))


def unchanged(f):
    return f


def slope_or_value(f, x, df=None):
    return f(x) if df is None else f(x) / df(x)


def deeper(f, n, x):
    return f(x) if n == 0 else deeper(lambda y: f(y) + y, n - 1, x)


@dataclasses.dataclass
class Line:
    slope: float
    offset: float

    def at(self, f):
        return f(self.slope) * self.offset


class Model:
    def __init__(self):
        self.rate, self.weights = 1.5, np.array([1.0, 2.0])

    def rhs(self, t, y, factor=2.0):
        return -self.rate * factor * y * self.weights[0]

    def integrate(self, f, a, b):
        return simpson(f, a, b)


MODEL = Model()
SCALE = np.array([1.7, 0.3])


def outside():
    """Functions that capture an array and a number from around them."""
    weights, kk = np.array([1.0, 2.0]), 3

    def g(x, power=2):
        return x**power * weights[1]

    def is_handed_g(a, b):
        h = g
        return simpson(g, 0.0, a) * b + newton(h, a)

    def calls_g_in_lambda(a, b):
        return simpson(lambda x: g(x) * a, 0.0, b) * kk

    def hides_a_name(a, b):
        def inner(kk):
            return simpson(lambda x: kk * x * a, 0.0, b)

        return inner(2.0) * kk

    return is_handed_g, calls_g_in_lambda, hides_a_name


# --- functions of a and b -----------------------------------------------------------------------------------


def numbers(a, b):
    return newton(lambda x: x * x - a * b, 1.0)


def named_and_with_branches(a, b):
    def rhs(t, y):
        if t > 0.5:
            return -a * y
        return -a * y * math.sin(t)

    return rk4(rhs, b, 0.0, 1.0, 4)


def integers_tuples_structs(a, b):
    n, pair, line = 3, (a, b, 2), Line(a, b)
    return simpson(lambda x: pair[0] * x**n + pair[1] * pair[2] + line.slope * x, 0.0, line.offset)


def arrays(a, b):
    w = np.array([a, b, a * b])
    return simpson(lambda x: w[0] * x + np.sum(w) * SCALE[0], 0.0, 1.0)


def systems(a, b):
    turn = np.array([[0.0, 1.0], [-1.0, 0.1]])
    return np.sum(rk4(lambda t, y: turn @ y * a, np.array([1.0, b]), 0.0, 1.0, 3))


def other_functions(a, b):
    g, sine = lambda y: a * y * y, math.sin
    return simpson(lambda x: g(x) + sine(b * x), 0.0, 1.0)


def inside_each_other(a, b):
    return simpson(lambda x: simpson(lambda y: math.exp(-a * x * y), 0.0, x), 0.0, b)


def through_several(a, b):
    u, v = pair_of(lambda x: a * x * x, b)
    return handed_on(lambda x: a * x + b * x * x, 0.5) * u + v


def by_methods(a, b):
    return MODEL.integrate(lambda x: math.exp(a * x), 0.0, b) * Line(a, b).at(lambda x: x * b)


def methods_as_values(a, b):
    return rk4(MODEL.rhs, a, 0.0, b, 3) + simpson(lambda x: MODEL.rhs(x, a), 0.0, b)


def recursive_helper(a, b):
    f = lambda x: math.exp(-a * x) * b
    return adaptive(f, 0.0, b, f(0.0), f(b), 4)


def keywords_and_defaults(a, b):
    first = scaled(f=lambda x, c=b, n=2: a * x**n * c, x=b)
    return first + simpson(lambda x, a=2.0: a * x * b, 0.0, a)


def optional(a, b):
    return slope_or_value(lambda x: a * x * x, b) + slope_or_value(lambda x: a * x, b, lambda x: 2 * a * x)


def inner_helper(a, b):
    def fixed(f, x):
        for _ in range(5):
            x = x - f(x) / 3
        return x

    return fixed(lambda x: x * x - a * b, 1.0)


def implicit_euler(a, b):
    y = b
    for _ in range(3):
        y = newton(lambda z: z - y + 0.1 * a * z, y)
    return y


def implicit_euler_inside(a, b):
    def march(y):
        for _ in range(3):
            y = newton(lambda z: z - y + 0.1 * a * z, y)
        return y

    return march(b)


def in_loops(a, b):
    total, c, k = 0.0, a, 0
    while k < 2:
        k += 1
        c = c * b
        total += simpson(lambda x: c * x**k, 0.0, 1.0)
    return total + sum([simpson(lambda x: a * x * j, 0.0, b) for j in range(3)])


def returned(a, b):
    h = compose(lambda x: a * x, lambda x: x * x * b)
    return h(0.5) + simpson(h, 0.0, 1.0)


def stored(a, b):
    both = (lambda x: a * x, lambda x: b * x * x)
    named = {"u": lambda x: a * x, "v": lambda x: b * x}
    return both[0](0.5) + simpson(both[1], 0.0, 1.0) + named["u"](b) * named["v"](a)


def lists_of_defaults(a, b):
    functions = [lambda x, k=k: a * x * k for k in range(3)]
    return simpson(functions[1], 0.0, b) + functions[2](b)


def calls_itself(a, b):
    def power(x, n=2):
        return 1.0 if n == 0 else x * a * power(x, n - 1)

    return simpson(lambda x: power(x), 0.0, b) + power(b, 3)


def calls_itself_twice(a, b):
    def step(n):
        return a if n == 0 else b if n == 1 else step(n - 1) * 0.5 + step(n - 2)

    return step(5)


def number_called_again(a, b):
    """A sum that LLVM makes a `copysign` of, beside one that is written."""
    total = math.copysign(1.0, a)
    for i in range(12):
        total += 0.0 * i + a
    return total * b


COMPILED = [
    *(numbers, named_and_with_branches, integers_tuples_structs, arrays, systems, other_functions),
    *(inside_each_other, through_several, by_methods, methods_as_values, recursive_helper),
    *(keywords_and_defaults, optional, inner_helper, implicit_euler, implicit_euler_inside, in_loops),
    *(returned, stored, lists_of_defaults, calls_itself, calls_itself_twice, number_called_again, *outside()),
]


def difference(f, a, b, step=1e-5):
    return np.array(
        [
            (f(a + step, b) - f(a - step, b)) / (2 * step),
            (f(a, b + step) - f(a, b - step)) / (2 * step),
        ]
    )


@pytest.mark.parametrize("f", COMPILED, ids=lambda f: f.__name__)
@pytest.mark.every(2)
def test_it_is_compiled_and_right(f):
    g = fwddiff(f, engine="numba")
    assert np.allclose(fd.gradient(g, A, B, argnum=(0, 1)), difference(f, A, B), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("f", [numbers, stored, calls_itself], ids=lambda f: f.__name__)
def test_second_derivatives(f):
    g = fwddiff(f, engine="numba")
    got = fd.derivative(lambda b: fd.derivative(lambda a: g(a, b), A), B)
    want = difference(lambda a, b: fd.derivative(lambda t: g(t, b), a), A, B)[1]
    assert math.isclose(got, want, rel_tol=1e-6)


def test_arrays_of_elements():
    f = implicit_euler
    a, b = np.linspace(0.5, 0.9, 7), np.linspace(1.1, 1.4, 7)
    g = fwddiff(f, engine="numba")
    pairs = list(zip(a, b, strict=True))
    assert np.allclose(g.broadcast(a, b), [f(x, y) for x, y in pairs], rtol=1e-12)
    got = fd.gradient(lambda x, y: g.sum(x, y), a, b, argnum=(0, 1))
    assert np.allclose(np.transpose(got), [difference(f, x, y) for x, y in pairs], rtol=1e-6)


def test_python_agrees():
    got = fd.gradient(fwddiff(implicit_euler, engine="numpy"), A, B, argnum=(0, 1))
    assert np.allclose(got, difference(implicit_euler, A, B), rtol=1e-6)


# --- variables that change later ----------------------------------------------------------------------------


def reassigned(a, b):
    f = lambda x: a * x
    a = 2 * a
    return simpson(f, 0.0, 1.0) * b


def reassigned_in_a_tuple(a, b):
    pair = (lambda x: a * x, 1.0)
    a = 2 * a
    return simpson(pair[0], 0.0, 1.0) * b


def reassigned_in_a_helper(a, b):
    f = unchanged(lambda x: a * x)
    a = 2 * a
    return simpson(f, 0.0, 1.0) * b


def reassigned_inside(a, b):
    def inner(c):
        f = lambda x: c * x
        c = 2 * c
        return simpson(f, 0.0, 1.0)

    return inner(a) * b


def reassigned_two_deep(a, b):
    h = lambda t: a * t
    g = lambda t: h(t) * b
    a = 2 * a
    return simpson(g, 0.0, 1.0)


def written_by_the_function(a, b):
    total = 0.0

    def h(t):
        nonlocal total
        total = total + t * a
        return total

    return simpson(h, 0.0, 1.0) * b + total


def list_of_late(a, b):
    functions = [lambda x: a * x * k for k in range(3)]
    return simpson(functions[0], 0.0, b)


def loop_of_late(a, b):
    functions = []
    for k in range(3):
        functions.append(lambda x: a * x**k)
    return functions[0](b) + functions[1](b)


def deeper_and_deeper(a, b):
    return deeper(lambda x: a * x, 3, b)


LATE = [
    *(reassigned, reassigned_in_a_tuple, reassigned_in_a_helper, reassigned_inside, reassigned_two_deep),
    *(written_by_the_function, loop_of_late, deeper_and_deeper),
]


@pytest.mark.parametrize("f", LATE, ids=lambda f: f.__name__)
def test_what_changes_later_is_refused_and_right_in_python(f):
    with pytest.raises(fd.CompileError, match=r"changes while|deeper with each"):
        fd.gradient(fwddiff(f, engine="numba"), A, B)
    g = fwddiff(f)
    assert math.isclose(g(A, B), f(A, B), rel_tol=1e-12)
    assert np.allclose(fd.gradient(g, A, B, argnum=(0, 1)), difference(f, A, B), rtol=1e-6)


def test_the_message_says_what_to_do(caplog):
    fd.gradient(fwddiff(list_of_late), A, B)
    assert "`k` changes while" in caplog.text
    assert "a default, `k=k`" in caplog.text


# --- captured values --------------------------------------------------------------------------------------


def test_captured_values_are_read_at_each_call():
    factor = np.array([2.0])

    def f(x):
        return simpson(lambda t: factor[0] * t * x, 0.0, 1.0)

    g = fwddiff(f, engine="numba")
    assert math.isclose(fd.derivative(g, 3.0), 1.0)
    factor[0] = 4.0
    assert math.isclose(fd.derivative(g, 3.0), 2.0)
