"""Distributions on the real line without special functions beyond erfc's: normal, logistic, Laplace, …"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from fwddiff.special import expit, log_expit, log_ndtr, logit, ndtr, ndtri
from fwddiff.stats._base import LocationScale
from fwddiff.stats._elementary import log, log1mexp


@dataclasses.dataclass(frozen=True)
class Normal(LocationScale):
    """`scipy.stats.norm`: density exp(-z²/2) / √(2π), z = (x - loc) / scale."""

    loc: Any = 0.0
    scale: Any = 1.0

    def _logpdf(self, z):
        return -0.5 * (z * z) - 0.9189385332046727  # log(2π) / 2

    def _cdf(self, z):
        return ndtr(z)

    def _sf(self, z):
        return ndtr(-z)

    def _logcdf(self, z):
        return log_ndtr(z)

    def _logsf(self, z):
        return log_ndtr(-z)

    def _quantile(self, q):
        return ndtri(q)

    def _isf(self, q):
        return -ndtri(q)

    def _mean(self):
        return 0.0

    def _variance(self):
        return 1.0

    def _entropy(self):
        return 1.4189385332046727


@dataclasses.dataclass(frozen=True)
class Cauchy(LocationScale):
    """`scipy.stats.cauchy`: density 1 / (π (1 + z²)), z = (x - loc) / scale."""

    loc: Any = 0.0
    scale: Any = 1.0

    def _logpdf(self, z):
        if abs(z) > 1e100:
            return -2.0 * log(abs(z)) - 1.1447298858494002
        return -math.log1p(z * z) - 1.1447298858494002  # log π

    def _cdf(self, z):
        return math.atan2(1.0, -z) / math.pi

    def _sf(self, z):
        return math.atan2(1.0, z) / math.pi

    def _logcdf(self, z):
        if z > 0.0:
            return math.log1p(-math.atan2(1.0, z) / math.pi)
        return log(math.atan2(1.0, -z) / math.pi)

    def _logsf(self, z):
        return self._logcdf(-z)

    def _quantile(self, q):
        if q < 0.25:
            return -1.0 / math.tan(math.pi * q) if q > 0.0 else -math.inf
        if q > 0.75:
            return 1.0 / math.tan(math.pi * (1.0 - q)) if q < 1.0 else math.inf
        return math.tan(math.pi * (q - 0.5))

    def _isf(self, q):
        return -self._quantile(q)

    def _mean(self):
        return math.nan

    def _variance(self):
        return math.nan

    def _entropy(self):
        return 2.5310242469692907  # log 4π


@dataclasses.dataclass(frozen=True)
class Logistic(LocationScale):
    """`scipy.stats.logistic`: cdf 1 / (1 + exp(-z)), z = (x - loc) / scale."""

    loc: Any = 0.0
    scale: Any = 1.0

    def _logpdf(self, z):
        return logistic_logpdf(z)

    def _cdf(self, z):
        return expit(z)

    def _sf(self, z):
        return expit(-z)

    def _logcdf(self, z):
        return log_expit(z)

    def _logsf(self, z):
        return log_expit(-z)

    def _quantile(self, q):
        return logit(q)

    def _isf(self, q):
        return -logit(q)

    def _mean(self):
        return 0.0

    def _variance(self):
        return 3.289868133696453  # π² / 3

    def _entropy(self):
        return 2.0


def logistic_logpdf(z):
    # Branches, not |z|: that has no second derivative at 0.
    if z > 0.0:
        return -z - 2.0 * math.log1p(math.exp(-z))
    return z - 2.0 * math.log1p(math.exp(z))


@dataclasses.dataclass(frozen=True)
class Laplace(LocationScale):
    """`scipy.stats.laplace`: density exp(-|z|) / 2, z = (x - loc) / scale; the slope at its peak is 0."""

    loc: Any = 0.0
    scale: Any = 1.0

    def _logpdf(self, z):
        return -abs(z) - 0.6931471805599453  # log 2

    def _cdf(self, z):
        if z < 0.0:
            return 0.5 * math.exp(z)
        return 1.0 - 0.5 * math.exp(-z)

    def _sf(self, z):
        return self._cdf(-z)

    def _logcdf(self, z):
        if z < 0.0:
            return z - 0.6931471805599453
        return math.log1p(-0.5 * math.exp(-z))

    def _logsf(self, z):
        return self._logcdf(-z)

    def _quantile(self, q):
        if q < 0.5:
            return log(2.0 * q)
        return -log(2.0 * (1.0 - q))

    def _isf(self, q):
        return -self._quantile(q)

    def _mean(self):
        return 0.0

    def _variance(self):
        return 2.0

    def _entropy(self):
        return 1.6931471805599454


@dataclasses.dataclass(frozen=True)
class Gumbel(LocationScale):
    """`scipy.stats.gumbel_r`: cdf exp(-exp(-z)), z = (x - loc) / scale."""

    loc: Any = 0.0
    scale: Any = 1.0

    def _logpdf(self, z):
        return gumbel_logcdf(z) - z if z > -700.0 else gumbel_logcdf(z)

    def _cdf(self, z):
        return math.exp(gumbel_logcdf(z))

    def _sf(self, z):
        return -math.expm1(gumbel_logcdf(z))

    def _logcdf(self, z):
        return gumbel_logcdf(z)

    def _logsf(self, z):
        return gumbel_logsf(z)

    def _quantile(self, q):
        return -log(-log(q))

    def _isf(self, q):
        return gumbel_isf(q)

    def _mean(self):
        return 0.5772156649015329

    def _variance(self):
        return 1.6449340668482264  # π² / 6

    def _entropy(self):
        return 1.5772156649015329


def gumbel_logcdf(y):
    if y < -709.0:
        return -math.inf
    return -math.exp(-y)


def gumbel_logsf(y):
    if y > 36.0:  # log(1 - exp(-t)) = log t - t / 2 + ...
        return -y - 0.5 * math.exp(-y)
    return log1mexp(-gumbel_logcdf(y))


def gumbel_isf(q):
    if q == 1.0:
        return -math.inf
    return -log(-math.log1p(-q))
