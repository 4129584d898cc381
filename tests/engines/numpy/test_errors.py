"""Errors of the engine without a compiler, word for word."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from fwddiff import ArgumentError, DerivativeError, StructureError
from fwddiff.engines import numpy as engine
from support.problems import problem_of


def rule_of(function, *arguments, **options):
    problem, arrays = problem_of(function, *arguments, **options)
    return engine.rule(problem), arrays


def raises(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def test_structure_that_depends_on_a_branch():
    def value(x):
        return (x, x) if x > 0 else x

    rule, arrays = rule_of(value, np.array([1.0, -1.0]))
    message = (
        "value returns (*) for some arguments and ((*, *)) for others. Return one structure from "
        "every branch."
    )
    with raises(StructureError, message):
        rule(arrays)


def test_integer_in_one_branch_and_float_in_the_other():
    def value(x):
        return 0 if x > 0 else x

    rule, arrays = rule_of(value, np.array([1.0, -1.0]))
    message = (
        "value returns an integer for some arguments and a float for others (output 0), and the derivative "
        "of the float would be lost. Return floats from every branch, such as 0.0 instead of 0."
    )
    with raises(StructureError, message):
        rule(arrays)


def test_float_in_one_branch_and_integer_in_the_other_is_a_float():
    rule, arrays = rule_of(lambda x: x if x > 0 else 0, np.array([1.5, -1.0]))
    assert rule(arrays)[0].tolist() == [1.5, 0.0]
    assert rule.pullback((0,))([*arrays, np.ones(2)])[0].tolist() == [1.0, 0.0]


def test_shape_that_depends_on_values():
    def value(x):
        return np.ones(2) * x if x > 0 else np.ones(3) * x

    rule, arrays = rule_of(value, np.array([1.0, -1.0]))
    message = (
        "value returns an array of shape (3,) for some arguments and (2,) for others. Return an array whose "
        "shape follows from the shapes of the arguments."
    )
    with raises(StructureError, message):
        rule(arrays)


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (1j, "a value of type complex"),
        ("text", "a value of type str"),
        (object(), "a value of type object"),
        (np.array(["a"]), "a value of dtype <U1"),
        (np.complex128(1), "a value of dtype complex128"),
    ],
)
def test_results_that_are_no_numbers(result, what):
    def value(x):
        return x, result

    rule, arrays = rule_of(value, 1.0)
    message = (
        f"value returns {what} (output 1). Return numbers, small arrays, and tuples, NamedTuples, "
        "dataclasses or dicts of them."
    )
    with raises(StructureError, message):
        rule(arrays)


@pytest.mark.parametrize("derivative", [False, True])
def test_writing_to_an_argument(derivative):
    def value(x, y):
        if x[0] == 1.0 and derivative:
            return x[0]
        y[0] = x[0] * y[1]
        return y[0]

    rule, arrays = rule_of(value, np.full(2, 2.0), np.ones(2), whole=True)
    if derivative:
        rule, arrays = rule.pullback((0, 1)), [*arrays, np.float64(1.0)]
    message = (
        "value writes to its argument 'y' (`y[0] = x[0] * y[1]`); arguments are read-only. Work on a copy: "
        "`y = y.copy()`, or take a buffer from a `fd.DiffCache`."
    )
    with raises(ArgumentError, message):
        rule(arrays)
    assert arrays[1].tolist() == [1.0, 1.0]


def test_a_copy_may_be_written_to():
    def value(x):
        x = x.copy()
        x[0] = x[0] * x[1]
        return x[0]

    rule, arrays = rule_of(value, np.array([2.0, 3.0]), whole=True)
    assert rule.pullback((0,))([*arrays, np.float64(1.0)])[0].tolist() == [3.0, 2.0]


def test_exceptions_of_the_function_pass_through():
    class OwnError(Exception):
        pass

    def value(x):
        if x > 1:
            raise OwnError("no")
        return x

    rule, arrays = rule_of(value, np.array([0.5, 2.0]))
    with pytest.raises(OwnError, match="no"):
        rule(arrays)
    with pytest.raises(OwnError, match="no"):
        rule.pullback((0,))([*arrays, np.ones(2)])
    rule, _ = rule_of(lambda x: math.log(-x), 1.0)
    with pytest.raises(ValueError, match=r"domain error|positive"):
        rule([np.float64(2.0)])


def test_integers_have_no_derivative():
    rule, _ = rule_of(lambda x, n: int(n > 2), 1.0, 3)
    message = "<lambda> has no output that depends smoothly on its arguments: all are integers."
    with raises(DerivativeError, message):
        rule.pullback((0,))
    with pytest.raises(DerivativeError, match="have no derivative"):
        rule.pullback((1,))


def test_functions_without_derivative_raise():
    rule, arrays = rule_of(lambda x: math.nextafter(x, 4.0), 3.0)
    with pytest.raises(DerivativeError, match="nextafter"):
        rule.pullback((0,))([*arrays, np.float64(1.0)])
    rule, arrays = rule_of(lambda x: complex(x).real, 3.0)
    assert rule(arrays)[0] == 3.0
    with pytest.raises(DerivativeError, match="lose its derivative"):
        rule.pullback((0,))([*arrays, np.float64(1.0)])
