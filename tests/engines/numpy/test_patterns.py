"""`case Class():` asks duals what their numbers are, as `isinstance` does."""

import dataclasses
import numbers

import numpy as np
import pytest

import fwddiff as fd


@dataclasses.dataclass
class Point:
    a: float


def by_float(x):
    match x:
        case float():
            return x * x
    return 7.0 * x


def by_two_kinds(x):
    match x:
        case int():
            return 3 * x
        case float(y) if y > 0:
            return y * y
    return 0.0


def by_abstract_number(x):
    match x:
        case numbers.Real():
            return x * x
    return x


def converted(x):
    y = float(x)
    match y:
        case float():
            return x * y if isinstance(x, float) else x
    return x


def inside(x):
    def inner(t):
        match t:
            case np.float64() | float():
                return t * t
        return t

    return inner(x)


def in_a_sequence(x):
    match (x, 2):
        case (float(u), int(v)):
            return u * u * v / 2
    return x


def in_a_struct(x):
    match Point(x):
        case Point(a=float(y)):
            return y * y
        case Point():
            return 0 * x
    return x


def another_name(x):
    kind = float
    match x:
        case kind():
            return x * x
    return x


@pytest.mark.parametrize("engine", ["numpy", "auto"])
@pytest.mark.parametrize(
    "f",
    [by_float, by_two_kinds, by_abstract_number, converted, inside, in_a_sequence, in_a_struct, another_name],
)
def test_the_branch_of_the_value_is_taken(f, engine):
    assert f(1.5) == 2.25
    assert fd.gradient(f, backend=engine)(1.5) == 3.0
    assert fd.hessian(f, backend=engine)(1.5) == 2.0


def test_shapes_are_told_by_the_branch_of_the_value():
    def f(x):
        match x[0]:
            case float():
                return x * x
        return x[:1]

    jacobian = fd.jacobian(f, backend="numpy")(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(jacobian, np.diag([2.0, 4.0]))


def test_arrays():
    def f(x):
        match x:
            case np.ndarray(shape=(n,)):
                return (x * x).sum() * n
        return x[0]

    np.testing.assert_array_equal(fd.gradient(f, backend="numpy")(np.array([1.0, 2.0])), [4.0, 8.0])


def test_a_class_with_other_uses_is_refused():
    def f(x):
        y = np.zeros(1, dtype=float)
        y[0] = x
        match x:
            case float():
                return x * y[0]
        return x

    with pytest.raises(fd.DerivativeError, match=r"isinstance\(x, float\)"):
        fd.gradient(f, backend="numpy")(1.5)


def test_a_class_that_is_an_argument_is_refused():
    def f(x, kind):
        match x:
            case kind():
                return x * x
        return x

    with pytest.raises(fd.DerivativeError, match=r"isinstance\(x, kind\)"):
        fd.gradient(f, backend="numpy")(1.5, float)
