"""The callables that mean a row agree with its value, and with what Python and NumPy offer."""

from __future__ import annotations

import itertools
import math
import operator

import numba
import numpy as np
import pytest

from fwddiff import rules
from rules import evaluation, oracles

# Integers, truth values or tuples as results, integers or lists as arguments; the last line is younger than
# the oldest Python supported.
NOT_ROWS = {
    *("ceil", "floor", "trunc", "isqrt", "gcd", "lcm", "comb", "perm", "factorial"),
    *("isclose", "isfinite", "isinf", "isnan", "frexp", "modf", "nextafter", "ulp"),
    *("dist", "fsum", "prod", "sumprod"),
    *("fma", "isnormal", "issubnormal", "signbit"),
}


@pytest.mark.parametrize("row", rules.built_in(), ids=[row.name for row in rules.built_in()])
def test_functions_agree_with_value(row):
    assert row.functions
    for at in oracles.points(row.name, len(row.arguments), 10, seed=4):
        value = evaluation.compiled_value(row.name, *at)
        for function in row.functions:
            np.testing.assert_allclose(
                function(*at), value, rtol=4e-15, atol=1e-15, err_msg=f"{function}{at}"
            )


def test_no_function_means_two_rows():
    functions = [function for row in rules.built_in() for function in row.functions]
    assert len(functions) == len(set(functions))


def test_all_of_math_is_covered():
    functions = {name for name in dir(math) if callable(getattr(math, name)) and not name.startswith("_")}
    covered = {function.__name__ for row in rules.built_in() for function in row.functions}
    assert functions - covered <= NOT_ROWS


def test_all_real_ufuncs_of_one_result_are_covered():
    ufuncs = {u for u in vars(np).values() if isinstance(u, np.ufunc) and u.nout == 1 and u.signature is None}
    real = {u for u in ufuncs if any(t.endswith("->d") and set(t[:-3]) == {"d"} for t in u.types)}
    missing = {u.__name__ for u in real} - {f.__name__ for row in rules.built_in() for f in row.functions}
    assert missing == {"conjugate", "nextafter", "spacing"}


def test_names_of_partials_and_values_are_in_the_scalar_namespace():
    assert set(rules.TABLE) <= set(rules.scalar_namespace())


@pytest.mark.parametrize(
    "argument",
    [2, pytest.param(np.float32(2), marks=pytest.mark.slow), 2.0],
    ids=["int", "float32", "float64"],
)
def test_namespace_compiles(argument):
    """Every name in one compiled function per dtype; the results are those of the rows."""
    names = rules.scalar_namespace()
    # NumPy's reciprocal of an integer is an integer.
    rows = [row for row in rules.built_in() if row.name != "reciprocal" or isinstance(argument, float)]
    calls = ", ".join(f"float({row.name}({', '.join(['x'] * len(row.arguments))}))" for row in rows)
    for name, function in names.items():
        if getattr(function, "__module__", "") == "fwddiff._special":
            names[name] = numba.njit(error_model="numpy")(function)
    exec(f"def evaluate(x):\n    return ({calls})", names)
    computed = numba.njit(error_model="numpy")(names["evaluate"])(argument)
    expected = [evaluation.compiled_value(row.name, *[2.0] * len(row.arguments)) for row in rows]
    np.testing.assert_allclose(computed, expected, rtol=1e-6 if isinstance(argument, np.float32) else 1e-14)


@pytest.mark.parametrize(
    "name", ["floor", "sign", "maximum", "logaddexp", "pow", "remainder", "tanh", "hypot", "fmod"]
)
def test_value_keeps_float32(name):
    row = rules.TABLE[name]
    namespace = rules.scalar_namespace() | {"number": np.float32}
    function = eval(f"lambda {', '.join(row.arguments)}: {evaluation.for_numba(row.value)}", namespace)
    compiled = numba.njit(error_model="numpy")(function)
    compiled(*[np.float32(2)] * len(row.arguments))
    assert compiled.nopython_signatures[0].return_type == numba.float32


@pytest.mark.parametrize("function", [operator.mod, operator.floordiv, math.fmod, math.remainder])
def test_divisions_agree_with_python_on_all_signs(function):
    row = next(row for row in rules.built_in() if function in row.functions)
    for a in (7.5, -7.5, 6.0, -6.0, 1e22, 4.5, -4.5):
        for b in (2.0, -2.0, 3.0, -3.0, 0.1, math.inf, -math.inf):
            assert evaluation.compiled_value(row.name, a, b) == function(a, b), (a, b)


SPECIALS = (0.0, -0.0, 1.0, -2.0, 0.5, math.inf, -math.inf, math.nan)


WITH_UFUNCS = [
    row.name
    for row in rules.built_in()
    if any(isinstance(f, np.ufunc) for f in row.functions) and row.name not in rules.INTEGER_ARGUMENTS
]


@pytest.mark.parametrize("name", WITH_UFUNCS)
def test_values_at_specials_are_those_of_numpy(name):
    row = rules.TABLE[name]
    for function in (f for f in row.functions if isinstance(f, np.ufunc)):
        for at in itertools.product(SPECIALS, repeat=len(row.arguments)):
            with np.errstate(all="ignore"):
                expected = function(*at)
            if at == (-math.inf, 0.5) and name == "pow":
                expected = math.pow(*at)  # IEEE 754 says inf, NumPy nan
            computed = evaluation.compiled_value(name, *at)
            np.testing.assert_allclose(computed, expected, rtol=1e-15, err_msg=f"{function}{at}")
