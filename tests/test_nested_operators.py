"""Derivatives inside derivatives: every operator, rule and operation inside every other one."""

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

mpmath = pytest.importorskip("mpmath")
V, T = np.array([0.3, 0.4]), np.array([1.0, 2.0])
decay = fwddiff(lambda a, b: math.exp(-a * b) * b)


def unthunked(f, *arguments, ct):
    return [fd.unthunk(thunk) for thunk in fd.rrule(f, *arguments)[1](ct)]


def _sum_of_parts(found):
    value, gradient, hessian = found
    return value + gradient[0] + hessian[0, 1]


# What runs → the same in closed form, for mpmath.
INNER = {
    "derivative": (lambda q: fd.derivative(lambda a: a * a * q**3, 0.4), lambda q: 0.8 * q**3),
    "gradient": (lambda q: fd.gradient(lambda a: np.sum(a * a) * q**3, V)[1], lambda q: 0.8 * q**3),
    "jacobian": (lambda q: fd.jacobian(lambda a: a * a * q**3, V)[1, 1], lambda q: 0.8 * q**3),
    "jacobian of a number": (lambda q: fd.jacobian(lambda a: a * V * q**3, q)[1], lambda q: 0.4 * q**3),
    "hessian": (lambda q: fd.hessian(lambda a: a[0] * a[1] * q**3, V)[0, 1], lambda q: q**3),
    "hvp": (lambda q: fd.hvp(lambda a: a[0] * a[1] * q**3, V, T)[1], lambda q: q**3),
    "hvp along q": (lambda q: fd.hvp(lambda a: a[0] ** 2 * a[1], V * q, T * q)[1], lambda q: 0.6 * q * q),
    "value, gradient and hessian": (
        lambda q: _sum_of_parts(fd.value_gradient_and_hessian(lambda a: a[0] * a[1] * q**3, V * q)),
        lambda q: 0.12 * q**5 + 0.4 * q**4 + q**3,
    ),
    "pushforward": (lambda q: fd.pushforward(lambda a: a * a * q, V, T * q)[1], lambda q: 1.6 * q * q),
    "pullback": (lambda q: fd.pullback(lambda a: a * a * q, V, T * q)[1], lambda q: 1.6 * q * q),
    "rrule": (
        lambda q: unthunked(lambda a: math.sin(a) * q, q, ct=q)[0],
        lambda q: mpmath.cos(q) * q * q,
    ),
    "rrule of an array": (
        lambda q: unthunked(lambda a: np.sin(a) * q, V * q, ct=T * q)[0][1],
        lambda q: mpmath.cos(0.4 * q) * 2 * q * q,
    ),
    "frule": (
        lambda q: fd.frule(lambda a: np.sin(a) * q, (V * q,), (T * q,))[1][1],
        lambda q: mpmath.cos(0.4 * q) * 2 * q * q,
    ),
    "a struct": (lambda q: fd.gradient(lambda p: p[0] * p[1] ** 2 * q, (q, 2.0))[1], lambda q: 4 * q * q),
    "without a point": (lambda q: fd.gradient(lambda a: np.sum(a**3) * q)(V * q)[1], lambda q: 0.48 * q**3),
    "call": (lambda q: decay(q, q), lambda q: mpmath.exp(-q * q) * q),
    "sum": (
        lambda q: decay.sum(V * q, q),
        lambda q: sum(mpmath.exp(-v * q * q) * q for v in V.tolist()),
    ),
    "broadcast": (lambda q: decay.broadcast(V, q)[1], lambda q: mpmath.exp(-0.4 * q) * q),
    "call, sum and broadcast": (
        lambda q: decay(q, q) + decay.sum(V, q) + decay.broadcast(V, q)[1],
        lambda q: (mpmath.exp(-q * q) + mpmath.exp(-0.3 * q) + 2 * mpmath.exp(-0.4 * q)) * q,
    ),
    "rrule of a sum": (
        lambda q: unthunked(decay.sum, V, q, ct=q)[1],
        lambda q: q * sum((1 - v * q) * mpmath.exp(-v * q) for v in V.tolist()),
    ),
    "gradient of a sum": (
        lambda q: fd.gradient(decay.sum, V * q, q)[1],
        lambda q: -q * q * mpmath.exp(-0.4 * q * q),
    ),
    "jacobian of a broadcast": (
        lambda q: fd.jacobian(decay.broadcast, V * q, q)[1, 1],
        lambda q: -q * q * mpmath.exp(-0.4 * q * q),
    ),
    "compiled derivative": (
        lambda q: fd.derivative(lambda a: a * a * q**3, q, backend="numba"),
        lambda q: 2 * q**4,
    ),
    "compiled jacobian": (
        lambda q: fd.jacobian(lambda a: a * a * q**3, V * q, backend="numba")[1, 1],
        lambda q: 0.8 * q**4,
    ),
}
OUTER = {
    "derivative": lambda f, q: fd.derivative(f, q),
    "gradient": lambda f, q: fd.gradient(lambda a: f(a[0]), np.array([q]))[0],
    "jacobian": lambda f, q: fd.jacobian(lambda a: f(a[0]) * a / q, np.array([q]))[0, 0] - f(q) / q,
    "pushforward": lambda f, q: fd.pushforward(f, q, 2.0) / 2,
    "pullback": lambda f, q: fd.pullback(f, q, 2.0) / 2,
    "rrule": lambda f, q: unthunked(f, q, ct=1.0)[0],
    "frule": lambda f, q: fd.frule(f, (q,), (1.0,))[1],
}
SECOND = {
    "derivative of a derivative": lambda f, q: fd.derivative(fd.derivative(f), q),
    "hessian": lambda f, q: fd.hessian(lambda a: f(a[0]), np.array([q]))[0, 0],
    "hvp": lambda f, q: fd.hvp(f, q, 1.0),
}
Q = 0.7


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.every(3)
def test_once_more(inner):
    f, closed = INNER[inner]
    expected = float(mpmath.diff(closed, Q))
    assert fd.derivative(f, Q) == pytest.approx(expected, rel=1e-11)
    second = float(mpmath.diff(closed, Q, 2))
    assert fd.derivative(fd.derivative(f), Q) == pytest.approx(second, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("inner", ["jacobian", "hessian", "rrule of an array", "frule", "sum"])
@pytest.mark.parametrize("outer", OUTER)
def test_any_inside_any(outer, inner):
    f, closed = INNER[inner]
    assert OUTER[outer](f, Q) == pytest.approx(float(mpmath.diff(closed, Q)), rel=1e-11)


@pytest.mark.parametrize("inner", ["jacobian", "hessian", "broadcast"])
@pytest.mark.parametrize("outer", SECOND)
def test_second_order(outer, inner):
    f, closed = INNER[inner]
    assert SECOND[outer](f, Q) == pytest.approx(float(mpmath.diff(closed, Q, 2)), rel=1e-11, abs=1e-12)


add = fwddiff(lambda x, y: x + y)
ONE = np.array([1.0])
INNER_SLOPES = {
    "derivative": lambda x: fd.derivative(lambda y: x + y, 1.0),
    "compiled": lambda x: fd.derivative(lambda y: x + y, 1.0, backend="numba"),
    "gradient": lambda x: fd.gradient(lambda y: np.sum(x + y), ONE)[0],
    "jacobian": lambda x: fd.jacobian(lambda y: x + y, ONE)[0, 0],
    "hessian": lambda x: fd.hessian(lambda y: x + np.sum(y * y) / 2, ONE)[0, 0],
    "hvp": lambda x: fd.hvp(lambda y: x + y * y / 2, 1.0, 1.0),
    "pushforward": lambda x: fd.pushforward(lambda y: x + y, 1.0, 1.0),
    "pullback": lambda x: fd.pullback(lambda y: x + y, 1.0, 1.0),
    "rrule": lambda x: unthunked(lambda y: x + y, 1.0, ct=1.0)[0],
    "frule": lambda x: fd.frule(lambda y: x + y, (1.0,), (1.0,))[1],
    "call": lambda x: fd.derivative(lambda y: add(x, y), 1.0),
    "sum": lambda x: fd.derivative(lambda y: add.sum(x, y), 1.0),
    "broadcast": lambda x: fd.derivative(lambda y: np.sum(add.broadcast(ONE * x, y)), 1.0),
}


@pytest.mark.parametrize("inner", INNER_SLOPES)
def test_perturbations_are_not_confused(inner):
    """d/dx (x · d/dy (x + y)) is 1; a derivative that mixed both perturbations up would give 2."""
    slope = INNER_SLOPES[inner]
    assert fd.derivative(lambda x: x * slope(x), 1.0) == 1.0


def test_an_infinite_slope_beside_an_argument_that_does_not_move():
    """By the pushforward with the tangents (1, 0), the second would be 0 · inf."""
    root = fwddiff(lambda a, b: a + math.sqrt(b))
    assert fd.gradient(lambda q: root.sum(q[0], q[1]), (1.0, 0.0)) == (1.0, math.inf)


def test_constants_stay_constants():
    product = fwddiff(lambda a, b: a * b, wrt="a")
    assert fd.derivative(lambda q: product.sum(q, q), 3.0) == 3.0


def test_dtypes():
    scaled = fwddiff(lambda x, a: x * a)
    x = np.ones(2, np.float32)

    def total(q):
        y = scaled.broadcast(x, q)
        assert y.dtype == np.float32
        return np.sum(y)

    assert fd.derivative(total, 3.0) == 2.0


def test_in_a_framework():
    torch = pytest.importorskip("torch")
    slope = fwddiff(lambda q: fd.jacobian(lambda a: a * a * q**3, V)[1, 1])
    q = torch.tensor(Q, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(slope(q), q)
    assert found.item() == pytest.approx(2.4 * Q**2, rel=1e-13)


def test_a_dual_and_an_array_of_a_framework():
    torch = pytest.importorskip("torch")
    with pytest.raises(fd.HostError, match="dual number"):
        fd.derivative(lambda q: decay.broadcast(torch.ones(2), q)[0].item(), Q)
