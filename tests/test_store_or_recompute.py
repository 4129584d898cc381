"""The rule by which `mode="auto"` keeps partials from the forward pass or runs the function again."""

import math

import numpy as np
import pytest

from fwddiff import fwddiff, stats
from fwddiff import special as functions

MANY, FEW = 100_000, 100


scipy = pytest.importorskip("scipy")
pytest.importorskip("scipy.special")
pytest.importorskip("scipy.stats")


def cheap(a, b):
    return -math.log(a) - b / a


def costly(a, b):
    return math.exp(-a * a) * math.sin(b) + math.tanh(a * b)


def special(a, b):
    return math.lgamma(a) - b


def looping(a, b):
    x = a
    for _ in range(3):
        x = 0.5 * (x + b / x)
    return x


def calls_a_costly_helper(a, b):
    return costly(b, a)


def straight_of_ours(a, b):
    return functions.expit(a) * functions.expit(b)


def iterating_of_ours(a, b):
    return functions.gammainc(a, b)


def iterating_in_a_method(a, b):
    return stats.Gamma(a).cdf(b)


def iterating_by_scipys_name(a, b):
    return scipy.special.gammainc(a, b)


def iterating_in_scipys_distribution(a, b):
    return scipy.stats.gamma.cdf(b, a)


def polynomial_of_ours(a, b):
    return functions.ndtr(a - b)  # loops over coefficients: as dear as a function of C


@pytest.mark.parametrize(
    ("function", "many", "few"),
    [
        (cheap, False, False),
        (costly, True, False),
        (special, True, False),
        (calls_a_costly_helper, True, False),
        (looping, True, True),
        (straight_of_ours, True, False),
        (polynomial_of_ours, True, False),
        (iterating_of_ours, True, True),
        (iterating_in_a_method, True, True),
        (iterating_by_scipys_name, True, True),
        (iterating_in_scipys_distribution, True, True),
    ],
)
def test_partials_are_kept_where_running_twice_costs_more(function, many, few):
    for n, expected in ((MANY, many), (FEW, few)):
        x = np.ones(n)
        rule = fwddiff(function).broadcast.prepare(x, x).rule
        assert rule.stores((0, 1), [(n,), (n,)]) == expected


def test_more_partials_tip_the_scales():
    x = np.ones(MANY)
    rule = fwddiff(lambda a, b: math.exp(a) * b).broadcast.prepare(x, x).rule
    assert rule.stores((0,), [x.shape, x.shape])
    assert not rule.stores((0, 1), [x.shape, x.shape])


def test_no_array_is_kept_that_is_larger_than_its_input():
    x, shared = np.ones(MANY), np.ones(())
    rule = fwddiff(looping).broadcast.prepare(shared, x).rule
    assert not rule.stores((0, 1), [(), x.shape])
    assert rule.stores((1,), [(), x.shape])


def test_the_user_decides():
    x = np.ones(MANY)
    for mode, expected in (("store", True), ("recompute", False)):
        for function in (cheap, looping):
            rule = fwddiff(function, mode=mode).broadcast.prepare(x, x).rule
            assert rule.stores((0, 1), [x.shape, x.shape]) == expected
