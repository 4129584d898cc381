"""Distributions made of others, which may be of any class with the methods that are asked for."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff._magnitude import magnitude
from fwddiff.stats._base import Distribution
from fwddiff.stats._counts import log_not
from fwddiff.stats._elementary import exp, log1mexp, log_sum, shifted


@dataclasses.dataclass(frozen=True)
class ZeroInflated(Distribution):
    """0 with probability p, else a value of `distribution`, which has no negative ones.

    Of counts, `pmf(0)` has both parts. Of a density, `logpdf(0)` is the logarithm of the probability p.
    """

    distribution: Any
    p: Any

    _needs: ClassVar[str] = "0 <= p <= 1"

    def _valid(self) -> bool:
        return 0.0 <= self.p <= 1.0

    def logpmf(self, k: Any) -> Any:
        if not self._valid():
            return math.nan
        rest = shifted(self.distribution.logpmf(k), log_not(self.p))
        return log_sum(math.log(self.p), rest) if k == 0.0 and self.p > 0.0 else rest

    def pmf(self, k: Any) -> Any:
        return exp(self.logpmf(k))

    def logpdf(self, x: Any) -> Any:
        if not self._valid():
            return math.nan
        if x == 0.0 and self.p > 0.0:
            return math.log(self.p)
        return shifted(self.distribution.logpdf(x), log_not(self.p))

    def pdf(self, x: Any) -> Any:
        return exp(self.logpdf(x))

    def cdf(self, x: Any) -> Any:
        if not self._valid():
            return math.nan
        return 0.0 if x < 0.0 else self.p + (1.0 - self.p) * self.distribution.cdf(x)

    def sf(self, x: Any) -> Any:
        if not self._valid():
            return math.nan
        return 1.0 if x < 0.0 else (1.0 - self.p) * self.distribution.sf(x)

    def logcdf(self, x: Any) -> Any:
        if not self._valid():
            return math.nan
        if x < 0.0:
            return -math.inf
        above = (1.0 - self.p) * self.distribution.sf(x)
        if above < 0.5:
            return math.log1p(-above)
        rest = shifted(self.distribution.logcdf(x), log_not(self.p))
        return log_sum(math.log(self.p), rest) if self.p > 0.0 else rest

    def logsf(self, x: Any) -> Any:
        if not self._valid():
            return math.nan
        return 0.0 if x < 0.0 else shifted(self.distribution.logsf(x), log_not(self.p))

    def quantile(self, q: Any) -> Any:
        if not (self._valid() and 0.0 <= q <= 1.0):
            return math.nan
        return 0.0 if q <= self.p else self.distribution.quantile((q - self.p) / (1.0 - self.p))

    def mean(self) -> Any:
        return (1.0 - self.p) * self.distribution.mean() if self._valid() else math.nan

    def variance(self) -> Any:
        if not self._valid():
            return math.nan
        mean = self.distribution.mean()
        return (1.0 - self.p) * (self.distribution.variance() + self.p * mean * mean)


def log_mass(distribution, lower, upper):
    """log P(lower < X <= upper), from the side where both are small; bounds may be infinite."""
    if lower >= upper:
        return -math.inf
    if lower == -math.inf:
        return distribution.logcdf(upper) if upper < math.inf else 0.0
    if upper == math.inf:
        return distribution.logsf(lower)
    below = distribution.logcdf(lower)
    if below > -0.7:
        above = distribution.logsf(lower)
        return above + log1mexp(above - distribution.logsf(upper))
    within = distribution.logcdf(upper)
    return within + log1mexp(within - below)


@dataclasses.dataclass(frozen=True)
class Truncated(Distribution):
    """`distribution` given lower < X <= upper: `Truncated(Poisson(mu), 0.0)` has no zeros."""

    distribution: Any
    lower: Any = -math.inf
    upper: Any = math.inf

    _needs: ClassVar[str] = "lower < upper"

    def _valid(self) -> bool:
        return self.lower < self.upper

    def _inside(self, x):
        return self.lower < x <= self.upper

    def _log_total(self):
        return log_mass(self.distribution, self.lower, self.upper)

    def logpdf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        return shifted(self.distribution.logpdf(x), -self._log_total()) if self._inside(x) else -math.inf

    def pdf(self, x: Any) -> Any:
        return exp(self.logpdf(x))

    def logpmf(self, k: Any) -> Any:
        if not self._valid() or k != k:
            return math.nan
        return shifted(self.distribution.logpmf(k), -self._log_total()) if self._inside(k) else -math.inf

    def pmf(self, k: Any) -> Any:
        return exp(self.logpmf(k))

    def cdf(self, x: Any) -> Any:
        return exp(self.logcdf(x))

    def sf(self, x: Any) -> Any:
        return exp(self.logsf(x))

    def logcdf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        if not self.lower < x < self.upper:
            return -math.inf if x <= self.lower else 0.0
        total = self._log_total()
        below = log_mass(self.distribution, self.lower, x) - total
        return below if below < -0.7 else log1mexp(total - log_mass(self.distribution, x, self.upper))

    def logsf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        if not self.lower < x < self.upper:
            return 0.0 if x <= self.lower else -math.inf
        total = self._log_total()
        above = log_mass(self.distribution, x, self.upper) - total
        return above if above < -0.7 else log1mexp(total - log_mass(self.distribution, self.lower, x))

    def quantile(self, q: Any) -> Any:
        if not (self._valid() and 0.0 <= q <= 1.0):
            return math.nan
        below = self.distribution.cdf(self.lower) if self.lower > -math.inf else 0.0
        if below < 0.5:
            within = self.distribution.cdf(self.upper) if self.upper < math.inf else 1.0
            return self.distribution.quantile((1.0 - q) * below + q * within)
        above = self.distribution.sf(self.upper) if self.upper < math.inf else 0.0
        return self.distribution.isf((1.0 - q) * self.distribution.sf(self.lower) + q * above)


@dataclasses.dataclass(frozen=True)
class Censored(Distribution):
    """`distribution` seen through a window: what is below `lower` is `lower`, above `upper` `upper`.

    At and beyond the bounds `logpdf` (of counts `logpmf`) is the logarithm of the probability to be there.
    """

    distribution: Any
    lower: Any = -math.inf
    upper: Any = math.inf

    _needs: ClassVar[str] = "lower < upper"

    def _valid(self) -> bool:
        return self.lower < self.upper

    def logpdf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        if x <= self.lower:
            return self.distribution.logcdf(self.lower)
        if x >= self.upper:
            return self.distribution.logsf(self.upper)
        return self.distribution.logpdf(x)

    def pdf(self, x: Any) -> Any:
        return exp(self.logpdf(x))

    def logpmf(self, k: Any) -> Any:
        if not self._valid() or k != k:
            return math.nan
        if k <= self.lower:
            return self.distribution.logcdf(self.lower)
        if k >= self.upper:
            return self.distribution.logsf(self.upper - 1.0)
        return self.distribution.logpmf(k)

    def pmf(self, k: Any) -> Any:
        return exp(self.logpmf(k))

    def cdf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        if x < self.lower or x >= self.upper:
            return 0.0 if x < self.lower else 1.0
        return self.distribution.cdf(x)

    def sf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        if x < self.lower or x >= self.upper:
            return 1.0 if x < self.lower else 0.0
        return self.distribution.sf(x)

    def logcdf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        if x < self.lower or x >= self.upper:
            return -math.inf if x < self.lower else 0.0
        return self.distribution.logcdf(x)

    def logsf(self, x: Any) -> Any:
        if not self._valid() or x != x:
            return math.nan
        if x < self.lower or x >= self.upper:
            return 0.0 if x < self.lower else -math.inf
        return self.distribution.logsf(x)

    def quantile(self, q: Any) -> Any:
        if not (self._valid() and 0.0 <= q <= 1.0):
            return math.nan
        x = self.distribution.quantile(q)
        if x <= self.lower:
            return self.lower
        return self.upper if x >= self.upper else x


@dataclasses.dataclass(frozen=True)
class Mixture(Distribution):
    """A value of `components[i]` with probability `weights[i]`; both are tuples.

    Kernels take components of one class; a mixture of several classes runs as Python, slowly.
    Weights are taken as they are: where they do not add up to 1 (`validate=True` asks), nor do densities.
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

    def logpdf(self, x: Any) -> Any:
        total = -math.inf
        for weight, component in zip(self.weights, self.components, strict=False):
            if weight != 0.0:
                total = log_sum(total, shifted(component.logpdf(x), math.log(weight)))
        return total

    def pdf(self, x: Any) -> Any:
        return exp(self.logpdf(x))

    def logpmf(self, k: Any) -> Any:
        total = -math.inf
        for weight, component in zip(self.weights, self.components, strict=False):
            if weight != 0.0:
                total = log_sum(total, shifted(component.logpmf(k), math.log(weight)))
        return total

    def pmf(self, k: Any) -> Any:
        return exp(self.logpmf(k))

    def cdf(self, x: Any) -> Any:
        total = 0.0
        for weight, component in zip(self.weights, self.components, strict=False):
            total = total + weight * component.cdf(x)
        return total

    def sf(self, x: Any) -> Any:
        total = 0.0
        for weight, component in zip(self.weights, self.components, strict=False):
            total = total + weight * component.sf(x)
        return total

    def logcdf(self, x: Any) -> Any:
        above = self.sf(x)
        if above < 0.5:
            return math.log1p(-above)
        total = -math.inf
        for weight, component in zip(self.weights, self.components, strict=False):
            if weight != 0.0:
                total = log_sum(total, shifted(component.logcdf(x), math.log(weight)))
        return total

    def logsf(self, x: Any) -> Any:
        below = self.cdf(x)
        if below < 0.5:
            return math.log1p(-below)
        total = -math.inf
        for weight, component in zip(self.weights, self.components, strict=False):
            if weight != 0.0:
                total = log_sum(total, shifted(component.logsf(x), math.log(weight)))
        return total

    def quantile(self, q: Any) -> Any:
        """By Newton's method on the cdf, kept between the quantiles of the components; of densities alone."""
        if not 0.0 <= q <= 1.0:
            return math.nan
        low, high = math.inf, -math.inf
        for component in self.components:
            x = component.quantile(q)
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
        total = 0.0
        for weight, component in zip(self.weights, self.components, strict=False):
            total = total + weight * component.mean()
        return total

    def variance(self) -> Any:
        mean, total = self.mean(), 0.0
        for weight, component in zip(self.weights, self.components, strict=False):
            distance = component.mean() - mean
            total = total + weight * (component.variance() + distance * distance)
        return total
