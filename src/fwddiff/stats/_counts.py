"""Distributions of counts. Derivatives are those with respect to parameters: whole numbers have none.

Probabilities are in the form of C. Loader, Fast and accurate computation of binomial probabilities (2000).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

from fwddiff._magnitude import magnitude
from fwddiff.special import (
    betainc,
    betaincc,
    gammainc,
    gammaincc,
    log_betainc,
    log_betaincc,
    log_gammainc,
    log_gammaincc,
    log_gammastar,
)
from fwddiff.stats._base import Distribution
from fwddiff.stats._elementary import deviance, exp, floor, log


class Counts(Distribution):
    """A distribution of whole numbers from 0 to `_last()`.

    The methods with an underscore are called with valid parameters and whole numbers of that range alone.
    Quantiles are whole numbers: their derivatives are 0.
    """

    if TYPE_CHECKING:

        def _valid(self) -> bool: ...
        def _logpmf(self, k: Any) -> Any: ...
        def _cdf(self, k: Any) -> Any: ...
        def _sf(self, k: Any) -> Any: ...
        def _logcdf(self, k: Any) -> Any: ...
        def _logsf(self, k: Any) -> Any: ...
        def mean(self) -> Any: ...

    def _last(self) -> Any:
        return math.inf

    def logpmf(self, k: Any) -> Any:
        """Logarithm of the probability of k; the constant -inf where k is no possible value."""
        n = floor(k)
        if not self._valid() or k != k:
            return math.nan
        if n != k or n < 0.0 or n > self._last() or n == math.inf:
            return -math.inf
        return self._logpmf(n)

    def pmf(self, k: Any) -> Any:
        """Probability of k."""
        return exp(self.logpmf(k))

    def cdf(self, k: Any) -> Any:
        """Probability of a value up to k."""
        n = floor(k)
        if not self._valid() or k != k:
            return math.nan
        if n < 0.0 or n >= self._last():
            return 0.0 if n < 0.0 else 1.0
        return self._cdf(n)

    def sf(self, k: Any) -> Any:
        """Probability of a value above k, with all digits where it is small."""
        n = floor(k)
        if not self._valid() or k != k:
            return math.nan
        if n < 0.0 or n >= self._last():
            return 1.0 if n < 0.0 else 0.0
        return self._sf(n)

    def logcdf(self, k: Any) -> Any:
        """Logarithm of `cdf(k)`, with all digits in both tails."""
        n = floor(k)
        if not self._valid() or k != k:
            return math.nan
        if n < 0.0 or n >= self._last():
            return -math.inf if n < 0.0 else 0.0
        return self._logcdf(n)

    def logsf(self, k: Any) -> Any:
        """Logarithm of `sf(k)`, with all digits in both tails."""
        n = floor(k)
        if not self._valid() or k != k:
            return math.nan
        if n < 0.0 or n >= self._last():
            return 0.0 if n < 0.0 else -math.inf
        return self._logsf(n)

    def quantile(self, q: Any) -> Any:
        """The least k with `cdf(k) >= q`, for q = 0 that is -1 as in SciPy; nan unless 0 <= q <= 1."""
        if not (self._valid() and 0.0 <= q <= 1.0):
            return math.nan
        if q == 0.0 or q == 1.0:
            return -1.0 if q == 0.0 else self._last()
        low, high = -1.0, self._first_guess()
        while self.cdf(high) < q:
            low, high = high, 2.0 * high + 1.0
        while high - low > 1.0:
            middle = floor(0.5 * (low + high))
            if self.cdf(middle) < q:
                low = middle
            else:
                high = middle
        return high

    def isf(self, q: Any) -> Any:
        """The least k with `sf(k) <= q`, for q = 1 that is -1; nan unless 0 <= q <= 1."""
        if not (self._valid() and 0.0 <= q <= 1.0):
            return math.nan
        if q == 0.0 or q == 1.0:
            return -1.0 if q == 1.0 else self._last()
        low, high = -1.0, self._first_guess()
        while self.sf(high) > q:
            low, high = high, 2.0 * high + 1.0
        while high - low > 1.0:
            middle = floor(0.5 * (low + high))
            if self.sf(middle) > q:
                low = middle
            else:
                high = middle
        return high

    def _first_guess(self):
        return floor(self.mean())

    def entropy(self) -> Any:
        """Entropy in nats, as a sum over all values but those with probability below 1e-18."""
        if not self._valid():
            return math.nan
        k, last, total = max(self.quantile(1e-18), 0.0), self.isf(1e-18), 0.0
        while k <= last:
            logarithm = self.logpmf(k)
            if logarithm > -math.inf:
                total = total - math.exp(logarithm) * logarithm
            k = k + 1.0
        return total


def log_not(p):
    """log(1 - p), -inf at 1."""
    return math.log1p(-p) if p < 1.0 else -math.inf


@dataclasses.dataclass(frozen=True)
class Poisson(Counts):
    """`scipy.stats.poisson`: probabilities mu^k exp(-mu) / k!."""

    mu: Any

    _needs: ClassVar[str] = "0 <= mu < inf"

    def _valid(self) -> bool:
        return 0.0 <= self.mu < math.inf

    def _logpmf(self, k):
        if k == 0.0:
            return -self.mu
        if self.mu == 0.0:
            return -math.inf
        return -log_gammastar(k) - deviance(k, self.mu) - 0.5 * math.log(k) - 0.9189385332046727

    def _cdf(self, k):
        return gammaincc(k + 1.0, self.mu)

    def _sf(self, k):
        return gammainc(k + 1.0, self.mu)

    def _logcdf(self, k):
        return log_gammaincc(k + 1.0, self.mu)

    def _logsf(self, k):
        return log_gammainc(k + 1.0, self.mu)

    def mean(self):
        return self.mu if self._valid() else math.nan

    def variance(self):
        return self.mu if self._valid() else math.nan


@dataclasses.dataclass(frozen=True)
class Bernoulli(Counts):
    """`scipy.stats.bernoulli`: 1 with probability p, else 0."""

    p: Any

    _needs: ClassVar[str] = "0 <= p <= 1"

    def _valid(self) -> bool:
        return 0.0 <= self.p <= 1.0

    def _last(self):
        return 1.0

    def _logpmf(self, k):
        return log(self.p) if k == 1.0 else log_not(self.p)

    def _cdf(self, k):
        return 1.0 - self.p

    def _sf(self, k):
        return self.p

    def _logcdf(self, k):
        return log_not(self.p)

    def _logsf(self, k):
        return log(self.p)

    def mean(self):
        return self.p if self._valid() else math.nan

    def variance(self):
        return self.p * (1.0 - self.p) if self._valid() else math.nan


def binomial_logpmf(k, n, p, q):
    """log of n! / (k! (n - k)!) p^k q^(n - k), p + q = 1, for real 0 <= k <= n."""
    if k == 0.0:
        return n * log(q) if n > 0.0 else 0.0
    if k == n:
        return n * log(p)
    if p == 0.0 or q == 0.0:
        return -math.inf
    errors = log_gammastar(n) - log_gammastar(k) - log_gammastar(n - k)
    deviances = deviance(k, n * p) + deviance(n - k, n * q)
    return errors - deviances - 0.5 * (math.log(k / n) + math.log(n - k)) - 0.9189385332046727


@dataclasses.dataclass(frozen=True)
class Binomial(Counts):
    """`scipy.stats.binom`: probabilities n! / (k! (n - k)!) p^k (1 - p)^(n - k); no derivative in n."""

    n: Any
    p: Any

    _needs: ClassVar[str] = "a whole n >= 0, 0 <= p <= 1"

    def _valid(self) -> bool:
        return self.n >= 0.0 and self.n == floor(self.n) and 0.0 <= self.p <= 1.0

    def _last(self):
        return floor(self.n)

    def _logpmf(self, k):
        if k == 0.0:  # 1 - p has lost digits of p
            return self._last() * log_not(self.p) if self.n > 0.0 else 0.0
        return binomial_logpmf(k, self._last(), self.p, 1.0 - self.p)

    def _cdf(self, k):
        return betaincc(k + 1.0, self._last() - k, self.p)

    def _sf(self, k):
        return betainc(k + 1.0, self._last() - k, self.p)

    def _logcdf(self, k):
        return log_betaincc(k + 1.0, self._last() - k, self.p)

    def _logsf(self, k):
        return log_betainc(k + 1.0, self._last() - k, self.p)

    def mean(self):
        return self._last() * self.p if self._valid() else math.nan

    def variance(self):
        return self._last() * self.p * (1.0 - self.p) if self._valid() else math.nan


@dataclasses.dataclass(frozen=True)
class NegativeBinomial(Counts):
    """`scipy.stats.nbinom`: probabilities Γ(n + k) / (k! Γ(n)) p^n (1 - p)^k, for real n > 0."""

    n: Any
    p: Any

    _needs: ClassVar[str] = "0 < n < inf, 0 < p <= 1"

    def _valid(self) -> bool:
        return 0.0 < self.n < math.inf and 0.0 < self.p <= 1.0

    def _logpmf(self, k):
        if k == 0.0:
            return self.n * math.log(self.p)
        total = self.n + k
        return binomial_logpmf(k, total, 1.0 - self.p, self.p) + math.log(self.n / total)

    def _cdf(self, k):
        return betainc(self.n, k + 1.0, self.p)

    def _sf(self, k):
        return betaincc(self.n, k + 1.0, self.p)

    def _logcdf(self, k):
        return log_betainc(self.n, k + 1.0, self.p)

    def _logsf(self, k):
        return log_betaincc(self.n, k + 1.0, self.p)

    def mean(self):
        return self.n * (1.0 - self.p) / self.p if self._valid() else math.nan

    def variance(self):
        return self.n * (1.0 - self.p) / (self.p * self.p) if self._valid() else math.nan


@dataclasses.dataclass(frozen=True)
class BetaBinomial(Counts):
    """`scipy.stats.betabinom`: binomial with a probability of `Beta(a, b)`; no derivative in n."""

    n: Any
    a: Any
    b: Any

    _needs: ClassVar[str] = "a whole n >= 0, a > 0, b > 0"

    def _valid(self) -> bool:
        return self.n >= 0.0 and self.n == floor(self.n) and self.a > 0.0 and self.b > 0.0

    def _last(self):
        return floor(self.n)

    def _logpmf(self, k):
        return beta_binomial_logpmf(k, self._last(), self.a, self.b)

    def _is_lower(self, k):
        return k * (self.a + self.b) < self._last() * self.a

    def _log_lower(self, k):
        return beta_binomial_log_lower(k, self._last(), self.a, self.b)

    def _log_upper(self, k):
        return beta_binomial_log_lower(self._last() - k - 1.0, self._last(), self.b, self.a)

    def _cdf(self, k):
        return math.exp(self._log_lower(k)) if self._is_lower(k) else -math.expm1(self._log_upper(k))

    def _sf(self, k):
        return -math.expm1(self._log_lower(k)) if self._is_lower(k) else math.exp(self._log_upper(k))

    def _logcdf(self, k):
        return self._log_lower(k) if self._is_lower(k) else math.log1p(-math.exp(self._log_upper(k)))

    def _logsf(self, k):
        return math.log1p(-math.exp(self._log_lower(k))) if self._is_lower(k) else self._log_upper(k)

    def mean(self):
        return self._last() * self.a / (self.a + self.b) if self._valid() else math.nan

    def variance(self):
        if not self._valid():
            return math.nan
        n, s = self._last(), self.a + self.b
        return n * (self.a / s) * (self.b / s) * ((s + n) / (s + 1.0))


def beta_binomial_logpmf(k, n, a, b):
    """log of n! / (k! (n - k)!) B(k + a, n - k + b) / B(a, b).

    With Stirling's formula in the beta functions this is the binomial one with p = a / (a + b), and what is
    small where a and b are large.
    """
    s = a + b
    p, q, up, down, total = a / s, b / s, k + a, n - k + b, n + a + b
    errors = log_gammastar(up) + log_gammastar(down) - log_gammastar(total)
    errors = errors - (log_gammastar(a) + log_gammastar(b) - log_gammastar(s))
    logs = 0.5 * (math.log(a / up) + math.log(b / down) + math.log(total / s))
    deviances = deviance(up, total * p) + deviance(down, total * q)
    return binomial_logpmf(k, n, p, q) + deviances + logs + errors


def beta_binomial_log_lower(k, n, a, b):
    """log of the probability of 0, …, k: the last term times a sum of ratios of terms."""
    term, total, j = 1.0, 1.0, k
    while j > 0.0:
        term = term * (j * (n - j + b)) / ((n - j + 1.0) * (j - 1.0 + a))
        total = total + term
        j = j - 1.0
        # For a < 1 terms may grow again towards 0.
        if a >= 1.0 and magnitude(term, total) < 1e-20:
            break
    return beta_binomial_logpmf(k, n, a, b) + math.log(total)
