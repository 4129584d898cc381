"""Distributions made of another one, which may be of any class with the methods that are asked for."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

from fwddiff.stats._base import Distribution
from fwddiff.stats._counts import log_not
from fwddiff.stats._elementary import exp, log1mexp, log_sum, shifted


class Combined(Distribution):
    """A distribution made of `distribution`. The methods with an underscore are called with valid parameters
    and numbers alone, `_quantile` between 0 and 1; else the result is nan."""

    if TYPE_CHECKING:

        def _valid(self) -> bool: ...
        def _logpdf(self, x: Any) -> Any: ...
        def _logpmf(self, k: Any) -> Any: ...
        def _cdf(self, x: Any) -> Any: ...
        def _sf(self, x: Any) -> Any: ...
        def _logcdf(self, x: Any) -> Any: ...
        def _logsf(self, x: Any) -> Any: ...
        def _quantile(self, q: Any) -> Any: ...

    def logpdf(self, x: Any) -> Any:
        return self._logpdf(x) if self._valid() and x == x else math.nan

    def pdf(self, x: Any) -> Any:
        return exp(self.logpdf(x))

    def logpmf(self, k: Any) -> Any:
        return self._logpmf(k) if self._valid() and k == k else math.nan

    def pmf(self, k: Any) -> Any:
        return exp(self.logpmf(k))

    def cdf(self, x: Any) -> Any:
        return self._cdf(x) if self._valid() and x == x else math.nan

    def sf(self, x: Any) -> Any:
        return self._sf(x) if self._valid() and x == x else math.nan

    def logcdf(self, x: Any) -> Any:
        return self._logcdf(x) if self._valid() and x == x else math.nan

    def logsf(self, x: Any) -> Any:
        return self._logsf(x) if self._valid() and x == x else math.nan

    def quantile(self, q: Any) -> Any:
        return self._quantile(q) if self._valid() and 0.0 <= q <= 1.0 else math.nan


@dataclasses.dataclass(frozen=True)
class ZeroInflated(Combined):
    """0 with probability p, else a value of `distribution`, which has no negative ones.

    Of counts, `pmf(0)` has both parts. Of a density, `logpdf(0)` is the logarithm of the probability p.
    """

    distribution: Any
    p: Any

    _needs: ClassVar[str] = "0 <= p <= 1"

    def _valid(self) -> bool:
        return 0.0 <= self.p <= 1.0

    def _logpmf(self, k: Any) -> Any:
        rest = shifted(self.distribution.logpmf(k), log_not(self.p))
        return log_sum(math.log(self.p), rest) if k == 0.0 and self.p > 0.0 else rest

    def _logpdf(self, x: Any) -> Any:
        if x == 0.0 and self.p > 0.0:
            return math.log(self.p)
        return shifted(self.distribution.logpdf(x), log_not(self.p))

    def _cdf(self, x: Any) -> Any:
        return 0.0 if x < 0.0 else self.p + (1.0 - self.p) * self.distribution.cdf(x)

    def _sf(self, x: Any) -> Any:
        return 1.0 if x < 0.0 else (1.0 - self.p) * self.distribution.sf(x)

    def _logcdf(self, x: Any) -> Any:
        if x < 0.0:
            return -math.inf
        above = (1.0 - self.p) * self.distribution.sf(x)
        if above < 0.5:
            return math.log1p(-above)
        rest = shifted(self.distribution.logcdf(x), log_not(self.p))
        return log_sum(math.log(self.p), rest) if self.p > 0.0 else rest

    def _logsf(self, x: Any) -> Any:
        return 0.0 if x < 0.0 else shifted(self.distribution.logsf(x), log_not(self.p))

    def _quantile(self, q: Any) -> Any:
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
    return within if below == -math.inf else within + log1mexp(within - below)


@dataclasses.dataclass(frozen=True)
class Truncated(Combined):
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

    def _logpdf(self, x: Any) -> Any:
        return shifted(self.distribution.logpdf(x), -self._log_total()) if self._inside(x) else -math.inf

    def _logpmf(self, k: Any) -> Any:
        return shifted(self.distribution.logpmf(k), -self._log_total()) if self._inside(k) else -math.inf

    def _cdf(self, x: Any) -> Any:
        return exp(self.logcdf(x))

    def _sf(self, x: Any) -> Any:
        return exp(self.logsf(x))

    def _logcdf(self, x: Any) -> Any:
        if not self.lower < x < self.upper:
            return -math.inf if x <= self.lower else 0.0
        total = self._log_total()
        below = log_mass(self.distribution, self.lower, x) - total
        return below if below < -0.7 else log1mexp(total - log_mass(self.distribution, x, self.upper))

    def _logsf(self, x: Any) -> Any:
        if not self.lower < x < self.upper:
            return 0.0 if x <= self.lower else -math.inf
        total = self._log_total()
        above = log_mass(self.distribution, x, self.upper) - total
        return above if above < -0.7 else log1mexp(total - log_mass(self.distribution, self.lower, x))

    def _quantile(self, q: Any) -> Any:
        below = self.distribution.cdf(self.lower) if self.lower > -math.inf else 0.0
        if below < 0.5:
            within = self.distribution.cdf(self.upper) if self.upper < math.inf else 1.0
            return self.distribution.quantile((1.0 - q) * below + q * within)
        above = self.distribution.sf(self.upper) if self.upper < math.inf else 0.0
        return self.distribution.isf((1.0 - q) * self.distribution.sf(self.lower) + q * above)


@dataclasses.dataclass(frozen=True)
class Censored(Combined):
    """`distribution` seen through a window: what is below `lower` is `lower`, above `upper` `upper`.

    At and beyond the bounds `logpdf` (of counts `logpmf`) is the logarithm of the probability to be there.
    """

    distribution: Any
    lower: Any = -math.inf
    upper: Any = math.inf

    _needs: ClassVar[str] = "lower < upper"

    def _valid(self) -> bool:
        return self.lower < self.upper

    def _logpdf(self, x: Any) -> Any:
        if x <= self.lower:
            return self.distribution.logcdf(self.lower)
        if x >= self.upper:
            return self.distribution.logsf(self.upper)
        return self.distribution.logpdf(x)

    def _logpmf(self, k: Any) -> Any:
        if k <= self.lower:
            return self.distribution.logcdf(self.lower)
        if k >= self.upper:
            return self.distribution.logsf(self.upper - 1.0)
        return self.distribution.logpmf(k)

    def _cdf(self, x: Any) -> Any:
        if x < self.lower or x >= self.upper:
            return 0.0 if x < self.lower else 1.0
        return self.distribution.cdf(x)

    def _sf(self, x: Any) -> Any:
        if x < self.lower or x >= self.upper:
            return 1.0 if x < self.lower else 0.0
        return self.distribution.sf(x)

    def _logcdf(self, x: Any) -> Any:
        if x < self.lower or x >= self.upper:
            return -math.inf if x < self.lower else 0.0
        return self.distribution.logcdf(x)

    def _logsf(self, x: Any) -> Any:
        if x < self.lower or x >= self.upper:
            return 0.0 if x < self.lower else -math.inf
        return self.distribution.logsf(x)

    def _quantile(self, q: Any) -> Any:
        x = self.distribution.quantile(q)
        if x <= self.lower:
            return self.lower
        return self.upper if x >= self.upper else x
