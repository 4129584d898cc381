"""What `try` catches: arithmetic that raises in Python is not compiled there, and raises on duals."""

from __future__ import annotations

import math

import pytest

import fwddiff as fd
from fwddiff import fwddiff


def inverse(x):
    return 1.0 / x


class Scale:
    def of(self, x):
        return 2.0 / x


SCALE = Scale()


def divided(x):
    try:
        return 1.0 / x
    except ZeroDivisionError:
        return 7.0 * (x + 1)


def remainder(x):
    try:
        return 5.0 % x
    except ZeroDivisionError:
        return 3.0 * x


def power(x):
    try:
        return x**-1.0
    except ZeroDivisionError:
        return 4.0 * x


def logarithm(x):
    try:
        y = math.log(x)
    except ValueError:
        y = 3.0 * x
    return y


def in_a_helper(x):
    try:
        return inverse(x)
    except Exception:
        return 2.0 * x


def in_a_method(x):
    try:
        return SCALE.of(x)
    except Exception:
        return 5.0 * x


def anything(x):
    try:
        return math.sqrt(x)
    except Exception:
        return 9.0 * x


# Function, argument, value, slope.
CAUGHT = [
    (divided, 0.0, 7.0, 7.0),
    (divided, 2.0, 0.5, -0.25),
    (remainder, 0.0, 0.0, 3.0),
    (power, 0.0, 0.0, 4.0),
    (logarithm, -1.0, -3.0, 3.0),
    (logarithm, 2.0, math.log(2.0), 0.5),
    (in_a_helper, 0.0, 0.0, 2.0),
    (in_a_method, 0.0, 0.0, 5.0),
    (anything, -1.0, -9.0, 9.0),
    (anything, 4.0, 2.0, 0.25),
]


@pytest.mark.filterwarnings("ignore:.*runs in Python")
@pytest.mark.parametrize("engine", ["auto", "numpy"])
@pytest.mark.parametrize(("f", "x", "value", "slope"), CAUGHT)
def test_the_handler_has_its_slope(f, x, value, slope, engine):
    assert f(x) == pytest.approx(value, rel=1e-15)
    assert fd.value_and_gradient(fwddiff(f, engine=engine), x) == pytest.approx((value, slope), rel=1e-15)


@pytest.mark.parametrize("f", [divided, logarithm, in_a_helper, in_a_method, anything])
def test_it_is_not_compiled(f):
    with pytest.raises(fd.FwdDiffError, match=r"has a `try`, and .* raises in Python and not in compiled"):
        fd.value_and_gradient(fwddiff(f, engine="numba"), 1.0)


def asked(x):
    if x <= 0:
        raise ValueError("not positive")
    return math.log(x)


def trusted(x):
    try:
        y = asked(x)
    except Exception:
        y = 2.0 * x
    return y / (x + 3.0)


def halves(x):
    try:
        return x**2 / 2.0
    finally:
        pass


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [(trusted, -1.0, -1.0, 1.5), (trusted, 1.0, 0.0, 0.25), (halves, 3.0, 4.5, 3.0)],
)
def test_what_cannot_raise_unasked_is_compiled(f, x, value, slope):
    found = fd.value_and_gradient(fwddiff(f, engine="numba"), x)
    assert found == pytest.approx((value, slope), rel=1e-14, abs=1e-15)
