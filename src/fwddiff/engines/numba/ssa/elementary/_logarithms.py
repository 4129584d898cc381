"""Logarithms: x = 2^k m with √½ <= m < √2, and log(m) by s = (m - 1) / (m + 1), as "fdlibm" does it (Sun
Microsystems 1993)."""

from __future__ import annotations

import math
from typing import NamedTuple

from fwddiff.engines.numba.ssa.elementary._arithmetic import Bits, Number
from fwddiff.engines.numba.ssa.elementary._coefficients import CONSTANTS

Factor = tuple[float, float]  # as a sum
_ROOT = math.sqrt(0.5)


class _Reduced(NamedTuple):
    """x = 2^k (1 + f); `exponent` is k with the format's bias."""

    k: Number
    f: Number
    exponent: Bits

    @property
    def inverse_power(self) -> Number:
        """2^(1 - k), 0 for the largest k."""
        form = self.f.form
        return (2 * form.bias + 1 - self.exponent << form.mantissa).number


class _Log(NamedTuple):
    """log(1 + f) = f - (h - t), h = f²/2."""

    f: Number
    h: Number
    s: Number
    rest: Number  # t = s (h + rest)

    def above(self, high: Number, low: Number) -> Number:
        """log(1 + f) + high + low, where high is 0 or larger than all else."""
        t = self.s.fma(self.h + self.rest, low)
        return high - ((self.h - t) - self.f)

    def times(self, factor: Factor, low: Number) -> Number:
        """log(1 + f) * factor + low, the logarithm in two parts."""
        less = self.h - self.s * (self.h + self.rest)
        y = self.f - less
        lost = (self.f - y) - less
        return y.fma(factor[0], y.fma(factor[1], lost.fma(factor[0], low)))


def _reduced(x: Number) -> _Reduced:
    """Of a normal x > 0: the exponent is that of x / √½; the bits of 2^mantissa make a number of it."""
    form = x.form
    root, one = form.bits(_ROOT), form.bits(1.0)
    moved = x.bits + (one - root)
    large = 2.0**form.mantissa
    exponent = moved >> form.mantissa
    k = (exponent | form.bits(large)).number - (large + form.bias)
    m = ((moved & ((1 << form.mantissa) - 1)) + root).number
    return _Reduced(k, m - 1.0, exponent)


def _of(f: Number) -> _Log:
    s = f / (f + 2.0)
    z = s * s
    return _Log(f, f * f * 0.5, s, z * z.horner(CONSTANTS[f.form.kind].log))


def _normal(x: Number) -> tuple[Number, Number]:
    """x as a normal number, and what that adds to its exponent."""
    form = x.form
    is_small = x.compared("olt", 2.0 ** (1 - form.bias))
    larger = x * 2.0**form.mantissa
    return x.chosen(is_small, larger, x), x.chosen(is_small, -float(form.mantissa), 0.0)


def _bounded(y: Number, x: Number) -> Number:
    """-inf at 0, nan below and where x is nan, inf at inf."""
    y = y.chosen(x.compared("oeq", 0.0), -math.inf, y)
    y = y.chosen(x.compared("ult", 0.0), math.nan, y)
    return y.chosen(x.compared("oeq", math.inf), math.inf, y)


def log(x: Number) -> Number:
    normal, more = _normal(x)
    found = _reduced(normal)
    k = found.k + more
    first, second = CONSTANTS[x.form.kind].log2_short
    return _bounded(_of(found.f).above(k * first, k * second), x)


def log2(x: Number) -> Number:
    normal, more = _normal(x)
    found, zero = _reduced(normal), x.of(0.0)
    return _bounded(_of(found.f).times(CONSTANTS[x.form.kind].log2_e, zero) + (found.k + more), x)


def log10(x: Number) -> Number:
    normal, more = _normal(x)
    found, constants = _reduced(normal), CONSTANTS[x.form.kind]
    k = found.k + more
    first, second = constants.log10_2
    return _bounded(k.fma(first, _of(found.f).times(constants.log10_e, k * second)), x)


def log1p(x: Number) -> Number:
    """log(u) + c / u, u = 1 + x rounded and c what the rounding lost; f is x itself where k = 0.

    c / u = 2^-k c / (1 + f) needs few digits: 1 / (1 + f) = (1 - s) / (1 + s) = 2 (1/2 - s + s² - s³ …).
    """
    u = x + 1.0
    found = _reduced(u)
    is_exact = found.k.compared("oeq", 0.0)
    parts = _of(x.chosen(is_exact, x, found.f))
    lost = x.chosen(x.compared("oge", 1.0), 1.0 - (u - x), x - (u - 1.0))
    s = parts.s
    inverse = (-s).fma((s - 1.0).fma(s, 1.0), 0.5)
    more = x.chosen(is_exact, 0.0, lost * found.inverse_power * inverse)
    first, second = CONSTANTS[x.form.kind].log2_short
    return _bounded(parts.above(found.k * first, found.k.fma(second, more)), u).with_sign_of(x)
