"""Functions that call themselves, compiled: what they give, to third order, and what it looks like when they
fail.

The oracle is mpmath: the same Python functions, on numbers of many digits, differentiated by differences.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import sys

import mpmath
import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.engines.numba import language
from support.problems import problem_of


def power(x, n):
    return 1.0 if n < 1 else x * power(x, n - 1)


def horner(x, a, b, n):
    """a + x (b + x (a + …))."""
    return a if n == 0 else a + x * horner(x, b, a, n - 1)


def halved(x, y, n):
    """Several calls, of which each needs what came of the one before."""
    if n < 2:
        return x + n * y
    left = halved(x, y, n // 2)
    right = halved(x + y, left, n - n // 2 - 1)
    return left * right / (1 + left)


def fibonacci(x, y, n):
    return x if n == 0 else y if n == 1 else fibonacci(x, y, n - 1) * fibonacci(x, y, n - 2) + x


def ackermann(x, m, n):
    if m == 0:
        return n + x
    if n == 0:
        return ackermann(x, m - 1, 1)
    return ackermann(x, m - 1, int(ackermann(0.0, m, n - 1))) * x


def continued(x, a, n):
    return a if n == 0 else n + x / continued(x * a, a, n - 1)


def casteljau(t, a, b, c, d):
    """A point of a cubic curve by halves, and by a helper that is recursive too."""
    return blossom(t, (a, b, c, d), 3, 0)


def blossom(t, points, degree, first):
    if degree == 0:
        return points[first]
    left, right = blossom(t, points, degree - 1, first), blossom(t, points, degree - 1, first + 1)
    return (1 - t) * left + t * right


def by_position(x, y, n):
    """A tuple whose element is known when the function runs: memory of each turn's own."""
    parts = (x, y, x * y)
    part = parts[n % 3]
    return part if n < 1 else part * by_position(y, x, n - 1) + parts[(n + 1) % 3]


def branching(x, n):
    """What steers is computed from what is differentiated."""
    if x > 4.0 or n == 0:
        return x * x
    return branching(x * 1.5, n - 1) if n % 2 else branching(x + 1, n - 1) * x


def loops_inside(x, n):
    total = x
    for k in range(n):
        total += loops_inside(x * (k + 1), k) * total
    return total


def simpson(a, b, w, level):
    middle = (a + b) / 2
    whole = (b - a) / 6 * (hill(a, w) + 4 * hill(middle, w) + hill(b, w))
    if level == 0:
        return whole
    left, right = simpson(a, middle, w, level - 1), simpson(middle, b, w, level - 1)
    both = left + right
    return both if level > 2 or abs(both - whole) > 1e-3 else both + (both - whole) / 15


def hill(x, w):
    return 1 / (1 + w * x * x)


def even(x, y, n):
    return x if n == 0 else y * odd(x, y, n - 1)


def odd(x, y, n):
    return y if n == 0 else even(x * y, y, n - 1) + x


def pair(x, y, n):
    if n == 0:
        return x, y
    u, v = pair(x * y, x, n - 1)
    return u + v * x, u * y


def nested(x, n):
    """A function that calls itself calls another that does."""
    return x if n == 0 else power(x, n) + nested(x * x, n - 1)


def by_its_own_result(x, n):
    return x if n <= 0 else by_its_own_result(by_its_own_result(x, n - 2) * x, n - 1)


def by_default(x, n, least=1e-3, is_last=False):
    """Defaults and numbers known where it is called are no other functions."""
    if is_last or x < least:
        return x
    below = by_default(x * x, n - 1, is_last=n < 2)
    return below + by_default(x / 4, n - 1, least * 2, False) * x if n > 0 else below


CASES = [
    (lambda x, n: by_default(x, n), (0.7,), (3,)),
    (power, (1.3,), (5,)),
    (horner, (0.7, 1.1, -0.6), (6,)),
    (halved, (0.7, 1.1), (9,)),
    (fibonacci, (0.7, 0.4), (6,)),
    (ackermann, (1.2,), (2, 2)),
    (continued, (0.7, 1.2), (5,)),
    (casteljau, (0.3, 1.0, -2.0, 0.5, 1.5), ()),
    (by_position, (0.7, 1.2), (7,)),
    (branching, (0.7,), (9,)),
    (loops_inside, (0.7,), (4,)),
    (simpson, (0.1, 1.3, 0.8), (4,)),
    (even, (0.7, 1.2), (5,)),
    (lambda x, y, n: pair(x, y, n)[0] * pair(x, y, n)[1], (0.7, 1.2), (4,)),
    (nested, (0.7,), (4,)),
    (by_its_own_result, (0.8,), (5,)),
]
IDS = [function.__name__ for function, *_ in CASES]


def compiled(function, *arguments):
    """The function's rule, which is sure to be that of the compiled code on plain numbers."""
    rule = fwddiff(function, engine="numba").whole.prepare(*arguments).rule
    assert rule.code is not None
    return rule


def wanted(function, at, rest, order):
    with mpmath.workdps(60):
        return float(mpmath.diff(lambda *x: function(*x, *rest), tuple(map(mpmath.mpf, at)), order))


@pytest.mark.parametrize(("function", "at", "rest"), CASES, ids=IDS)
@pytest.mark.few(
    function=["power", "ackermann", "by_position", "branching", "even", "casteljau", "by_its_own_result"]
)
def test_values_and_derivatives(function, at, rest):
    rule, values = compiled(function, *at, *rest), [np.array(v) for v in (*at, *rest)]
    count = len(at)
    gradient = rule.pullback(tuple(range(count)))
    assert gradient.code is not None
    np.testing.assert_allclose(rule(values)[0], function(*at, *rest), rtol=1e-13)
    found = gradient([*values, np.array(1.0)])
    units = np.eye(count, dtype=int)
    np.testing.assert_allclose(found, [wanted(function, at, rest, tuple(u)) for u in units], rtol=1e-11)
    twice = gradient.pushforward(tuple(range(count)))
    for u in units:
        rows = twice([*values, np.array(1.0), *map(np.array, u.astype(float))])
        np.testing.assert_allclose(
            rows, [wanted(function, at, rest, tuple(u + v)) for v in units], rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize("function", [power, branching, by_its_own_result])
def test_third_order(function):
    rule = compiled(function, 0.8, 5)
    third = rule.pullback((0,)).pushforward((0,)).pushforward((0,))
    values = [np.array(v) for v in (0.8, 5, 1.0, 1.0, 1.0)]
    np.testing.assert_allclose(third(values)[0], wanted(function, (0.8,), (5,), (3,)), rtol=1e-9)


# --- other arguments and results ----------------------------------------------------------------------------


def test_single_precision():
    x = np.linspace(0.5, 1.5, 5, dtype=np.float32)
    g = fwddiff(horner, engine="numba").broadcast
    y, pullback = fd.rrule(g, x, np.float32(1.1), np.float32(-0.6), 6)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, np.array([horner(float(v), 1.1, -0.6, 6) for v in x]), rtol=1e-6)
    bar = fd.unthunk(pullback(np.ones(5, np.float32))[0])
    exact = [wanted(horner, (float(v), 1.1, -0.6), (6,), (1, 0, 0)) for v in x]
    assert bar.dtype == np.float32
    np.testing.assert_allclose(bar, exact, rtol=2e-6)


def test_each_number_keeps_its_precision():
    """A float64 that waits in a frame makes no float64 of a float32 beside it."""

    def both(x, y, n):
        if n == 0:
            return x, y
        u, v = both(x * x, y * y, n - 1)
        return u * x, v * y

    rule = compiled(both, np.float32(1.5), np.float64(2.5), 2)
    assert [slot.dtype.name for slot in rule.outputs] == ["float32", "float64"]


@dataclasses.dataclass
class Interval:
    low: float
    high: float

    def split(self):
        middle = (self.low + self.high) / 2
        return Interval(self.low, middle), Interval(middle, self.high)


Sums = collections.namedtuple("Sums", "area moment")


def sums(interval, w, level):
    width = interval.high - interval.low
    if level == 0:
        middle = (interval.low + interval.high) / 2
        return Sums(width * hill(middle, w), middle * width * hill(middle, w))
    left, right = interval.split()
    a, b = sums(left, w, level - 1), sums(right, w, level - 1)
    return Sums(a.area + b.area, a.moment + b.moment)


def test_structs_and_named_tuples():
    def f(low, high, w):
        s = sums(Interval(low, high), w, 4)
        return s.moment / s.area

    at = (0.1, 1.3, 0.8)
    rule = compiled(f, *at)
    found = rule.pullback((0, 1, 2))([*map(np.array, at), np.array(1.0)])
    np.testing.assert_allclose(found, [wanted(f, at, (), tuple(u)) for u in np.eye(3, dtype=int)], rtol=1e-11)


def test_captured_numbers_and_functions_inside():
    weight = np.array(0.7)

    def f(x, n):
        def shifted(t):
            return t + weight

        return x if n == 0 else shifted(x) * f(x * weight, n - 1)

    rule = compiled(f, 1.2, 4)
    values = [np.array(1.2), np.array(4), weight, np.array(1.0)]

    def plain(x, w, n):
        return x if n == 0 else (x + w) * plain(x * w, w, n - 1)

    expected = np.array([wanted(plain, (1.2, 0.7), (4,), order) for order in ((1, 0), (0, 1))])
    np.testing.assert_allclose(rule.pullback((0, 2))(values), expected, rtol=1e-12)


def test_integers_and_booleans():
    def count(n, is_odd):
        if n == 1:
            return 0, is_odd
        steps, found = count(n // 2 if n % 2 == 0 else 3 * n + 1, n % 2 == 1)
        return steps + 1, found and not is_odd

    steps, flag = fwddiff(count, engine="numba").broadcast(np.arange(1, 28), False)
    assert [(a, b) for a, b in zip(steps.tolist(), flag.tolist(), strict=True)] == [
        count(n, False) for n in range(1, 28)
    ]


def test_infinite_slopes_of_others_meet_nothing():
    """y does not depend on x, though both wait in frames while the function calls itself."""

    def f(x, y, n):
        return math.sqrt(x) * y if n == 0 else f(x * 0.5, y, n - 1) + x * y

    rule = compiled(f, 0.0, 2.0, 2)
    values = [*map(np.array, (0.0, 2.0, 2, 1.0))]
    np.testing.assert_array_equal(rule.pullback((1,))(values), [0.0])


# --- arrays -------------------------------------------------------------------------------------------------


def tree_sum(x):
    """By halves, which are views."""
    n = len(x)
    return x[0] * x[0] if n == 1 else tree_sum(x[: n // 2]) * 0.5 + tree_sum(x[n // 2 :])


def by_index(x, k):
    return 1.0 if k == len(x) else x[k] * (k + by_index(x, k + 1))


def by_rest(x):
    return 1.0 + x[0] * by_rest(x[1:]) if len(x) > 0 else 1.0


def expansion(m, row, used):
    """A determinant by its first row, and so on."""
    n, total, sign = m.shape[0], 0.0, 1.0
    if row == n:
        return 1.0
    for k in range(n):
        if not used & (1 << k):
            total += sign * m[row, k] * expansion(m, row + 1, used | (1 << k))
            sign = -sign
    return total


def determinant(m):
    return expansion(m, 0, 0)


@pytest.mark.parametrize("function", [tree_sum, lambda x: by_index(x, 0), by_rest])
@pytest.mark.every(2)
def test_arrays_and_parts_of_them(function):
    x = np.array([0.7, 1.1, -0.6, 1.3, 0.9])
    rule = compiled(function, x)
    np.testing.assert_allclose(rule([x])[0], function(x), rtol=1e-14)
    (found,) = rule.pullback((0,))([x, np.array(1.0)])
    steps = 1e-5 * np.eye(5)
    expected = [(function(x + s) - function(x - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    twice = rule.pullback((0,)).pushforward((0,))
    rows = [twice([x, np.array(1.0), t])[0] for t in np.eye(5)]
    gradient = lambda x: rule.pullback((0,))([x, np.array(1.0)])[0]  # noqa: E731
    np.testing.assert_allclose(
        rows, [(gradient(x + s) - gradient(x - s)) / 2e-5 for s in steps], rtol=1e-6, atol=1e-8
    )


def test_a_determinant_by_expansion():
    m = np.random.default_rng(1).normal(size=(5, 5))
    rule = compiled(determinant, m)
    np.testing.assert_allclose(rule([m])[0], np.linalg.det(m), rtol=1e-12)
    (bar,) = rule.pullback((0,))([m, np.array(1.0)])
    np.testing.assert_allclose(bar, np.linalg.det(m) * np.linalg.inv(m).T, rtol=1e-11)


def test_arrays_made_by_recursion_run_as_python():
    def halves(x):
        return x * 1.0 if len(x) == 1 else np.concatenate((halves(x[::2]) * 2, halves(x[1::2])))

    x = np.array([0.7, 1.1, -0.6, 1.3])
    np.testing.assert_allclose(fd.jacobian(halves, x) @ x, halves(x), rtol=1e-14)


# --- many elements, and what goes wrong ---------------------------------------------------------------------


def test_broadcast_in_threads():
    x, g = np.linspace(0.1, 0.9, 200_001), fwddiff(power, engine="numba").broadcast
    y, pullback = fd.rrule(g, x, 5)
    np.testing.assert_allclose(y, x**5, rtol=1e-13)
    np.testing.assert_allclose(fd.unthunk(pullback(np.ones_like(x))[0]), 5 * x**4, rtol=1e-13)


def failing(x, n):
    if x > 100.0:
        raise ValueError("above a hundred")
    return x if n == 0 else failing(x * x, n - 1)


def forgiving(x, n):
    try:
        return failing(x, n)
    except Exception:
        return -x


def test_exceptions_from_below():
    g = fwddiff(failing, engine="numba")
    assert fd.derivative(failing, 1.5, 2, backend="numba") == pytest.approx(4 * 1.5**3)
    with pytest.raises(ValueError, match="above a hundred"):
        fd.derivative(failing, 1.5, 9, backend="numba")
    with pytest.raises(ValueError, match="above a hundred"):
        g.broadcast(np.array([1.0, 1.5, 1.0]), 9)
    assert fd.derivative(forgiving, 1.5, 9, backend="numba") == -1.0
    assert fd.derivative(forgiving, 1.5, 2, backend="numba") == pytest.approx(4 * 1.5**3)


def endless(x):
    return 0.0 if x == -1.0 else endless(x + 1.0) + 1.0


def test_too_many_calls_inside_each_other():
    for call in (lambda: fd.derivative(endless, 0.0, backend="numba"), lambda: endless(0.0)):
        with pytest.raises(RecursionError, match="maximum recursion depth"):
            call()
    assert (
        fd.derivative(power, 1.0, sys.getrecursionlimit() - 1, backend="numba") == sys.getrecursionlimit() - 1
    )


def test_kernels_are_for_one_limit():
    rule = compiled(power, 1.0, 3)
    before, limit = rule.store.key, sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(limit + 500)
        assert fwddiff(power, engine="numba").whole.prepare(1.0, 3).rule.store._describe().digest() != before
    finally:
        sys.setrecursionlimit(limit)


def test_a_turn_looks_for_interrupts():
    core = language.translate(problem_of(fibonacci, 0.7, 0.4, 6)[0])
    assert "@fwddiff.poll()" in core.text


def test_functions_that_call_each_other_and_themselves_run_as_python():
    def p(x, n):
        return x if n < 1 else p(x, n - 1) + q(x, n - 1)

    def q(x, n):
        return x * x if n < 1 else q(x, n - 1) * p(x, n - 1)

    def plain(x):
        return p(x, 3)

    assert fd.derivative(plain, 0.7) == pytest.approx(wanted(plain, (0.7,), (), (1,)), rel=1e-12)
