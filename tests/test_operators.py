"""Operators on plain functions, by both engines, and derivatives inside derivatives."""

import math

import numpy as np
import pytest

import fwddiff as fd
from catalogue import Point

ENGINES = ["auto", "numpy"]
X = np.array([0.5, -1.2, 2.0])


def rosenbrock(x):
    total = 0.0
    for i in range(len(x) - 1):
        total += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return total


def spiral(x, scale):
    return np.exp(-x) * scale * x


@pytest.mark.parametrize("backend", ENGINES)
def test_first_order(backend):
    optimize = pytest.importorskip("scipy.optimize")
    assert fd.derivative(lambda t: math.sin(t) * t, 0.7, backend=backend) == pytest.approx(
        math.sin(0.7) + 0.7 * math.cos(0.7), rel=1e-14
    )
    value, gradient = fd.value_and_gradient(rosenbrock, X, backend=backend)
    assert value == pytest.approx(optimize.rosen(X), rel=1e-14)
    np.testing.assert_allclose(gradient, optimize.rosen_der(X), rtol=1e-13)
    jacobian = fd.jacobian(spiral, X, 2.0, backend=backend)
    np.testing.assert_allclose(jacobian, np.diag(2 * np.exp(-X) * (1 - X)), rtol=1e-13)
    assert fd.gradient(lambda p: p.x**2 * p.y, Point(3.0, 2.0), backend=backend) == Point(12.0, 9.0)


@pytest.mark.parametrize("backend", ENGINES)
def test_second_order(backend):
    optimize = pytest.importorskip("scipy.optimize")
    hessian = fd.hessian(rosenbrock, X, backend=backend)
    np.testing.assert_allclose(hessian, optimize.rosen_hess(X), rtol=1e-12, atol=1e-12)
    direction = np.array([1.0, 0.5, -2.0])
    product = fd.hvp(rosenbrock, X, direction, backend=backend)
    np.testing.assert_allclose(product, optimize.rosen_hess_prod(X, direction), rtol=1e-12)
    assert fd.hessian(lambda t: t**3, 2.0, backend=backend) == pytest.approx(12.0)


@pytest.mark.parametrize("backend", ENGINES)
def test_products(backend):
    tangent = np.array([1.0, 2.0, 3.0])
    slope = 2 * np.exp(-X) * (1 - X)
    np.testing.assert_allclose(fd.pushforward(spiral, X, tangent, 2.0, backend=backend), slope * tangent)
    np.testing.assert_allclose(fd.pullback(spiral, X, tangent, 2.0, backend=backend), slope * tangent)


def test_perturbations_are_not_confused():
    """d/dx (x · d/dy (x + y)) at x = 1 is 1; a derivative that mixed both perturbations up would give 2."""
    assert fd.derivative(lambda x: x * fd.derivative(lambda y: x + y, 1.0), 1.0) == 1.0


def test_three_levels():
    """d/dx (x · d/dy (y² · d/dz (x y z))): the innermost is x y, then d/dy (x y³) = 3 x y², so 3 y² · 2 x."""

    def outer(x):
        def middle(y):
            return y**2 * fd.derivative(lambda z: x * y * z, 5.0)

        return x * fd.derivative(middle, 3.0)

    assert fd.derivative(outer, 2.0) == pytest.approx(27 * 2 * 2.0)


def test_derivative_of_a_derivative():
    def slope(x):
        return fd.derivative(lambda t: math.sin(t) * t, x)

    assert fd.derivative(slope, 0.7) == pytest.approx(2 * math.cos(0.7) - 0.7 * math.sin(0.7), rel=1e-13)


def test_a_gradient_inside_a_gradient():
    """The inner gradient of sum(w x²)/2 is w x; its squared norm has the gradient 2 w² x."""
    w = np.array([1.0, 2.0, 3.0])

    def squared_slope(x):
        slope = fd.gradient(lambda t: np.sum(w * t * t) / 2, x)
        return np.sum(slope * slope)

    np.testing.assert_allclose(fd.gradient(squared_slope, X), 2 * w**2 * X, rtol=1e-13)


def test_misuse():
    with pytest.raises(fd.ArgumentError, match="Perhaps you meant jacobian"):
        fd.gradient(spiral, X, 2.0)
    with pytest.raises(fd.ArgumentError, match="Use gradient or jacobian"):
        fd.derivative(rosenbrock, X)
    with pytest.raises(fd.ArgumentError, match="holds no float"):
        fd.derivative(lambda n: n * 1.0, 3)
    with pytest.raises(fd.ShapeError, match=r"shape \(2,\)"):
        fd.pushforward(rosenbrock, X, np.ones(2))
    with pytest.raises(fd.ArgumentError, match="not a struct"):
        fd.hessian(lambda p: p.x * p.y, Point(1.0, 2.0))
