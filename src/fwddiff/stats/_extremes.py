"""Generalised Pareto and extreme value distributions: smooth where their shape goes through zero."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff.special import exprel, lgamma1p
from fwddiff.stats._base import LocationScale
from fwddiff.stats._elementary import (
    exp,
    lgamma1p_difference,
    lgamma1p_ratio,
    log,
    log1mexp,
    log1p_ratio,
)
from fwddiff.stats._real import gumbel_isf, gumbel_logcdf, gumbel_logsf


@dataclasses.dataclass(frozen=True)
class GeneralizedPareto(LocationScale):
    """`scipy.stats.genpareto`: survival function (1 + c z)^(-1/c), exp(-z) for c = 0; z = (x - loc) / scale.

    Support: z >= 0, and z <= -1/c where c < 0.
    """

    c: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a finite c, scale > 0"

    def _valid(self) -> bool:
        return abs(self.c) < math.inf and self.scale > 0.0

    def _hazard(self, z):
        """-log of the survival function, for z >= 0; inf from the end of the support on."""
        if self.c * z <= -1.0:
            return math.inf
        return z * log1p_ratio(self.c * z) if z < math.inf else z

    def _logpdf(self, z):
        if z < 0.0 or self.c * z < -1.0:
            return -math.inf
        if self.c * z == -1.0:  # the end of the support
            return 0.0 if self.c == -1.0 else (-math.inf if self.c > -1.0 else math.inf)
        return -(1.0 + self.c) * self._hazard(z)

    def _cdf(self, z):
        return -math.expm1(-self._hazard(z)) if not z < 0.0 else 0.0

    def _sf(self, z):
        return math.exp(-self._hazard(z)) if not z < 0.0 else 1.0

    def _logcdf(self, z):
        return log1mexp(self._hazard(z)) if not z < 0.0 else -math.inf

    def _logsf(self, z):
        return -self._hazard(z) if not z < 0.0 else 0.0

    def _of_hazard(self, h):
        if h == math.inf:
            return -1.0 / self.c if self.c < 0.0 else math.inf
        return h * exprel(self.c * h)

    def _quantile(self, q):
        return self._of_hazard(-math.log1p(-q)) if q < 1.0 else self._of_hazard(math.inf)

    def _isf(self, q):
        return self._of_hazard(-log(q))

    def _mean(self):
        return 1.0 / (1.0 - self.c) if self.c < 1.0 else math.inf

    def _variance(self):
        if self.c >= 0.5:
            return math.inf
        return 1.0 / ((1.0 - self.c) * (1.0 - self.c) * (1.0 - 2.0 * self.c))

    def _entropy(self):
        return 1.0 + self.c


@dataclasses.dataclass(frozen=True)
class GeneralizedExtremeValue(LocationScale):
    """`scipy.stats.genextreme`, with its sign of the shape: cdf exp(-(1 - c z)^(1/c)), Gumbel's for c = 0.

    Support: c z <= 1, z = (x - loc) / scale.
    """

    c: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a finite c, scale > 0"

    def _valid(self) -> bool:
        return abs(self.c) < math.inf and self.scale > 0.0

    def _gumbel(self, z):
        """The value of a Gumbel variable where this one is z, of the same cdf."""
        if self.c * z >= 1.0:
            return math.inf if self.c > 0.0 else -math.inf
        return z * log1p_ratio(-self.c * z) if abs(z) < math.inf else z

    def _logpdf(self, z):
        if self.c * z > 1.0:
            return -math.inf
        if self.c * z == 1.0:
            return _at_end(self.c)
        y = self._gumbel(z)
        return gumbel_logcdf(y) - (1.0 - self.c) * y if y > -700.0 else gumbel_logcdf(y)

    def _cdf(self, z):
        return math.exp(gumbel_logcdf(self._gumbel(z)))

    def _sf(self, z):
        return -math.expm1(gumbel_logcdf(self._gumbel(z)))

    def _logcdf(self, z):
        return gumbel_logcdf(self._gumbel(z))

    def _logsf(self, z):
        return gumbel_logsf(self._gumbel(z))

    def _of_gumbel(self, y):
        if abs(y) == math.inf:
            return 1.0 / self.c if self.c * y > 0.0 else y
        return y * exprel(-self.c * y)

    def _quantile(self, q):
        return self._of_gumbel(-log(-log(q)))

    def _isf(self, q):
        return self._of_gumbel(gumbel_isf(q))

    def _mean(self):
        if self.c <= -1.0:
            return math.inf
        # (1 - Γ(1 + c)) / c
        return -exprel(lgamma1p(self.c)) * lgamma1p_ratio(self.c)

    def _variance(self):
        if self.c <= -0.5:
            return math.inf
        # (Γ(1 + 2c) - Γ(1 + c)²) / c²
        c = self.c
        difference = lgamma1p_difference(c)
        return exp(2.0 * lgamma1p(c)) * exprel(c * c * difference) * difference

    def _entropy(self):
        return 1.5772156649015329 - 0.5772156649015329 * self.c


def _at_end(c):
    """The log-density where c z = 1, from (1 - c z)^(1/c - 1): only c = 1 has a finite one."""
    if c == 1.0:
        return 0.0
    return math.inf if c > 1.0 else -math.inf
