"""Derivatives in derivatives: whose perturbation is whose."""

import numpy as np
import pytest

from dual.differentiate import derivative, gradient, jacobian
from fwddiff import DerivativeError, dual


def test_perturbations_are_not_confused():
    assert derivative(lambda x: x * derivative(lambda y: x + y, 1.0), 1.0) == 1.0


def test_three_levels():
    # d/dx [x · d/dy (y · d/dz (x·y·z²))] = d/dx [x · d/dy (2·x·y²·z)] = d/dx (4·x²·y·z) = 8·x·y·z
    def outer(x):
        return x * derivative(lambda y: y * derivative(lambda z: x * y * z * z, 5.0), 3.0)

    assert derivative(outer, 2.0) == 8 * 2 * 3 * 5


def test_a_tangent_may_depend_on_an_outer_variable():
    def outer(x):
        inner = dual.make(2.0, [x], 7)
        return (inner**3).partials[0]

    assert derivative(outer, 1.5) == 12.0


def test_an_inner_derivative_of_a_constant_is_zero_with_the_outer_levels():
    assert derivative(lambda x: x + derivative(lambda y: x * x, 1.0), 2.0) == 1.0


def test_hessian_of_an_array_function():
    x = np.array([0.3, 0.7, 1.1])
    hessian = jacobian(lambda a: jacobian(lambda b: np.prod(np.sin(b)), a), x)
    s, c = np.sin(x), np.cos(x)
    expected = np.prod(s) * (np.outer(c / s, c / s) - np.diag((c / s) ** 2) - np.eye(3))
    np.testing.assert_allclose(hessian, expected, rtol=1e-12)


def test_a_lower_level_is_a_constant_array():
    x = np.array([1.0, 2.0])
    result = derivative(lambda a: derivative(lambda t: np.sum(a * t**2), 3.0), x)
    assert result == 12.0


def test_fourth_derivative():
    f = np.exp
    for _ in range(4):
        f = (lambda inner: lambda x: derivative(inner, x))(f)
    np.testing.assert_allclose(f(0.5), np.exp(0.5), rtol=1e-14)


def test_directions_without_dependence_stay_zero_under_infinite_slopes():
    assert gradient(lambda a, b: np.sqrt(a) + b, 0.0, 2.0) == [np.inf, 1.0]
    assert gradient(lambda a, b: a**b, -2.0, 2.0)[0] == -4.0


def test_computed_zeros_are_numbers():
    with np.errstate(invalid="ignore"):
        assert np.isnan(derivative(lambda x: np.sqrt(x * x), 0.0))
        assert np.isnan(derivative(lambda x: np.sum(np.sqrt(x * x * np.ones(2))), 0.0))


def test_dependence_reaches_all_views():
    x = dual.make(0.0, [1.0, 0], 0)
    buffer = np.zeros_like(dual.make(np.zeros(3), [0, 0], 0))
    view = buffer[1:]
    view[0] = x
    assert (buffer * 2.0).partials[0].tolist() == [0.0, 2.0, 0.0]
    assert buffer.depends == [True, False]


def test_levels_are_checked():
    inner = dual.make(1.0, [1.0], 1)
    with pytest.raises(
        DerivativeError, match="A dual of level 1 cannot hold one of level 1: a higher level wraps"
    ):
        dual.make(inner, [1.0], 1)
    with pytest.raises(
        DerivativeError, match="Partials of level 0 asked of a dual of level 1; take its value first"
    ):
        dual.partials(inner, 0, 1)


def test_helpers():
    x = dual.make(dual.make(3.0, [1.0], 0), [1.0], 1)
    assert dual.value(x).value == 3.0
    assert dual.value(2.5) == 2.5
    assert dual.strip(x) == 3.0
    assert dual.level_of(x) == 1
    assert dual.level_of(3.0) == -1
    assert dual.partials(4.0, 1, 2) == (0.0, 0.0)
    assert dual.strip(dual.partials(np.ones(2), 1, 3)[2]).tolist() == [0.0, 0.0]
