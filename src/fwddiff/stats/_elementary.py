"""Elementary functions that keep digits, and those of their derivatives, where plain formulas lose them.

Plain Python for floats, kernels and dual numbers. Branches between formulas are where both are good to the
second derivative; series have fixed lengths, for which the number of terms is that of the derivatives.
Sources: C. Loader, Fast and accurate computation of binomial probabilities (2000), for deviances and
Stirling errors; NIST DLMF 4.6, 5.7 and 5.11 for the series.
"""

from __future__ import annotations

import math
from typing import Any

from fwddiff.special import log1pmx


def exp(x: Any) -> Any:
    """e to the x; inf where it overflows, as in kernels."""
    if x > 709.782712893384:
        return x * math.inf
    return math.exp(x)


def log(x: Any) -> Any:
    """The logarithm of x >= 0; the constant -inf at 0."""
    if x == 0.0:
        return -math.inf
    return math.log(x)


def floor(x: Any) -> Any:
    """The largest whole number up to x, a float without derivative; ±inf beyond 2⁵³, nan for nan."""
    if x != x:
        return math.nan
    if abs(x) >= 9007199254740992.0:
        return math.inf if x > 0.0 else -math.inf
    return 1.0 * math.floor(x)


def power(x: Any, a: Any) -> Any:
    """x to the a for x >= 0; 0 or inf where it is too small or large, and the constants 0, inf at 0, inf."""
    if x == 0.0 or x == math.inf:
        return 0.0 if (x == 0.0) == (a > 0.0) else math.inf
    return exp(a * math.log(x))


def log1mexp(x: Any) -> Any:
    """log(1 - exp(-x)) for x >= 0."""
    if x < 0.6931471805599453:
        return log(-math.expm1(-x))
    return math.log1p(-math.exp(-x))


def log_sum(a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)); either may be -inf."""
    if a == -math.inf:
        return b
    if a < b:
        return b + math.log1p(math.exp(a - b))
    return a + math.log1p(math.exp(b - a))


def shifted(logarithm: Any, by: Any) -> Any:
    """logarithm + by; -inf stays a constant, without the derivative of `by`."""
    if logarithm == -math.inf:
        return -math.inf
    return logarithm + by


def log_of_power(a: Any, x: Any) -> Any:
    """a log(x) for x >= 0, the exponent of a density at the end of its support.

    At x = 0: ±inf as constants, and for a = 0 the value 0 with the slope -inf in a, and none in x.
    """
    if x > 0.0:
        return a * math.log(x)
    if a == 0.0:
        return -math.sqrt(a * a + a)  # like sqrt(a): infinitely steep at 0
    return -math.inf if a > 0.0 else math.inf


def log1p_rest_ratio(x: Any) -> Any:
    """(log(1 + x) - x) / x², -1/2 at 0."""
    if abs(x) >= 0.3:
        return (math.log1p(x) - x) / (x * x)
    return _log1p_rest_series(x)


def _log1p_rest_series(x: Any) -> Any:
    """By log(1 + x) = 2 artanh(r), r = x / (2 + x), of which 2r - x = -r x."""
    r = x / (2.0 + x)
    return (2.0 * r * _artanh_rest(r * r) / (2.0 + x) - 1.0) / (2.0 + x)


def log1p_ratio(x: Any) -> Any:
    """log(1 + x) / x, 1 at 0."""
    if abs(x) >= 0.3:
        return math.log1p(x) / x
    r = x / (2.0 + x)
    return (1.0 + r * r * _artanh_rest(r * r)) * 2.0 / (2.0 + x)


def _artanh_rest(w: Any) -> Any:
    """(artanh(r) / r - 1) / w for w = r² <= 0.032."""
    total = 0.0
    for k in range(14, 0, -1):
        total = total * w + 1.0 / (2.0 * k + 1.0)
    return total


def deviance(x: Any, m: Any) -> Any:
    """x log(x / m) + m - x for x, m >= 0: Loader's bd0, half the deviance of a Poisson variable."""
    if x == 0.0:
        return m
    if abs(m - x) < 0.3 * x:
        return -x * log1pmx((m - x) / x)
    return x * (math.log(x) - log(m)) + m - x


def lgamma1p_ratio(x: Any) -> Any:
    """log Γ(1 + x) / x for x > -1; -γ at 0. By Γ(1 + x) = Γ(3 + x) / ((1 + x) (2 + x))."""
    if abs(x) >= 0.3:
        return math.lgamma(1.0 + x) / x
    series = 0.9227843350984671394 + x * _lgamma_rest(x)  # ψ(3)
    return series - log1p_ratio(x) - 0.5 * log1p_ratio(0.5 * x)


def lgamma1p_difference(x: Any) -> Any:
    """(log Γ(1 + 2x) - 2 log Γ(1 + x)) / x² for x > -1/2; π²/6 at 0."""
    if abs(x) >= 0.15:
        return (math.lgamma(1.0 + 2.0 * x) - 2.0 * math.lgamma(1.0 + x)) / (x * x)
    series = 4.0 * _lgamma_rest(2.0 * x) - 2.0 * _lgamma_rest(x)
    logs = 4.0 * log1p_rest_ratio(2.0 * x) - log1p_rest_ratio(x) - 0.5 * log1p_rest_ratio(0.5 * x)
    return series - logs


def _lgamma_rest(x: Any) -> Any:
    """(log Γ(3 + x) - log 2 - ψ(3) x) / x² = Σ ζ(k, 3) (-x)^(k-2) / k from k = 2 on. DLMF 5.7.3."""
    zetas = (
        0.39493406684822643647,
        0.0770569031595942854,
        0.019823233711138191516,
        0.0056777551433699263314,
        0.0017180619844491397145,
        0.0005367773819228268398,
        0.00017110619794433937869,
        5.5267826082214417853e-05,
        1.8012627818085337146e-05,
        5.9073541194645587023e-06,
        1.945928308048298638e-06,
        6.4303507848914675184e-07,
        2.1297880870482925855e-07,
        7.0658182020493551729e-08,
        2.3470346151871732571e-08,
        7.8031066497622736003e-09,
    )
    total = 0.0
    for k in range(15, -1, -1):
        total = zetas[k] / (k + 2.0) - x * total
    return total
