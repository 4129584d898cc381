"""Laws of arithmetic on numbers, and Python's operators and conversions."""

import math
import operator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dual.differentiate import derivative, gradient
from fwddiff import dual

numbers = st.floats(-8, 8).map(lambda x: round(x, 3))
duals = st.builds(lambda v, p, q: dual.make(v, [p, q], 0), numbers, numbers, numbers)
few = settings(max_examples=60, deadline=None)


def close(a, b):
    for x, y in zip(
        (dual.value(a), *dual.partials(a, 0, 2)), (dual.value(b), *dual.partials(b, 0, 2)), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


@few
@given(duals, duals, duals)
def test_ring(a, b, c):
    close(a + b, b + a)
    close(a * b, b * a)
    close((a + b) + c, a + (b + c))
    close((a * b) * c, a * (b * c))
    close(a * (b + c), a * b + a * c)
    close(a - a, 0.0)
    close(-a + a, a * 0)


@few
@given(duals, duals)
def test_division_and_powers(a, b):
    assume(abs(b) > 0.1)
    close(a / b * b, a)
    close(b**3, b * b * b)
    close(b**-2, 1 / (b * b))
    close(b**0, 1.0)
    close(abs(b), np.sqrt(b * b))


@few
@given(duals, duals)
def test_floor_and_remainder(a, b):
    assume(abs(b) > 0.1)
    quotient, remainder = divmod(a, b)
    close(quotient * b + remainder, a)
    assert dual.value(quotient) == dual.value(a) // dual.value(b)
    close(quotient, dual.value(a) // dual.value(b))


@few
@given(duals, numbers)
def test_functions(a, c):
    close(np.sin(a) ** 2 + np.cos(a) ** 2, 1.0)
    close(np.log(np.exp(a)), a)
    close(np.exp(a + c), np.exp(a) * math.exp(c))
    close(np.tan(np.arctan(a)), a)


@few
@given(duals, duals)
def test_comparisons_are_those_of_values(a, b):
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        assert compare(a, b) is compare(a.value, b.value)
        assert compare(a, 1.5) is compare(a.value, 1.5)
        assert compare(1.5, a) is compare(1.5, a.value)
    assert bool(a) is bool(a.value)


@pytest.mark.parametrize(
    "operation", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
)
@pytest.mark.parametrize("constant", [2, 2.5, np.float64(2.5), np.int64(3), True, np.array([0.5, 1.5])])
def test_constants_on_either_side(operation, constant):
    x, step = 1.75, 1e-6
    for f in (lambda t: operation(t, constant), lambda t: operation(constant, t)):
        expected = (f(x + step) - f(x - step)) / (2 * step)
        np.testing.assert_allclose(derivative(f, x), expected, rtol=1e-8)


@pytest.mark.parametrize(
    "operation", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow]
)
def test_in_place_operators_change_arrays_and_replace_numbers(operation):
    array = dual.make(np.array([2.0, 3.0]), [np.ones(2)], 0)
    expected = operation(array.copy(), 2.0)
    view = array[:]
    result = operation(array, 2.0)
    assert result is array
    np.testing.assert_array_equal(view.value, expected.value)
    np.testing.assert_array_equal(view.partials, expected.partials)
    number = dual.make(2.0, [1.0], 0)
    assert operation(number, 2.0) is not number
    assert number.value == 2.0


def test_steps_are_plain_integers():
    x = dual.make(dual.make(2.6, [1.0], 0), [1.0], 1)
    found = [int(x), math.floor(x), math.ceil(x), math.trunc(x), round(x)]
    assert found == [2, 2, 3, 2, 3]
    assert {type(n) for n in found} == {int}
    assert round(x, 1) == 2.6
    assert derivative(lambda t: t * int(t), 2.6) == 2.0


def test_unknown_operands_get_their_turn():
    class Other:
        def __radd__(self, x):
            return "other"

    assert dual.make(1.0, [1.0], 0) + Other() == "other"
    with pytest.raises(TypeError):
        dual.make(1.0, [1.0], 0) + "1"
    with pytest.raises(TypeError):
        pow(dual.make(1.0, [1.0], 0), 2, 3)


def test_python_errors_stay():
    with pytest.raises(ZeroDivisionError):
        1.0 / dual.make(0.0, [1.0], 0)
    with pytest.raises(ValueError, match=r"math domain error|expected a"):
        dual.math_namespace().sqrt(dual.make(-1.0, [1.0], 0))


def test_infinite_slopes_do_not_raise():
    assert derivative(lambda x: dual.math_namespace().sqrt(x), 0.0) == math.inf
    assert derivative(lambda x: x**0.5, 0.0) == math.inf


def test_derivatives_by_closed_forms():
    m = dual.math_namespace()
    a, b = 0.7, 1.9
    assert gradient(lambda x, y: m.log(x, y), a, b) == pytest.approx(
        [1 / (a * math.log(b)), -math.log(a) / (b * math.log(b) ** 2)]
    )
    assert gradient(lambda x, y: m.hypot(x, y, 2.0), a, b) == pytest.approx(
        [v / math.hypot(a, b, 2) for v in (a, b)]
    )
    assert gradient(lambda x, y: m.dist((x, y), (0.0, 1.0)), a, b) == pytest.approx(
        [a / math.hypot(a, b - 1), (b - 1) / math.hypot(a, b - 1)]
    )
    assert gradient(lambda x, y: m.prod([x, y, 3.0]), a, b) == pytest.approx([3 * b, 3 * a])
    assert gradient(lambda x, y: m.fsum(v * v for v in (x, y)), a, b) == pytest.approx([2 * a, 2 * b])
    assert gradient(lambda x, y: m.modf(x * y)[0], a, b) == pytest.approx([b, a])
    assert gradient(lambda x, y: m.ldexp(x, 3) + y, a, b) == [8.0, 1.0]
    assert m.isclose(dual.make(a, [1.0], 0), a)
    assert m.pi == math.pi
    assert m.gcd(4, 6) == 2
    assert m.fsum(iter([0.1] * 10)) == 1.0


def test_text():
    x = dual.make(1.5, [1.0, 0], 2)
    assert repr(x) == "Dual(1.5, partials=(1.0, 0.0), level=2)"
    assert f"{x:.2f}" == "1.50"
    assert f"{x}" == str(x) == "1.5"  # users print their own number
