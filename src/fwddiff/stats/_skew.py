"""The skew normal distribution. Its cdf is known for the lower half-line; the rest is symmetry."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff._magnitude import magnitude
from fwddiff.special import log_ndtr, ndtr, ndtri, owens_t
from fwddiff.stats._base import LocationScale
from fwddiff.stats._normal import normal_logpdf
from fwddiff.stats._quadrature import node, weight


@dataclasses.dataclass(frozen=True)
class SkewNormal(LocationScale):
    """`scipy.stats.skewnorm`: density 2 φ(z) Φ(a z), z = (x - loc) / scale. Azzalini (1985)."""

    a: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a finite a, scale > 0"

    def _valid(self) -> bool:
        return abs(self.a) < math.inf and self.scale > 0.0

    def _logpdf(self, z):
        return 0.6931471805599453 + normal_logpdf(z) + log_ndtr(self.a * z)

    def _cdf(self, z):
        if z > 0.0:
            return -math.expm1(skew_log_lower(-z, -self.a))
        return math.exp(skew_log_lower(z, self.a))

    def _sf(self, z):
        if z < 0.0:
            return -math.expm1(skew_log_lower(z, self.a))
        return math.exp(skew_log_lower(-z, -self.a))

    def _logcdf(self, z):
        if z > 0.0:
            return math.log1p(-math.exp(skew_log_lower(-z, -self.a)))
        return skew_log_lower(z, self.a)

    def _logsf(self, z):
        if z < 0.0:
            return math.log1p(-math.exp(skew_log_lower(z, self.a)))
        return skew_log_lower(-z, -self.a)

    def _quantile(self, q):
        return _skew_quantile(q, self.a)

    def _isf(self, q):
        return -_skew_quantile(q, -self.a)

    def _slant(self):
        """√(2/π) a / √(1 + a²), the mean."""
        return 0.7978845608028654 * self.a / math.hypot(1.0, self.a)

    def _mean(self):
        return self._slant()

    def _variance(self):
        return 1.0 - self._slant() * self._slant()

    def _entropy(self):
        """The normal one and -∫ 2 φ(z) Φ(a z) log(2 Φ(a z)) dz, folded to z >= 0."""
        rest, edge = 0.0, 0.0
        for panel in range(12):
            end = 9.0 * 0.3 ** (11.0 - panel)  # Φ(a z) changes where z is about 1 / a
            half = 0.5 * (end - edge)
            for k in range(16):
                z = edge + half * (1.0 + node(k))
                up, down = log_ndtr(self.a * z), log_ndtr(-self.a * z)
                terms = math.exp(up) * (up + 0.6931471805599453) + math.exp(down) * (
                    down + 0.6931471805599453
                )
                rest = rest + half * weight(k) * 2.0 * math.exp(normal_logpdf(z)) * terms
            edge = end
        return 1.4189385332046727 - rest


def skew_log_lower(w, a):
    """log F(w; a) for w <= 0, where F is the cdf of slant a, in one of three ways that have no cancellation:

    * |a w| > 1: F(w; |a|) = 1/π ∫ exp(-w² (1 + u²) / 2) / (1 + u²) du over u > |a|, and F(w; a) + F(w; -a)
      = 2 Φ(w).
    * far out: F(w; a) = 2 φ(w) ∫ exp(w s - s² / 2) Φ(a (w - s)) ds over s > 0.
    * else Φ(w) - 2 T(w, a) with Owen's T function.
    """
    if w == -math.inf:
        return w
    if abs(a * w) > 1.0:
        steep = _log_steep(w, abs(a))
        if a > 0.0:
            return steep
        return log_ndtr(w) + math.log(2.0 - math.exp(steep - log_ndtr(w)))
    if w < -3.0:
        return _log_far(w, a)
    return math.log(ndtr(w) - 2.0 * owens_t(w, a))


def _log_steep(w, a):
    """By u = a + t / (w² a): the integrand is analytic in |t| < (a w)² and below exp(-t)."""
    square = a * w * (a * w)
    total, edge = 0.0, 0.0
    for panel in range(5):
        end = (1.5, 4.0, 9.0, 18.0, 40.0)[panel]
        half = 0.5 * (end - edge)
        for k in range(16):
            t = edge + half * (1.0 + node(k))
            u = a * (1.0 + t / square)
            total = total + half * weight(k) * math.exp(-t - 0.5 * t * t / square) / (1.0 + u * u)
        edge = end
    return math.log(a / square * total / math.pi) - 0.5 * (w * w + square)


def _log_far(w, a):
    total, edge = 0.0, 0.0
    for panel in range(5):
        end = (1.5, 4.0, 9.0, 18.0, 40.0)[panel]
        half = 0.5 * (end - edge)
        for k in range(16):
            t = edge + half * (1.0 + node(k))
            s = -t / w
            total = total + half * weight(k) * math.exp(-t - 0.5 * s * s) * ndtr(a * (w - s))
        edge = end
    return 0.6931471805599453 + normal_logpdf(w) + math.log(total / -w)


def _skew_quantile(q, a):
    """By Newton's method on log F, whose steps stay left of the root of this concave function."""
    if q > 0.5:
        return -_skew_lower_quantile(1.0 - q, -a)
    return _skew_lower_quantile(q, a)


def _skew_lower_quantile(q, a):
    if q == 0.0:
        return -math.inf
    skew = SkewNormal(a)
    z = ndtri(0.5 * q)  # F(z; a) <= 2 Φ(z)
    for _ in range(60):
        step = (math.log(q) - skew._logcdf(z)) / math.exp(skew._logpdf(z) - skew._logcdf(z))
        z = z + step
        if magnitude(step, z) <= 1e-14:
            break
    return z
