"""Distributions on half-lines and intervals whose cdf has a closed form: exponential, Weibull, Pareto, …"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff.special import expit, lgamma1p, log_expit, log_ndtr, logit, ndtr, ndtri
from fwddiff.stats._base import LocationScale
from fwddiff.stats._elementary import exp, lgamma1p_difference, log, log1mexp, log_of_power, power
from fwddiff.stats._real import logistic_logpdf


@dataclasses.dataclass(frozen=True)
class Exponential(LocationScale):
    """`scipy.stats.expon`: density exp(-z), z = (x - loc) / scale >= 0."""

    loc: Any = 0.0
    scale: Any = 1.0

    def _logpdf(self, z):
        return -z if not z < 0.0 else -math.inf

    def _cdf(self, z):
        return -math.expm1(-z) if not z < 0.0 else 0.0

    def _sf(self, z):
        return math.exp(-z) if not z < 0.0 else 1.0

    def _logcdf(self, z):
        return log1mexp(z) if not z < 0.0 else -math.inf

    def _logsf(self, z):
        return -z if not z < 0.0 else 0.0

    def _quantile(self, q):
        return -math.log1p(-q) if q < 1.0 else math.inf

    def _isf(self, q):
        return -log(q)

    def _mean(self):
        return 1.0

    def _variance(self):
        return 1.0

    def _entropy(self):
        return 1.0


@dataclasses.dataclass(frozen=True)
class Uniform(LocationScale):
    """`scipy.stats.uniform`: density 1 for 0 <= z <= 1, z = (x - loc) / scale."""

    loc: Any = 0.0
    scale: Any = 1.0

    def _logpdf(self, z):
        if z < 0.0 or z > 1.0:
            return -math.inf
        return 0.0 if z == z else math.nan

    def _cdf(self, z):
        if z < 0.0:
            return 0.0
        return 1.0 if z > 1.0 else z

    def _sf(self, z):
        if z < 0.0:
            return 1.0
        return 0.0 if z > 1.0 else 1.0 - z

    def _logcdf(self, z):
        return log(self._cdf(z))

    def _logsf(self, z):
        if z < 0.0:
            return 0.0
        return -math.inf if z >= 1.0 else math.log1p(-z)

    def _quantile(self, q):
        return q

    def _isf(self, q):
        return 1.0 - q

    def _mean(self):
        return 0.5

    def _variance(self):
        return 1.0 / 12.0

    def _entropy(self):
        return 0.0


@dataclasses.dataclass(frozen=True)
class LogNormal(LocationScale):
    """`scipy.stats.lognorm`: log(z) is normal with deviation s, z = (x - loc) / scale > 0."""

    s: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "s > 0, scale > 0"

    def _valid(self) -> bool:
        return self.s > 0.0 and self.scale > 0.0

    def _logpdf(self, z):
        if z <= 0.0:
            return -math.inf
        w = math.log(z) / self.s
        return -0.5 * (w * w) - math.log(z) - math.log(self.s) - 0.9189385332046727  # log(2π) / 2

    def _cdf(self, z):
        return ndtr(math.log(z) / self.s) if not z <= 0.0 else 0.0

    def _sf(self, z):
        return ndtr(-math.log(z) / self.s) if not z <= 0.0 else 1.0

    def _logcdf(self, z):
        return log_ndtr(math.log(z) / self.s) if not z <= 0.0 else -math.inf

    def _logsf(self, z):
        return log_ndtr(-math.log(z) / self.s) if not z <= 0.0 else 0.0

    def _quantile(self, q):
        return exp(self.s * ndtri(q))

    def _isf(self, q):
        return exp(-self.s * ndtri(q))

    def _mean(self):
        return exp(0.5 * self.s * self.s)

    def _variance(self):
        w = self.s * self.s
        return math.expm1(w) * exp(w) if w < 350.0 else exp(2.0 * w)

    def _entropy(self):
        return math.log(self.s) + 1.4189385332046727


@dataclasses.dataclass(frozen=True)
class Weibull(LocationScale):
    """`scipy.stats.weibull_min`: survival function exp(-z^c), z = (x - loc) / scale >= 0."""

    c: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "c > 0, scale > 0"

    def _valid(self) -> bool:
        return self.c > 0.0 and self.scale > 0.0

    def _logpdf(self, z):
        if z < 0.0:
            return -math.inf
        return math.log(self.c) + log_of_power(self.c - 1.0, z) - power(z, self.c)

    def _cdf(self, z):
        return -math.expm1(-power(z, self.c)) if not z < 0.0 else 0.0

    def _sf(self, z):
        return math.exp(-power(z, self.c)) if not z < 0.0 else 1.0

    def _logcdf(self, z):
        if z <= 0.0:
            return -math.inf
        if self.c * math.log(z) < -36.0:  # log(1 - exp(-t)) = log t - t / 2 + ...
            return self.c * math.log(z)
        return log1mexp(power(z, self.c))

    def _logsf(self, z):
        return -power(z, self.c) if not z < 0.0 else 0.0

    def _quantile(self, q):
        return power(-math.log1p(-q), 1.0 / self.c) if q < 1.0 else math.inf

    def _isf(self, q):
        return power(-log(q), 1.0 / self.c)

    def _mean(self):
        return exp(lgamma1p(1.0 / self.c))

    def _variance(self):
        t = 1.0 / self.c
        rest = t * t * lgamma1p_difference(t)
        return exp(2.0 * lgamma1p(t)) * math.expm1(rest) if rest < 700.0 else math.inf

    def _entropy(self):
        return 1.5772156649015329 - 0.5772156649015329 / self.c - math.log(self.c)


@dataclasses.dataclass(frozen=True)
class LogLogistic(LocationScale):
    """`scipy.stats.fisk`: cdf 1 / (1 + z^-c), z = (x - loc) / scale >= 0; log(z) is logistic."""

    c: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "c > 0, scale > 0"

    def _valid(self) -> bool:
        return self.c > 0.0 and self.scale > 0.0

    def _logpdf(self, z):
        if z < 0.0:
            return -math.inf
        if z == 0.0:
            return log_of_power(self.c - 1.0, z)
        return logistic_logpdf(self.c * math.log(z)) + math.log(self.c) - math.log(z)

    def _cdf(self, z):
        return expit(self.c * math.log(z)) if not z <= 0.0 else 0.0

    def _sf(self, z):
        return expit(-self.c * math.log(z)) if not z <= 0.0 else 1.0

    def _logcdf(self, z):
        return log_expit(self.c * math.log(z)) if not z <= 0.0 else -math.inf

    def _logsf(self, z):
        return log_expit(-self.c * math.log(z)) if not z <= 0.0 else 0.0

    def _quantile(self, q):
        return exp(logit(q) / self.c)

    def _isf(self, q):
        return exp(-logit(q) / self.c)

    def _mean(self):
        b = math.pi / self.c
        return b / math.sin(b) if self.c > 1.0 else math.inf

    def _variance(self):
        if self.c <= 2.0:
            return math.inf
        return exp(2.0 * sine_rest(math.pi / self.c)) * math.expm1(
            sine_rest(2.0 * math.pi / self.c) - 2.0 * sine_rest(math.pi / self.c)
        )

    def _entropy(self):
        return 2.0 - math.log(self.c)


def sine_rest(b):
    """log(b / sin b), 0 <= b < π, by its product of (1 - b²/(kπ)²) where b is small. DLMF 4.22.1, 25.2.1."""
    if b > 0.3:
        return math.log(b / math.sin(b))
    w = b * b
    return w * (
        1.0 / 6.0
        + w
        * (
            1.0 / 180.0
            + w * (1.0 / 2835.0 + w * (1.0 / 37800.0 + w * (1.0 / 467775.0 + w * (691.0 / 3831077250.0))))
        )
    )


@dataclasses.dataclass(frozen=True)
class Pareto(LocationScale):
    """`scipy.stats.pareto`: survival function z^-b, z = (x - loc) / scale >= 1."""

    b: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "b > 0, scale > 0"

    def _valid(self) -> bool:
        return self.b > 0.0 and self.scale > 0.0

    def _logpdf(self, z):
        if z < 1.0:
            return -math.inf
        return math.log(self.b) - (self.b + 1.0) * math.log(z)

    def _cdf(self, z):
        return -math.expm1(-self.b * math.log(z)) if not z < 1.0 else 0.0

    def _sf(self, z):
        return math.exp(-self.b * math.log(z)) if not z < 1.0 else 1.0

    def _logcdf(self, z):
        return log1mexp(self.b * math.log(z)) if not z < 1.0 else -math.inf

    def _logsf(self, z):
        return -self.b * math.log(z) if not z < 1.0 else 0.0

    def _quantile(self, q):
        return exp(-math.log1p(-q) / self.b) if q < 1.0 else math.inf

    def _isf(self, q):
        return exp(-log(q) / self.b)

    def _mean(self):
        return self.b / (self.b - 1.0) if self.b > 1.0 else math.inf

    def _variance(self):
        if self.b <= 2.0:
            return math.inf
        return self.b / ((self.b - 1.0) * (self.b - 1.0) * (self.b - 2.0))

    def _entropy(self):
        return 1.0 + 1.0 / self.b - math.log(self.b)
