"""The von Mises distribution, by quadrature: value and derivatives keep their digits for any kappa."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff._magnitude import magnitude
from fwddiff.stats._base import LocationScale
from fwddiff.stats._elementary import log
from fwddiff.stats._quadrature import node, weight


@dataclasses.dataclass(frozen=True)
class VonMises(LocationScale):
    """`scipy.stats.vonmises`: density exp(kappa cos z) / (2π I₀(kappa)), z = (x - loc) / scale, any real x.

    The density is periodic, of mass 1 on -π <= z <= π, where mean, variance, entropy and quantiles belong.
    As in SciPy the cdf goes on beyond, by 1 per turn; `logcdf` and `logsf` are of what lies between 0 and 1.
    """

    kappa: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "kappa >= 0, scale > 0"

    def _valid(self) -> bool:
        return 0.0 <= self.kappa < math.inf and self.scale > 0.0

    def _logpdf(self, z):
        s = math.sin(0.5 * z)
        return -2.0 * self.kappa * s * s - math.log(2.0 * _tail(self.kappa, 0.0))

    def _log_lower(self, z):
        """log of the cdf for -π <= z <= 0."""
        return self._logpdf(z) + log(_tail(self.kappa, -z))

    def _cdf(self, z):
        if not -math.pi <= z <= math.pi:
            if not abs(z) < math.inf:
                return (1.0 if z > 0.0 else 0.0) if z == z else z
            turns = math.floor(z / (2.0 * math.pi) + 0.5)
            return turns + self._within(z - 2.0 * math.pi * turns)
        return self._within(z)

    def _within(self, z):
        if z > 0.0:
            return -math.expm1(self._log_lower(-z))
        return math.exp(self._log_lower(z))

    def _sf(self, z):
        return self._cdf(-z)

    def _logcdf(self, z):
        if abs(z) >= math.pi:
            return 0.0 if z > 0.0 else -math.inf
        return math.log1p(-math.exp(self._log_lower(-z))) if z > 0.0 else self._log_lower(z)

    def _logsf(self, z):
        return self._logcdf(-z)

    def _quantile(self, q):
        if q > 0.5:
            return -self._lower_quantile(1.0 - q)
        return self._lower_quantile(q)

    def _isf(self, q):
        return -self._quantile(q)

    def _lower_quantile(self, q):
        """For q <= 1/2 by Newton's method on the cdf's logarithm, kept between what is known to be on either
        side."""
        if q == 0.0:
            return -math.pi
        low, high = -math.pi, 0.0
        z = -0.5 * math.pi
        for _ in range(100):
            value = self._log_lower(z)
            if value < math.log(q):
                low = z
            else:
                high = z
            step = (math.log(q) - value) * _tail(self.kappa, -z)  # over the slope, density / cdf
            if not low <= z + step <= high:
                step = 0.5 * (low + high) - z
            z = z + step
            if magnitude(step, z) <= 1e-15:
                break
        return z

    def _mean(self):
        return 0.0

    def _variance(self):
        """Of z on (-π, π], not the circular one."""
        return _moments(self.kappa, True) / _tail(self.kappa, 0.0)

    def _entropy(self):
        # kappa (1 - I₁ / I₀) + log(2π I₀ exp(-kappa))
        return self.kappa * _moments(self.kappa, False) / _tail(self.kappa, 0.0) + math.log(
            2.0 * _tail(self.kappa, 0.0)
        )


def _end(kappa, x):
    """Where exp(kappa cos t) has fallen by 40 e-foldings from where it is at x, at most π."""
    c = math.cos(x) - 40.0 / kappa if kappa > 0.0 else -1.0
    return math.acos(c) if c > -1.0 else math.pi


def _tail(kappa, x):
    """∫ exp(kappa (cos t - cos x)) dt from x to π, 0 <= x <= π; for x = 0 it is π I₀(kappa) exp(-kappa)."""
    half = 0.1 * (_end(kappa, x) - x)
    total = 0.0
    for panel in range(5):
        for k in range(16):
            t = half * (2.0 * panel + 1.0 + node(k))
            s = math.sin(0.5 * t) * math.sin(x + 0.5 * t)  # (cos x - cos(x + t)) / 2
            total = total + weight(k) * math.exp(-2.0 * kappa * s)
    return half * total


def _moments(kappa, square):
    """∫ of t² or 1 - cos t, times exp(kappa (cos t - 1)), from 0 to π."""
    half = 0.1 * _end(kappa, 0.0)
    total = 0.0
    for panel in range(5):
        for k in range(16):
            t = half * (2.0 * panel + 1.0 + node(k))
            s = math.sin(0.5 * t)
            factor = t * t if square else 2.0 * s * s
            total = total + weight(k) * factor * math.exp(-2.0 * kappa * s * s)
    return half * total
