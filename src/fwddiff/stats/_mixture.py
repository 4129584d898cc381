"""Mixtures of distributions, which may be of several classes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff._each import each
from fwddiff._magnitude import magnitude
from fwddiff.stats._base import Distribution
from fwddiff.stats._elementary import exp, log


@dataclasses.dataclass(frozen=True)
class Mixture(Distribution):
    """A value of `components[i]` with probability `weights[i]`; both are tuples.

    Weights are taken as they are: where they do not add up to 1 (`validate=True` asks), nor do densities.
    A negative weight gives nan.
    """

    weights: Any
    components: Any

    _needs: ClassVar[str] = "weights >= 0 that add up to 1, one per component"

    def _valid(self) -> bool:
        total, count = 0.0, 0
        for weight in self.weights:
            if not weight >= 0.0:
                return False
            total = total + weight
            count = count + 1
        return count == len(self.components) and abs(total - 1.0) < 1e-6

    def _mean_of(self, numbers: Any) -> Any:
        """Of one number for each component."""
        total = 0.0
        for weight, number in zip(self.weights, numbers, strict=False):
            if not weight >= 0.0:
                return math.nan
            total = total + weight * number
        return total

    def _log_mean_of(self, logarithms: Any) -> Any:
        """Logarithm of the mean, with slopes in weights that are 0."""
        largest = -math.inf
        for logarithm in logarithms:
            if logarithm != logarithm:
                return math.nan
            largest = max(largest, logarithm)
        if abs(largest) == math.inf:
            return -math.inf if largest < 0.0 else math.inf
        total = 0.0
        for weight, logarithm in zip(self.weights, logarithms, strict=False):
            if not weight >= 0.0:
                return math.nan
            if logarithm > -math.inf:
                total = total + weight * math.exp(logarithm - largest)
        return largest + log(total)

    def logpdf(self, x: Any) -> Any:
        return self._log_mean_of(each(self.components, "logpdf", x))

    def pdf(self, x: Any) -> Any:
        return exp(self.logpdf(x))

    def logpmf(self, k: Any) -> Any:
        return self._log_mean_of(each(self.components, "logpmf", k))

    def pmf(self, k: Any) -> Any:
        return exp(self.logpmf(k))

    def cdf(self, x: Any) -> Any:
        return self._mean_of(each(self.components, "cdf", x))

    def sf(self, x: Any) -> Any:
        return self._mean_of(each(self.components, "sf", x))

    def logcdf(self, x: Any) -> Any:
        above = self.sf(x)
        if above < 0.5:
            return math.log1p(-above)
        return self._log_mean_of(each(self.components, "logcdf", x))

    def logsf(self, x: Any) -> Any:
        below = self.cdf(x)
        if below < 0.5:
            return math.log1p(-below)
        return self._log_mean_of(each(self.components, "logsf", x))

    def quantile(self, q: Any) -> Any:
        """By Newton's method on the cdf, kept between the quantiles of the components; of densities alone."""
        if not 0.0 <= q <= 1.0:
            return math.nan
        low, high = math.inf, -math.inf
        for x in each(self.components, "quantile", q):
            low, high = min(low, x), max(high, x)
        x = 0.5 * (low + high) if low < high else low
        for _ in range(100):
            if abs(x) == math.inf:
                break
            value = self.cdf(x)
            if value < q:
                low = x
            else:
                high = x
            step = (q - value) / self.pdf(x)
            if not low <= x + step <= high:
                step = 0.5 * (low + high) - x
            x = x + step
            if magnitude(step, x) <= 1e-14:
                break
        return x

    def mean(self) -> Any:
        return self._mean_of(each(self.components, "mean"))

    def variance(self) -> Any:
        mean, total = self.mean(), 0.0
        means, variances = each(self.components, "mean"), each(self.components, "variance")
        for weight, own, variance in zip(self.weights, means, variances, strict=False):
            total = total + weight * (variance + (own - mean) * (own - mean))
        return total
