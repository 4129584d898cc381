"""Every row of the table on duals, to the third derivative, against mpmath's numerical derivatives."""

import builtins
import math
import operator

import mpmath
import numpy as np
import pytest

from dual.differentiate import derivative
from fwddiff import dual
from fwddiff.rules import TABLE, Row, built_in


def _truncated(x):
    return mpmath.floor(x) if x > 0 else mpmath.ceil(x)


# Row → its function in mpmath, and for each argument the interval to choose from.
ORACLES = {
    "add": (operator.add, (-2, 2), (-2, 2)),
    "subtract": (operator.sub, (-2, 2), (-2, 2)),
    "multiply": (operator.mul, (-2, 2), (-2, 2)),
    "divide": (operator.truediv, (-2, 2), (0.5, 2)),
    "negative": (operator.neg, (-2, 2)),
    "positive": (operator.pos, (-2, 2)),
    "square": (lambda x: x * x, (-2, 2)),
    "reciprocal": (lambda x: 1 / x, (0.5, 2)),
    "pow": (operator.pow, (0.5, 2), (-2, 3)),
    "remainder": (lambda a, b: a - b * mpmath.floor(a / b), (2.1, 2.4), (-0.93, -0.87)),
    "fmod": (lambda a, b: a - b * _truncated(a / b), (-2.4, -2.1), (0.87, 0.93)),
    "ieee_remainder": (lambda a, b: a - b * mpmath.nint(a / b), (2.6, 2.7), (0.9, 0.95)),
    "floor_divide": (lambda a, b: mpmath.floor(a / b), (2.1, 2.4), (0.87, 0.93)),
    "floor": (mpmath.floor, (-1.9, -1.1)),
    "ceil": (mpmath.ceil, (-1.9, -1.1)),
    "trunc": (_truncated, (-1.9, -1.1)),
    "rint": (mpmath.nint, (-1.4, -0.6)),
    "sign": (mpmath.sign, (-2, -0.5)),
    "heaviside": (lambda x, h: 1 + 0 * x * h, (0.5, 2), (0.2, 0.8)),
    "abs": (abs, (-2, -0.5)),
    "copysign": (lambda a, b: abs(a) * mpmath.sign(b), (-2, -0.5), (-2, -0.5)),
    "maximum": (max, (-2, -0.5), (0.5, 2)),
    "minimum": (min, (-2, -0.5), (0.5, 2)),
    "fmax": (max, (-2, -0.5), (0.5, 2)),
    "fmin": (min, (-2, -0.5), (0.5, 2)),
    "sqrt": (mpmath.sqrt, (0.5, 2)),
    "cbrt": (mpmath.cbrt, (0.5, 2)),
    "hypot": (mpmath.hypot, (-2, -0.5), (0.5, 2)),
    "exp": (mpmath.exp, (-2, 2)),
    "exp2": (lambda x: mpmath.mpf(2) ** x, (-2, 2)),
    "expm1": (mpmath.expm1, (-2, 2)),
    "log": (mpmath.log, (0.5, 2)),
    "log2": (lambda x: mpmath.log(x, 2), (0.5, 2)),
    "log10": (mpmath.log10, (0.5, 2)),
    "log1p": (mpmath.log1p, (-0.5, 2)),
    "logaddexp": (lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b)), (-2, 2), (-2, 2)),
    "logaddexp2": (lambda a, b: mpmath.log(mpmath.mpf(2) ** a + mpmath.mpf(2) ** b, 2), (-2, 2), (-2, 2)),
    "radians": (mpmath.radians, (-90, 90)),
    "degrees": (mpmath.degrees, (-2, 2)),
    "sin": (mpmath.sin, (-2, 2)),
    "cos": (mpmath.cos, (-2, 2)),
    "tan": (mpmath.tan, (-1, 1)),
    "asin": (mpmath.asin, (-0.8, 0.8)),
    "acos": (mpmath.acos, (-0.8, 0.8)),
    "atan": (mpmath.atan, (-2, 2)),
    "atan2": (mpmath.atan2, (-2, 2), (0.5, 2)),
    "sinc": (lambda x: mpmath.sincpi(x), (0.5, 2)),
    "sinh": (mpmath.sinh, (-2, 2)),
    "cosh": (mpmath.cosh, (-2, 2)),
    "tanh": (mpmath.tanh, (-2, 2)),
    "asinh": (mpmath.asinh, (-2, 2)),
    "acosh": (mpmath.acosh, (1.5, 3)),
    "atanh": (mpmath.atanh, (-0.8, 0.8)),
    "erf": (mpmath.erf, (-2, 2)),
    "erfc": (mpmath.erfc, (-2, 2)),
    "gamma": (mpmath.gamma, (0.5, 3)),
    "lgamma": (mpmath.loggamma, (0.5, 3)),
    "digamma": (mpmath.digamma, (0.5, 3)),
}
# Rows with an integer argument: its value, and the function of the other one.
INTEGERS = {
    "ldexp": (lambda x: 8 * x, (-2, 2), lambda f, x: f(x, 3)),
    "polygamma": (lambda x: mpmath.psi(2, x), (0.5, 3), lambda f, x: f(2, x)),
    "spherical_jn": (
        lambda x: mpmath.sqrt(mpmath.pi / (2 * x)) * mpmath.besselj(2.5, x), (0.5, 3), lambda f, x: f(2, x),
    ),
}  # fmt: skip
FUNCTIONS = [(row.name, f) for row in built_in() for f in row.functions]


def _on_duals(function):
    if isinstance(function, np.ufunc) or getattr(function, "__module__", "").startswith("numpy"):
        return function
    if function in (abs, pow) or function.__module__ == operator.__name__:
        return function
    return getattr(dual.math_namespace(), function.__name__, None) or dual.differentiable(function)


def _case(name, function, seed):
    """The function along a random line through a random point, for duals and for mpmath."""
    random = np.random.default_rng(seed)
    on_duals = _on_duals(function)
    if name in INTEGERS:
        oracle, interval, bind = INTEGERS[name]
        x = float(random.uniform(*interval))
        return (lambda t: bind(on_duals, x + t)), (lambda t: oracle(x + t))
    oracle, *intervals = ORACLES[name]
    point = [float(random.uniform(*interval)) for interval in intervals]
    slopes = [float(s) for s in random.uniform(0.5, 1, len(point))]
    along = [(lambda t, x=x, s=s: x + s * t) for x, s in zip(point, slopes, strict=True)]
    return (lambda t: on_duals(*[a(t) for a in along])), (lambda t: oracle(*[a(t) for a in along]))


def test_the_table_has_no_row_without_an_oracle():
    assert {row.name for row in built_in()} == set(ORACLES) | set(INTEGERS)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("name", "function"), FUNCTIONS, ids=lambda p: p if isinstance(p, str) else p.__name__
)
def test_derivatives_to_the_third_order(name, function, seed):
    f, oracle = _case(name, function, seed)
    derivatives = [lambda t: derivative(f, t)]
    for _ in range(2):
        derivatives.append(lambda t, inner=derivatives[-1]: derivative(inner, t))
    with mpmath.workdps(50):
        expected = [float(mpmath.diff(oracle, 0, order)) for order in (1, 2, 3)]
    np.testing.assert_allclose([d(0.0) for d in derivatives], expected, rtol=2e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "function"),
    [c for c in FUNCTIONS if isinstance(c[1], np.ufunc)],
    ids=lambda p: getattr(p, "__name__", p),
)
def test_arrays_are_differentiated_element_by_element(name, function):
    f, _ = _case(name, function, 3)
    points = np.array([[-0.02, 0.0], [0.01, 0.03]])
    second = derivative(lambda t: derivative(f, t), points)
    expected = [[derivative(lambda t: derivative(f, t), float(x)) for x in row] for row in points]
    assert second.shape == (2, 2)
    np.testing.assert_allclose(second, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [f.__name__ for _, f in FUNCTIONS if vars(math).get(f.__name__) is f])
def test_functions_of_math_keep_python_errors_and_types(name):
    namespace, function = dual.math_namespace(), getattr(math, name)
    arguments = (
        (0.5, 2) if name in ("atan2", "copysign", "fmod", "hypot", "ldexp", "pow", "remainder") else (0.5,)
    )
    arguments = (1.5,) if name == "acosh" else arguments
    assert getattr(namespace, name)(*arguments) == function(*arguments)
    result = getattr(namespace, name)(dual.make(arguments[0], [1.0], 0), *arguments[1:])
    assert result.value == function(*arguments)
    assert type(result.value) is type(result.partials[0]) is float


def test_builtins_by_comparison():
    assert derivative(lambda x: max(x, x * x), 3.0) == 6.0
    assert derivative(lambda x: builtins.sum([x, x * x, 1.0]), 3.0) == 7.0


def test_rows_added_and_replaced_at_run_time(monkeypatch):
    def cube(x):
        return float(x) ** 3

    on_duals = dual.differentiable(cube)
    monkeypatch.setitem(TABLE, "cube", Row("cube", ("x",), ("3*x**2",), (cube,), "x**3"))
    assert derivative(on_duals, 2.0) == 12.0
    assert derivative(lambda x: derivative(on_duals, x), 2.0) == 12.0
    monkeypatch.setitem(TABLE, "cube", Row("cube", ("x",), ("x*x*4 - y/x",), (cube,), "x**3"))
    assert derivative(on_duals, 2.0) == 12.0
    assert derivative(lambda x: derivative(on_duals, x), 2.0) == 12.0
    monkeypatch.setitem(TABLE, "cube", Row("cube", ("x",), ("7",), (cube,), "x**3"))
    assert derivative(on_duals, 2.0) == 7.0
