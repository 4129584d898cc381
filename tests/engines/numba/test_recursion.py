"""Functions that call themselves, compiled: what they give, to third order, and what it looks like when they
fail.

The oracle is mpmath: the same Python functions, on numbers of many digits, differentiated by differences.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import sys

import mpmath
import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff.engines.numba import language
from support.problems import problem_of
from support.translated import translated


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


CASES = [
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
    assert rule.numbers is not None, rule._find_numbers()
    return rule


def wanted(function, at, rest, order):
    with mpmath.workdps(60):
        return float(mpmath.diff(lambda *x: function(*x, *rest), tuple(map(mpmath.mpf, at)), order))


@pytest.mark.parametrize(("function", "at", "rest"), CASES, ids=IDS)
def test_values_and_derivatives(function, at, rest):
    rule, values = compiled(function, *at, *rest), [np.array(v) for v in (*at, *rest)]
    count = len(at)
    gradient = rule.pullback(tuple(range(count)))
    assert gradient.numbers is not None
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
