"""Gamma, inverse gamma, chi-squared, beta and Student's t: densities in Loader's form, which keeps all digits
of large shapes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from fwddiff.special import (
    betainc,
    betaincc,
    betainccinv,
    betaincinv,
    digamma,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    log1pmx,
    log_betainc,
    log_betaincc,
    log_gammainc,
    log_gammaincc,
    log_gammastar,
    log_stdtr,
    stdtr,
    stdtrit,
)
from fwddiff.stats._base import LocationScale
from fwddiff.stats._elementary import deviance, log_of_power


def gamma_logpdf(a, z):
    """(a - 1) log z - z - log Γ(a), z >= 0."""
    if z == 0.0:
        return log_of_power(a - 1.0, z)
    if z == math.inf:
        return -math.inf
    # log Γ(a) = (a - 1/2) log a - a + log(2π) / 2 + log_gammastar(a)
    constant = 0.5 * math.log(a) - 0.9189385332046727 - log_gammastar(a)
    return constant - deviance(a, z) - math.log(z)


@dataclasses.dataclass(frozen=True)
class Gamma(LocationScale):
    """`scipy.stats.gamma`: density z^(a-1) exp(-z) / Γ(a), z = (x - loc) / scale >= 0."""

    a: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a > 0, scale > 0"

    def _valid(self) -> bool:
        return 0.0 < self.a < math.inf and self.scale > 0.0

    def _logpdf(self, z):
        return gamma_logpdf(self.a, z) if not z < 0.0 else -math.inf

    def _cdf(self, z):
        return gammainc(self.a, z) if not z < 0.0 else 0.0

    def _sf(self, z):
        return gammaincc(self.a, z) if not z < 0.0 else 1.0

    def _logcdf(self, z):
        return log_gammainc(self.a, z) if not z <= 0.0 else -math.inf

    def _logsf(self, z):
        return log_gammaincc(self.a, z) if not z < 0.0 else 0.0

    def _quantile(self, q):
        return gammaincinv(self.a, q)

    def _isf(self, q):
        return gammainccinv(self.a, q)

    def _mean(self):
        return self.a

    def _variance(self):
        return self.a

    def _entropy(self):
        a = self.a
        # a + log Γ(a) + (1 - a) ψ(a), whose large terms cancel
        return (
            a * (1.0 - digamma(a) + math.log(a))
            + digamma(a)
            - 0.5 * math.log(a)
            + (log_gammastar(a) + 0.9189385332046727 - a)
        )


@dataclasses.dataclass(frozen=True)
class ChiSquared(LocationScale):
    """`scipy.stats.chi2`: the gamma distribution with a = df / 2 and twice the scale."""

    df: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "df > 0, scale > 0"

    def _valid(self) -> bool:
        return 0.0 < self.df < math.inf and self.scale > 0.0

    def _logpdf(self, z):
        if z < 0.0:
            return -math.inf
        return gamma_logpdf(0.5 * self.df, 0.5 * z) - 0.6931471805599453  # log 2

    def _cdf(self, z):
        return gammainc(0.5 * self.df, 0.5 * z) if not z < 0.0 else 0.0

    def _sf(self, z):
        return gammaincc(0.5 * self.df, 0.5 * z) if not z < 0.0 else 1.0

    def _logcdf(self, z):
        return log_gammainc(0.5 * self.df, 0.5 * z) if not z <= 0.0 else -math.inf

    def _logsf(self, z):
        return log_gammaincc(0.5 * self.df, 0.5 * z) if not z < 0.0 else 0.0

    def _quantile(self, q):
        return 2.0 * gammaincinv(0.5 * self.df, q)

    def _isf(self, q):
        return 2.0 * gammainccinv(0.5 * self.df, q)

    def _mean(self):
        return self.df

    def _variance(self):
        return 2.0 * self.df

    def _entropy(self):
        return Gamma(0.5 * self.df)._entropy() + 0.6931471805599453


@dataclasses.dataclass(frozen=True)
class InverseGamma(LocationScale):
    """`scipy.stats.invgamma`: density z^(-a-1) exp(-1/z) / Γ(a), z = (x - loc) / scale > 0."""

    a: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a > 0, scale > 0"

    def _valid(self) -> bool:
        return 0.0 < self.a < math.inf and self.scale > 0.0

    def _logpdf(self, z):
        if z <= 0.0:
            return -math.inf
        return gamma_logpdf(self.a, 1.0 / z) - 2.0 * math.log(z)

    def _cdf(self, z):
        return gammaincc(self.a, 1.0 / z) if not z <= 0.0 else 0.0

    def _sf(self, z):
        return gammainc(self.a, 1.0 / z) if not z <= 0.0 else 1.0

    def _logcdf(self, z):
        return log_gammaincc(self.a, 1.0 / z) if not z <= 0.0 else -math.inf

    def _logsf(self, z):
        return log_gammainc(self.a, 1.0 / z) if not z <= 0.0 else 0.0

    def _quantile(self, q):
        return 1.0 / gammainccinv(self.a, q) if q < 1.0 else math.inf

    def _isf(self, q):
        return 1.0 / gammaincinv(self.a, q) if q > 0.0 else math.inf

    def _mean(self):
        return 1.0 / (self.a - 1.0) if self.a > 1.0 else math.inf

    def _variance(self):
        if self.a <= 2.0:
            return math.inf
        return 1.0 / ((self.a - 1.0) * (self.a - 1.0) * (self.a - 2.0))

    def _entropy(self):
        return Gamma(self.a)._entropy() - 2.0 * digamma(self.a)


def log_beta(a, b):
    """log B(a, b), a, b > 0, by Stirling's formula and its errors."""
    n = a + b
    errors = log_gammastar(a) + log_gammastar(b) - log_gammastar(n)
    logs = a * math.log(a / n) + b * math.log(b / n) - 0.5 * (math.log(a / n) + math.log(b))
    return logs + errors + 0.9189385332046727


def beta_logpdf(a, b, z):
    """(a - 1) log z + (b - 1) log(1 - z) - log B(a, b), 0 < z < 1."""
    n = a + b
    errors = log_gammastar(n) - log_gammastar(a) - log_gammastar(b)
    deviances = deviance(a, n * z) + deviance(b, n * (1.0 - z))
    constant = 0.5 * (math.log(a / n) + math.log(b)) - 0.9189385332046727 + errors
    return constant - deviances - math.log(z) - math.log1p(-z)


@dataclasses.dataclass(frozen=True)
class Beta(LocationScale):
    """`scipy.stats.beta`: density z^(a-1) (1-z)^(b-1) / B(a, b), z = (x - loc) / scale in [0, 1]."""

    a: Any
    b: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a > 0, b > 0, scale > 0"

    def _valid(self) -> bool:
        return 0.0 < self.a < math.inf and 0.0 < self.b < math.inf and self.scale > 0.0

    def _logpdf(self, z):
        if z < 0.0 or z > 1.0:
            return -math.inf
        if z == 0.0:
            return log_of_power(self.a - 1.0, z) - log_beta(self.a, self.b)
        if z == 1.0:
            return log_of_power(self.b - 1.0, 1.0 - z) - log_beta(self.a, self.b)
        return beta_logpdf(self.a, self.b, z)

    def _cdf(self, z):
        if z <= 0.0 or z >= 1.0:
            return 0.0 if z <= 0.0 else 1.0
        return betainc(self.a, self.b, z)

    def _sf(self, z):
        if z <= 0.0 or z >= 1.0:
            return 1.0 if z <= 0.0 else 0.0
        return betaincc(self.a, self.b, z)

    def _logcdf(self, z):
        if z <= 0.0 or z >= 1.0:
            return -math.inf if z <= 0.0 else 0.0
        return log_betainc(self.a, self.b, z)

    def _logsf(self, z):
        if z <= 0.0 or z >= 1.0:
            return 0.0 if z <= 0.0 else -math.inf
        return log_betaincc(self.a, self.b, z)

    def _quantile(self, q):
        return betaincinv(self.a, self.b, q)

    def _isf(self, q):
        return betainccinv(self.a, self.b, q)

    def _mean(self):
        return self.a / (self.a + self.b)

    def _variance(self):
        n = self.a + self.b
        return self.a / n * (self.b / n) / (n + 1.0)

    def _entropy(self):
        a, b, n = self.a, self.b, self.a + self.b
        digammas = (a - 1.0) * digamma(a) + (b - 1.0) * digamma(b) - (n - 2.0) * digamma(n)
        return log_beta(a, b) - digammas


def log_half_step(h):
    """log(Γ(h + 1/2) / (Γ(h) √h)), about -1 / (8 h): the difference of two series of DLMF 5.11.8.

    Below 10 by recurrence, Γ(h + 1/2) / Γ(h) of h + 10 times ten factors, in one logarithm.
    """
    z, shift = h, 0.0
    if h < 10.0:
        z = h + 10.0
        rest = (h + 1.0) * (h + 2.0) * (h + 3.0) * (h + 4.0) * (h + 5.0) * (h + 6.0) * (h + 7.0) * (h + 8.0)
        odd = (h + 0.5) * (h + 1.5) * (h + 2.5) * (h + 3.5) * (h + 4.5) * (h + 5.5) * (h + 6.5) * (h + 7.5)
        rest = rest * (h + 9.0) / (odd * (h + 8.5) * (h + 9.5))
        shift = 0.5 * math.log(z * h * rest * rest)
    u = 1.0 / z
    w = u * u
    tail = 691.0 / 180224 + w * (-5461.0 / 425984 + w * (929569.0 / 15728640 + w * (-3202291.0 / 8912896)))
    return shift + u * (
        -1.0 / 8 + w * (1.0 / 192 + w * (-1.0 / 640 + w * (17.0 / 14336 + w * (-31.0 / 18432 + w * tail))))
    )


def student_logpdf(df, z):
    """log of Γ((df + 1) / 2) / (Γ(df / 2) √(π df)) (1 + z² / df)^(-(df + 1) / 2).

    The power near z² / df = 0 is -z² / 2 and small terms: its derivative in df then has no terms that cancel.
    """
    h = 0.5 * df
    constant = log_half_step(h) - 0.9189385332046727
    w = z * z / df
    logarithm = math.log1p(w)
    if w < 0.3:
        return constant - 0.5 * (z * z + logarithm + df * log1pmx(w))
    if w > 1e100:
        return constant - (h + 0.5) * (2.0 * math.log(abs(z)) - math.log(df))
    return constant - (h + 0.5) * logarithm


@dataclasses.dataclass(frozen=True)
class StudentT(LocationScale):
    """`scipy.stats.t`: density proportional to (1 + z² / df)^(-(df + 1) / 2), z = (x - loc) / scale."""

    df: Any
    loc: Any = 0.0
    scale: Any = 1.0

    _needs: ClassVar[str] = "a finite df > 0, scale > 0"

    def _valid(self) -> bool:
        return 0.0 < self.df < math.inf and self.scale > 0.0

    def _logpdf(self, z):
        return student_logpdf(self.df, z)

    def _cdf(self, z):
        return stdtr(self.df, z)

    def _sf(self, z):
        return stdtr(self.df, -z)

    def _logcdf(self, z):
        return log_stdtr(self.df, z)

    def _logsf(self, z):
        return log_stdtr(self.df, -z)

    def _quantile(self, q):
        return stdtrit(self.df, q)

    def _isf(self, q):
        return -stdtrit(self.df, q)

    def _mean(self):
        return 0.0 if self.df > 1.0 else math.inf

    def _variance(self):
        if self.df <= 2.0:
            return math.inf if self.df > 1.0 else math.nan
        return self.df / (self.df - 2.0)

    def _entropy(self):
        h = 0.5 * self.df
        return (h + 0.5) * (digamma(h + 0.5) - digamma(h)) + 0.5 * math.log(self.df) + log_beta(h, 0.5)
