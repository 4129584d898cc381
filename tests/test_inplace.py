"""Functions that write their result into a buffer: `inplace=True` of the operators, and inside of kernels."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fwddiff as fd
from fwddiff import fwddiff

engines = pytest.mark.parametrize("engine", ["numba", "numpy"])
X = np.array([1.3, 0.7])


def three(out, x):
    out[0] = x[0] * x[1]
    out[1] = math.sin(x[1])
    out[2] = x[0] ** 2


def value(x):
    return np.array([x[0] * x[1], math.sin(x[1]), x[0] ** 2])


def jacobian(x):
    return np.array([[x[1], x[0]], [0.0, math.cos(x[1])], [2 * x[0], 0.0]])


def second(x):
    found = np.zeros((3, 2, 2))
    found[0, 0, 1] = found[0, 1, 0] = 1.0
    found[1, 1, 1], found[2, 0, 0] = -math.sin(x[1]), 2.0
    return found


def scaled(out, x, factor=2.0):
    for i in range(len(x)):
        out[i] = x[i] * factor * x[0]


def of_a_number(out, t):
    for k in range(len(out)):
        out[k] = t**k


@engines
def test_jacobian(engine):
    out = np.full(3, 7.0)
    assert_allclose(fd.jacobian(three, X, out=out, inplace=True, backend=engine), jacobian(X), rtol=1e-15)
    assert_allclose(out, value(X), rtol=1e-15)
    y, found = fd.value_and_jacobian(three, 2 * X, out=out, inplace=True, backend=engine)
    assert y is out
    assert_allclose(found, jacobian(2 * X), rtol=1e-15)
    assert_allclose(out, value(2 * X), rtol=1e-15)


@engines
def test_products(engine):
    out, tangent, cotangent = np.empty(3), np.array([1.0, -2.0]), np.array([1.0, 2.0, -1.0])
    options = {"out": out, "inplace": True, "backend": engine}
    assert_allclose(fd.pushforward(three, X, tangent, **options), jacobian(X) @ tangent, rtol=1e-14)
    assert_allclose(out, value(X), rtol=1e-15)
    assert_allclose(fd.pullback(three, X, cotangent, **options), cotangent @ jacobian(X), rtol=1e-14)
    y, found = fd.value_and_pushforward(three, X, tangent, **options)
    assert y is out
    assert_allclose(found, jacobian(X) @ tangent, rtol=1e-14)
    y, found = fd.value_and_pullback(three, X, cotangent, **options)
    assert y is out
    assert_allclose(found, cotangent @ jacobian(X), rtol=1e-14)


@engines
def test_derivative_of_an_array_by_a_number(engine):
    out = np.empty(4)
    assert_allclose(fd.derivative(of_a_number, 1.5, out=out, inplace=True, backend=engine), [0, 1, 3, 6.75])
    assert_allclose(out, [1, 1.5, 2.25, 3.375])
    assert fd.value_and_derivative(of_a_number, 1.5, out=out, inplace=True, backend=engine)[0] is out


@engines
def test_constants_and_argnum(engine):
    out = np.empty(2)
    options = {"out": out, "inplace": True, "backend": engine}
    by_x = np.array([[2 * X[0], 0.0], [X[1], X[0]]])
    assert_allclose(fd.jacobian(scaled, X, **options), 2 * by_x, rtol=1e-15)
    assert_allclose(fd.jacobian(scaled, X, 3.0, **options), 3 * by_x, rtol=1e-15)
    for argnum in ("factor", 1):
        assert_allclose(fd.jacobian(scaled, X, 3.0, argnum=argnum, **options), X * X[0], rtol=1e-15)
    both = fd.jacobian(scaled, X, 3.0, argnum=(0, 1), **options)
    assert_allclose(both[0], 3 * by_x, rtol=1e-15)
    assert_allclose(both[1], X * X[0], rtol=1e-15)


@engines
def test_what_is_not_written_stays_and_is_a_constant(engine):
    def adds(out, x):
        out[0] += x[0] ** 2

    out = np.array([1.0, 5.0, 9.0])
    found = fd.jacobian(adds, X, out=out, inplace=True, backend=engine)
    assert_array_equal(found, [[2 * X[0], 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert_array_equal(out, [1.0 + X[0] ** 2, 5.0, 9.0])


def test_without_a_point_it_is_a_function():
    out = np.empty(3)
    found = fd.jacobian(three, out=out, inplace=True)
    assert_allclose(found(X), jacobian(X), rtol=1e-15)
    assert_allclose(found(2 * X), jacobian(2 * X), rtol=1e-15)


def test_second_derivatives_take_a_cache():
    cache, plain = fd.DiffCache(np.zeros(3)), np.zeros(3)
    nested = fd.jacobian(lambda x: fd.jacobian(three, x, out=cache, inplace=True), X)
    assert_allclose(nested, second(X), rtol=1e-14)

    with pytest.raises(fd.FwdDiffError, match="DiffCache"):
        fd.jacobian(lambda x: fd.jacobian(three, x, out=plain, inplace=True), X)


def test_a_buffer_made_inside_the_outer_function():
    def f(x):
        out = np.zeros(3)
        found = fd.jacobian(three, x, out=out, inplace=True)
        return found[0, 0] * out[2]

    assert_allclose(fd.gradient(f, X), [2 * X[0] * X[1], X[0] ** 2], rtol=1e-14)


@engines
def test_other_callables(engine):
    class Scaling:
        def __init__(self):
            self.factor = 2.0

        def write(self, out, x):
            scaled(out, x, self.factor)

        def __call__(self, out, x):
            scaled(out, x, self.factor)

    by_x = 2 * np.array([[2 * X[0], 0.0], [X[1], X[0]]])
    functions = [Scaling().write, Scaling(), functools.partial(scaled, factor=2.0), fwddiff(scaled)]
    for f in functions:
        found = fd.jacobian(f, X, out=np.empty(2), inplace=True, backend=engine)
        assert_allclose(found, by_x, rtol=1e-15)
    found = fd.jacobian(lambda *given: scaled(*given), X, out=np.empty(2), inplace=True, backend="numpy")
    assert_allclose(found, by_x, rtol=1e-15)


@engines
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32(engine, dtype):
    out = np.empty(2, dtype)
    found = fd.jacobian(scaled, X.astype(np.float32), out=out, inplace=True, backend=engine)
    assert_allclose(found, 2 * np.array([[2 * X[0], 0.0], [X[1], X[0]]]), rtol=1e-6)
    assert out.dtype == dtype


BUFFER = fd.DiffCache(np.empty(3))


def by_a_buffer(x):
    b = fd.get_tmp(BUFFER, x)
    three(b, x)
    return b[0] * b[2] + b[1]


def by_an_array(x):
    b = np.empty(3)
    three(b, x)
    return b[0] * b[2] + b[1]


@engines
@pytest.mark.parametrize("f", [by_a_buffer, by_an_array])
def test_in_kernels(engine, f):
    """x₀³ x₁ + sin x₁."""
    a, b = X
    expected = [3 * a**2 * b, a**3 + math.cos(b)]
    assert_allclose(fd.gradient(f, X, backend=engine), expected, rtol=1e-14)
    expected = [[6 * a * b, 3 * a**2], [3 * a**2, -math.sin(b)]]
    assert_allclose(fd.hessian(f, X, backend=engine), expected, rtol=1e-14)


OUT = np.zeros(3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: fd.gradient(three, X, out=OUT, inplace=True), "writes an array: use derivative, jacobian"),
        (lambda: fd.hessian(three, X, out=OUT, inplace=True), "writes an array"),
        (lambda: fd.hvp(three, X, X, out=OUT, inplace=True), "writes an array"),
        (lambda: fd.jacobian(three, X, inplace=True), "needs the buffer"),
        (lambda: fd.jacobian(three, X, out=[0.0] * 3, inplace=True), "takes a NumPy array"),
        (lambda: fd.jacobian(three, X, out=np.zeros(3, int), inplace=True), "float64 or float32"),
        (lambda: fd.jacobian(lambda: None, X, out=OUT, inplace=True), "takes no argument"),
    ],
)
def test_mistakes(wrong, message):
    with pytest.raises(fd.ArgumentError, match=message):
        wrong()


@engines
def test_a_buffer_that_is_too_small(engine):
    with pytest.raises(IndexError):
        fd.jacobian(three, X, out=np.zeros(2), inplace=True, backend=engine)
