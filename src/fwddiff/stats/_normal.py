"""The truncated normal distribution, with its tails, and the mass of the normal one between two points."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff.special import log_ndtr, ndtr, ndtri_exp
from fwddiff.stats._base import LocationScale
from fwddiff.stats._elementary import log1mexp, log_sum
from fwddiff.stats._quadrature import node, weight


def normal_logpdf(z):
    return -0.5 * (z * z) - 0.9189385332046727  # log(2π) / 2


def normal_log_mass(a, b):
    """log(Φ(b) - Φ(a)) for a <= b: in a tail from the side where both are small.

    A short interval, where Φ(b) and Φ(a) share their leading digits, by Taylor's series around its middle.
    """
    if a >= b:
        return -math.inf
    middle, width = 0.5 * (a + b), b - a
    if width < 0.03 and width * abs(middle) < 0.03:
        m, w = middle * middle, width * width
        series = w / 24.0 * (m - 1.0) + w * w / 1920.0 * (m * m - 6.0 * m + 3.0)
        return normal_logpdf(middle) + math.log(width) + math.log1p(series)
    if a > 0.0:
        upper, lower = log_ndtr(-a), log_ndtr(-b) if b < math.inf else -math.inf
        return upper + log1mexp(upper - lower)
    if b < 0.0:
        upper, lower = log_ndtr(b), log_ndtr(a) if a > -math.inf else -math.inf
        return upper + log1mexp(upper - lower)
    outside = ndtr(a) if a > -math.inf else 0.0
    return math.log1p(-outside - (ndtr(-b) if b < math.inf else 0.0))


@dataclasses.dataclass(frozen=True)
class TruncatedNormal(LocationScale):
    """`scipy.stats.truncnorm`: standard normal given a <= z <= b, z = (x - loc) / scale.

    As in SciPy, `a` and `b` are bounds of z, not of x; they may be infinite.
    """

    a: Any
    b: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a < b, scale > 0"

    def _valid(self) -> bool:
        return self.a < self.b and self.scale > 0.0

    def _logpdf(self, z):
        if z < self.a or z > self.b:
            return -math.inf
        return normal_logpdf(z) - normal_log_mass(self.a, self.b)

    def _cdf(self, z):
        return math.exp(self._logcdf(z))

    def _sf(self, z):
        return math.exp(self._logsf(z))

    def _logcdf(self, z):
        if not self.a < z < self.b:
            return 0.0 if z >= self.b else (-math.inf if z <= self.a else math.nan)
        total = normal_log_mass(self.a, self.b)
        below = normal_log_mass(self.a, z) - total
        return below if below < -0.7 else log1mexp(total - normal_log_mass(z, self.b))

    def _logsf(self, z):
        if not self.a < z < self.b:
            return -math.inf if z >= self.b else (0.0 if z <= self.a else math.nan)
        total = normal_log_mass(self.a, self.b)
        above = normal_log_mass(z, self.b) - total
        return above if above < -0.7 else log1mexp(total - normal_log_mass(self.a, z))

    def _quantile(self, q):
        return _truncated_quantile(self.a, self.b, q)

    def _isf(self, q):
        return -_truncated_quantile(-self.b, -self.a, q)

    def _ends(self):
        """(φ(a) / mass, φ(b) / mass)"""
        total = normal_log_mass(self.a, self.b)
        low = math.exp(normal_logpdf(self.a) - total) if self.a > -math.inf else 0.0
        high = math.exp(normal_logpdf(self.b) - total) if self.b < math.inf else 0.0
        return low, high

    def _mean(self):
        low, high = self._ends()
        return low - high

    def _moment(self):
        """(a φ(a) - b φ(b)) / mass: the second moment less 1."""
        low, high = self._ends()
        at_a = self.a * low if self.a > -math.inf else 0.0
        at_b = self.b * high if self.b < math.inf else 0.0
        return at_a - at_b

    def _variance(self):
        return _truncated_variance(self.a, self.b)

    def _entropy(self):
        return 1.4189385332046727 + normal_log_mass(self.a, self.b) + 0.5 * self._moment()


def _truncated_quantile(a, b, q):
    """From the side of the lower end unless that lies in the upper tail, where Φ has no digits left."""
    if q == 0.0 or q == 1.0:
        return a if q == 0.0 else b
    total = normal_log_mass(a, b)
    if a < 0.0:
        below = log_ndtr(a) if a > -math.inf else -math.inf
        return ndtri_exp(log_sum(below, math.log(q) + total))
    above = log_ndtr(-b) if b < math.inf else -math.inf
    return -ndtri_exp(log_sum(above, math.log1p(-q) + total))


def _truncated_variance(a, b):
    """∫ (z - mean)² of the density, by quadrature: the closed form cancels in the tails.

    The density falls off from its largest value, at c; 40 e-foldings of it are looked at on either side.
    """
    c = min(max(a, 0.0), b)
    reach = 80.0 / (abs(c) + math.sqrt(c * c + 80.0))  # c reach + reach² / 2 = 40
    low, high = max(a, c - reach), min(b, c + reach)
    total, first, second = 0.0, 0.0, 0.0
    for panel in range(6):
        half = (high - low) / 12.0
        for k in range(16):
            t = low - c + half * (2.0 * panel + 1.0 + node(k))
            p = weight(k) * math.exp(-t * (c + 0.5 * t))
            total = total + p
            first = first + p * t
            second = second + p * t * t
    mean = first / total
    return second / total - mean * mean
