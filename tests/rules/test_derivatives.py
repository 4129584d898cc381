"""First and second derivatives of every row against mpmath, also where naive formulas lose all digits."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest

from fwddiff import rules
from rules import evaluation, oracles

NAMES = [row.name for row in rules.built_in()]
# Errors in units of eps * (|D| + sum |x_i ∂D/∂x_i|): the first is rounding of the result, the second what
# rounding of the arguments does to it.
LARGEST_FIRST, LARGEST_SECOND = 3, 8


def differentiable(name: str) -> list[int]:
    integers = rules.INTEGER_ARGUMENTS.get(name, ())
    return [k for k in range(len(rules.TABLE[name].arguments)) if k not in integers]


def orders_of(name: str, *positions: int) -> tuple[int, ...]:
    return tuple(positions.count(k) for k in range(len(rules.TABLE[name].arguments)))


def units(computed: float, name: str, at: tuple, orders: tuple[int, ...]) -> float:
    expected = oracles.derivative(name, at, orders)
    if abs(expected) < mp.mpf(10) ** -30:  # differences at 60 digits give no exact zero
        return 0.0 if computed == 0 else math.inf
    return float(abs(computed - expected) / oracles.sensitivity(name, at, orders) / oracles.EPSILON)


@pytest.mark.parametrize("name", NAMES)
def test_value(name):
    for at in oracles.points(name, len(rules.TABLE[name].arguments), 20):
        assert units(evaluation.compiled_value(name, *at), name, at, orders_of(name)) < LARGEST_FIRST, at


@pytest.mark.parametrize("name", NAMES)
def test_first_derivatives(name):
    for at in oracles.points(name, len(rules.TABLE[name].arguments), 20):
        for k in differentiable(name):
            computed = evaluation.compiled_partial(name, k, *at)
            assert units(computed, name, at, orders_of(name, k)) < LARGEST_FIRST, (at, k)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives_of_nested_duals(name):
    for at in oracles.points(name, len(rules.TABLE[name].arguments), 8, seed=1):
        for i in differentiable(name):
            for j in differentiable(name):
                orders = orders_of(name, i, j)
                assert units(evaluation.nested(name, at, orders), name, at, orders) < LARGEST_SECOND, (
                    at,
                    orders,
                )


THIRD = [
    ("tanh", (0.0,)),
    ("tanh", (0.3,)),
    ("tanh", (-2.0,)),
    ("pow", (1.5, 3.0)),
    ("sinc", (0.0,)),
    ("sinc", (0.4,)),
    ("gamma", (-1.4,)),
    ("asin", (0.2,)),
    ("asin", (0.9,)),
    ("erf", (0.0,)),
    ("hypot", (3.0, -4.0)),
    ("atan2", (-1.0, 3.0)),
    ("logaddexp", (1.0, 1.0)),
    ("cbrt", (-2.0,)),
    ("log1p", (1e-9,)),
    ("asinh", (-2.0,)),
]


@pytest.mark.parametrize(("name", "at"), THIRD)
def test_third_derivatives_of_nested_duals(name, at):
    orders = orders_of(name, 0, 0, 0)
    expected = float(oracles.derivative(name, at, orders))
    np.testing.assert_allclose(evaluation.nested(name, at, orders), expected, rtol=1e-13, atol=1e-15)


_MAGNITUDES = (1e-300, 1e-160, 1e-20, 1e-8, 0.3, 1.0, 1 + 2.0**-40, 7.0, 30.0, 1e8, 1e160, 1e300)
_BOTH_SIGNS = (*_MAGNITUDES, *(-x for x in _MAGNITUDES))
_UP_TO_ONE = (1 - 2.0**-53, 1 - 2.0**-40, -1 + 2.0**-50, -0.71, 0.5, 1e-8, 1e-20, 1e-300)
EXTREMES: dict[str, tuple[float, ...]] = {
    "sqrt": _MAGNITUDES,
    "cbrt": _BOTH_SIGNS,
    "log": _MAGNITUDES,
    "log2": _MAGNITUDES,
    "log10": _MAGNITUDES,
    "log1p": (*_MAGNITUDES, -1 + 2.0**-50, -0.999, -1e-20),
    "exp": (-700.0, -1e-20, 1e-20, 700.0),
    "exp2": (-1000.0, 1e-20, 1000.0),
    "expm1": (-700.0, -40.0, -1e-20, 1e-20, 700.0),
    "asin": _UP_TO_ONE,
    "acos": _UP_TO_ONE,
    "atanh": _UP_TO_ONE,
    "acosh": (1 + 2.0**-52, 1 + 2.0**-40, 1.5, 1e8, 1e200, 1e300),
    "asinh": _BOTH_SIGNS,
    "atan": tuple(x for x in _BOTH_SIGNS if abs(x) < 1e150),
    "tan": (1e-20, 1.57, math.pi / 2, 100.0),
    "sinh": (1e-20, 700.0, -700.0),
    "cosh": (1e-20, 700.0, -700.0),
    "tanh": (1e-300, 1e-20, -1e-8, 0.8, 0.9, -3.0, 20.0, -20.0, 40.0, 300.0, -300.0),
    "erf": (1e-300, 1e-20, 5.0, -20.0, 26.0),
    "erfc": (1e-300, 1e-20, 5.0, -20.0, 26.0),
    "reciprocal": (1e-150, 1e-100, 1e100, -1e100),
    "sinc": (1e-20, 1e-8, 1e-3, 0.99, 1.0),
    "lgamma": (1e-8, 1e8),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.every(2)
def test_relative_accuracy_at_extremes(name, order, monkeypatch):
    """Eight units of relative error, whatever the conditioning; over- and underflow only where it is true."""
    monkeypatch.setattr(oracles, "DIGITS", 900)
    for x in EXTREMES[name]:
        with mp.workdps(900):
            exact = oracles.derivative(name, (x,), (order,))
            expected = float(exact) if abs(exact) < np.finfo(float).max else math.copysign(math.inf, exact)
        computed = evaluation.nested(name, (x,), (order,))
        np.testing.assert_allclose(
            computed, expected, rtol=8 * oracles.EPSILON, atol=2.3e-308, err_msg=f"at {x}"
        )


BIVARIATE_EXTREMES = [
    ("hypot", (1e200, 1e200)),
    ("hypot", (-1e-200, 3e-200)),
    ("hypot", (1e-9, -4.0)),
    ("hypot", (7.0, 1e-200)),
    ("atan2", (1e200, -1e200)),
    ("atan2", (1e-160, 1e-160)),
    ("atan2", (1e-9, -4.0)),
    ("atan2", (4.0, 1e-200)),
    ("logaddexp", (1e6, 1e6 + 2)),
    ("logaddexp", (-40.0, 0.0)),
    ("logaddexp", (5.0, -300.0)),
    ("logaddexp2", (-100.0, 3.0)),
    ("pow", (1e-200, 2.0)),
    ("pow", (1e200, 1.5)),
    ("pow", (1.0 + 2.0**-50, 1e15)),
    ("divide", (1e-200, 1e100)),
    ("fmod", (1e15, 0.1)),
    ("remainder", (-1e15, 0.1)),
    ("ieee_remainder", (1e15, 0.1)),
    ("fmod", (0.7, 0.1)),
    ("remainder", (0.7, 0.1)),
    ("fmod", (-math.nextafter(3.0, 0), 1.0)),
    ("remainder", (math.nextafter(3.0, 0), 1.0)),
]


@pytest.mark.parametrize(("name", "at"), BIVARIATE_EXTREMES)
def test_relative_accuracy_of_bivariate_extremes(name, at, monkeypatch):
    monkeypatch.setattr(oracles, "DIGITS", 900)
    for k in (0, 1):
        expected = float(oracles.derivative(name, at, orders_of(name, k)))
        computed = evaluation.compiled_partial(name, k, *at)
        np.testing.assert_allclose(computed, expected, rtol=8 * oracles.EPSILON, err_msg=f"argument {k}")


@pytest.mark.parametrize("name", NAMES)
def test_arrays_agree_with_compiled_scalars(name):
    """The same text with NumPy's operators and `where`, which evaluates both branches."""
    at = oracles.points(name, len(rules.TABLE[name].arguments), 6, seed=2)
    for k in differentiable(name):
        with np.errstate(all="ignore"):
            on_arrays = evaluation.on_arrays(name, k, *map(np.array, zip(*at, strict=True)))
        np.testing.assert_allclose(
            on_arrays, [evaluation.compiled_partial(name, k, *x) for x in at], rtol=1e-14
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_float32_compiles_and_agrees(name):
    for at in oracles.points(name, len(rules.TABLE[name].arguments), 5, seed=3):
        rounded = tuple(x if isinstance(x, int) else float(np.float32(x)) for x in at)
        for k in differentiable(name):
            single = evaluation.compiled_partial(name, k, *rounded, dtype=np.float32)
            orders = orders_of(name, k)
            error = abs(float(single) - oracles.derivative(name, rounded, orders))
            assert error <= 8 * 2.0**-23 * oracles.sensitivity(name, rounded, orders), (rounded, k)
