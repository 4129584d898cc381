"""exp and its relatives, each of the same reduction: x = k log(2) + r with |r| <= log(2)/2.

Of two calls with one argument (a value and its slope) LLVM keeps one reduction and one polynomial.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fwddiff.engines.numba.ssa.elementary._arithmetic import Bits, Number
from fwddiff.engines.numba.ssa.elementary._coefficients import CONSTANTS

Pair = tuple[Number, Number]  # a sum
_SHIFT = 64  # by so many powers of two, what is below the smallest normal number is computed too large


class _Reduced(NamedTuple):
    """exp(x) = 2^k (1 + r + r² q); `whole` has k in its lowest bits."""

    r: Number
    q: Number
    whole: Bits

    @property
    def p(self) -> Number:
        """exp(r) - 1."""
        return (self.r * self.r).fma(self.q, self.r)

    @property
    def power(self) -> Number:
        """2^k, where that is normal."""
        form = self.r.form
        return (self.whole + form.bias << form.mantissa).number

    def times(self, shift: int) -> Number:
        """2^(k + shift) exp(r), by the exponent's bits: for a normal number."""
        one = self.p + 1.0
        return ((self.whole + shift << one.form.mantissa) + one.bits).number

    @property
    def less_one(self) -> Pair:
        """exp(x) - 1 as a sum of two numbers, where 2^k is normal."""
        power = self.power
        first = power.fma(self.r, power - 1.0)
        rest = (self.r * self.r * power).fma(self.q, power.fma(self.r, (power - 1.0) - first))
        y = first + rest
        return y, (first - y) + rest

    def plus(self, whole: float) -> Pair:
        """exp(x) + whole as a sum of two numbers, where k <= 0."""
        power, p = self.power, self.p
        first = power + whole
        y = power.fma(p, first)
        return y, power.fma(p, first - y)


def _reduced(x: Number) -> _Reduced:
    """By fused steps: k times the first part of log(2) is taken off exactly."""
    first, second = CONSTANTS[x.form.kind].log2
    shifted = x.fma(1.0 / math.log(2.0), x.form.rounder)
    k = shifted - x.form.rounder
    r = (-k).fma(second, (-k).fma(first, x))
    return _of(r, shifted.bits)


def _of(r: Number, whole: Bits) -> _Reduced:
    return _Reduced(r, r.horner(CONSTANTS[r.form.kind].exp), whole)


def exp(x: Number) -> Number:
    return _scaled(x, _reduced(x))


def _scaled(x: Number, found: _Reduced) -> Number:
    """2^k (1 + p), rounded once where it is subnormal; 0, inf and nan where x is out of range."""
    bounds = CONSTANTS[x.form.kind]
    return _bounded(x, found, bounds.least_exponential, bounds.normal_exponential, bounds.largest_exponential)


def _bounded(x: Number, found: _Reduced, least: float, normal: float, largest: float) -> Number:
    is_small = x.compared("olt", normal)
    exponent = found.whole + found.whole.chosen(is_small, _SHIFT, 0)
    y = ((exponent << x.form.mantissa) + (found.p + 1.0).bits).number * x.chosen(is_small, 2.0**-_SHIFT, 1.0)
    y = y.chosen(x.compared("olt", least), 0.0, y)
    return y.chosen(x.compared("ugt", largest), x + math.inf, y)


def exp2(x: Number) -> Number:
    """x = k + f with |f| <= 1/2, and r = f log(2)."""
    form = x.form
    shifted = x + form.rounder
    f = x - (shifted - form.rounder)
    first, second = CONSTANTS[form.kind].log2
    found = _of(f.fma(first, f * second), shifted.bits)
    largest = (form.bias + 1) * (1.0 - 2.0 ** -(form.mantissa + 1))
    return _bounded(x, found, -form.bias - form.mantissa - 1.0, 1.0 - form.bias, largest)


def expm1(x: Number) -> Number:
    found, flat = _reduced(x), CONSTANTS[x.form.kind].flat
    y = found.less_one[0]
    y = y.chosen(x.compared("olt", -flat), -1.0, y)
    y = y.chosen(x.compared("ogt", flat), _scaled(x, found), y)
    return y.with_sign_of(x)


def tanh(x: Number) -> Number:
    """(1 - e) / (1 + e), e = exp(-2 |x|): the exponential that slopes need too."""
    twice = abs(x) * -2.0
    found = _reduced(twice)
    y = -_quotient(found.plus(-1.0), found.plus(1.0))
    y = y.chosen(twice.compared("olt", -CONSTANTS[x.form.kind].flat), 1.0, y)
    return y.with_sign_of(x)


def _quotient(numerator: Pair, divisor: Pair) -> Number:
    """By one division, the rounding of all that put right."""
    inverse = 1.0 / divisor[0]
    y = numerator[0] * inverse
    rest = (-y).fma(divisor[1], (-y).fma(divisor[0], numerator[0])) + numerator[1]
    return rest.fma(inverse, y)


def sinh(x: Number) -> Number:
    """(e + e / (1 + e)) / 2, e = exp(|x|) - 1."""
    size = abs(x)
    found, bounds = _reduced(size), CONSTANTS[x.form.kind]
    first, second = found.less_one
    divisor = first + 1.0
    lost = (first - (divisor - 1.0)) + second
    y = (first + (_quotient((first, second), (divisor, lost)) + second)) * 0.5
    y = y.chosen(size.compared("ogt", bounds.flat), found.times(-1), y)
    y = y.chosen(size.compared("ugt", bounds.largest_hyperbolic), size + math.inf, y)
    return y.with_sign_of(x)


def cosh(x: Number) -> Number:
    """h + 1 / (4 h), h = exp(|x|) / 2."""
    size = abs(x)
    half = _reduced(size).times(-1)
    y = half + 0.25 / half
    bound = CONSTANTS[x.form.kind].largest_hyperbolic
    return y.chosen(size.compared("ugt", bound), size + math.inf, y)
