"""What raises in Python raises in a kernel, with its type and message; floats divide as the hosts' arrays
do."""

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

X = np.linspace(0.5, 1.5, 40)
TABLE = np.array([1.0, 2.0, 3.0])


def looked_up(x, k):
    return x * TABLE[k]


@pytest.mark.parametrize("k", [3, 7, -4, 10**12])
@pytest.mark.parametrize("way", ["broadcast", "sum"])
def test_an_index_out_of_bounds_raises(k, way):
    with pytest.raises(IndexError, match="out of bounds"):
        getattr(fwddiff(looked_up), way)(X, k)


@pytest.mark.parametrize("k", [0, 2, -1, -3])
def test_an_index_in_bounds_does_not(k):
    np.testing.assert_array_equal(fwddiff(looked_up).broadcast(X, k), X * TABLE[k])


def test_an_index_out_of_bounds_raises_in_the_pullback_too():
    rule = fwddiff(looked_up).broadcast.prepare(X, np.zeros(40, np.int64)).rule
    with pytest.raises(IndexError):
        rule.pullback((0,))([X, np.arange(40), TABLE, np.ones(40)])


def root(x):
    if x < 0:
        raise ValueError("negative")
    return math.sqrt(x)


def test_a_try_catches_what_helpers_raise():
    def guarded(x):
        try:
            return root(x) * 2
        except Exception:
            return -3 * x

    def guarded_twice(x):
        try:
            y = guarded(x) + root(-x)
        except Exception:
            y = guarded(-x) - x
        return y

    for f in (guarded, guarded_twice):
        for x in (4.0, -4.0):
            assert fwddiff(f, engine="numba").broadcast(np.array([x])) == f(x)
            numeric = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
            assert fd.derivative(f, x, backend="numba") == pytest.approx(numeric, rel=1e-8)


def test_an_array_argument_has_bounds():
    @fwddiff
    def beyond(x):
        total = 0.0
        for k in range(len(x) + 1):
            total += x[k]
        return total

    with pytest.raises(IndexError):
        fd.unthunk(fd.rrule(beyond, X)[1](1.0)[0])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, n: x * (7 // n), "integer division"),
        (lambda x, n: x * (7 % n), "integer modulo"),
    ],
)
def test_integers_are_not_divided_by_zero(function, message):
    with pytest.raises(ZeroDivisionError, match=message):
        fwddiff(function).broadcast(X, 0)
    np.testing.assert_allclose(fwddiff(function).broadcast(X, 3), function(X, 3))


def test_floats_are_divided_as_arrays_are():
    assert np.all(fwddiff(lambda x, y: x / y).broadcast(X, 0.0) == math.inf)


def test_the_users_own_exception_arrives_from_any_task():
    @fwddiff
    def strict(x):
        if x < 0:
            raise ValueError("x is negative")
        return math.sqrt(x)

    x = np.ones(100_000)
    strict.broadcast(x)
    x[77_777] = -1
    with pytest.raises(ValueError, match="x is negative"):
        strict.broadcast(x)
