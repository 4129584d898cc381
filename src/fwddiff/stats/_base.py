"""What distributions share: construction with a check on request, location and scale, densities from logs."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

from fwddiff._classes import checks_only
from fwddiff.stats._elementary import exp, shifted


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Base of all distributions: frozen dataclasses whose fields are the parameters.

    Their methods are plain Python on numbers, for functions that fwddiff differentiates:
    `fwddiff(lambda d, x: d.logpdf(x)).broadcast(Normal(mu, sigma), x)` takes a struct of arrays apart.

    With `validate=True`, construction raises `ArgumentError` for parameters that make no distribution.
    Methods of such a distribution give nan; so they do in kernels, which construct without the check.
    """

    validate: dataclasses.InitVar[bool] = dataclasses.field(default=False, kw_only=True)

    # What `_valid` asks, for messages.
    _needs: ClassVar[str] = ""

    if TYPE_CHECKING:

        def quantile(self, q: Any) -> Any: ...

    @checks_only
    def __post_init__(self, validate: bool) -> None:
        if validate:
            from fwddiff.stats._checks import check  # kernels cannot look into what this imports

            check(self)

    def sample(self, u: Any) -> Any:
        """The value of this distribution that belongs to u, uniform in (0, 1): `quantile(u)` unless said."""
        return self.quantile(u)


class LocationScale(Distribution):
    """A distribution of loc + scale Z. The methods with an underscore are those of Z.

    Those are called with valid parameters alone: `_logpdf`, `_cdf`, `_sf`, `_logcdf`, `_logsf` at numbers and
    nan, `_quantile` and `_isf` between 0 and 1, both included. Invalid parameters and nan give nan. At ∓inf
    all are constants, without derivatives: an open interval may be given by infinite ends.
    """

    _needs: ClassVar[str] = "scale > 0"

    if TYPE_CHECKING:
        loc: Any
        scale: Any

        def _logpdf(self, z: Any) -> Any: ...
        def _cdf(self, z: Any) -> Any: ...
        def _sf(self, z: Any) -> Any: ...
        def _logcdf(self, z: Any) -> Any: ...
        def _logsf(self, z: Any) -> Any: ...
        def _quantile(self, q: Any) -> Any: ...
        def _isf(self, q: Any) -> Any: ...
        def _mean(self) -> Any: ...
        def _variance(self) -> Any: ...
        def _entropy(self) -> Any: ...

    def _valid(self) -> bool:
        return self.scale > 0.0

    def logpdf(self, x: Any) -> Any:
        """Logarithm of the density at x; outside the support the constant -inf."""
        if not self._valid():
            return math.nan
        z = (x - self.loc) / self.scale
        if abs(z) == math.inf:
            return -math.inf
        return shifted(self._logpdf(z), -math.log(self.scale))

    def pdf(self, x: Any) -> Any:
        """Density at x."""
        return exp(self.logpdf(x))

    def cdf(self, x: Any) -> Any:
        """Probability of a value up to x."""
        if not self._valid():
            return math.nan
        z = (x - self.loc) / self.scale
        if abs(z) == math.inf:
            return 1.0 if z > 0.0 else 0.0
        return self._cdf(z)

    def sf(self, x: Any) -> Any:
        """Probability of a value above x, with all digits where it is small."""
        if not self._valid():
            return math.nan
        z = (x - self.loc) / self.scale
        if abs(z) == math.inf:
            return 0.0 if z > 0.0 else 1.0
        return self._sf(z)

    def logcdf(self, x: Any) -> Any:
        """Logarithm of `cdf(x)`, with all digits in both tails."""
        if not self._valid():
            return math.nan
        z = (x - self.loc) / self.scale
        if abs(z) == math.inf:
            return 0.0 if z > 0.0 else -math.inf
        return self._logcdf(z)

    def logsf(self, x: Any) -> Any:
        """Logarithm of `sf(x)`, with all digits in both tails."""
        if not self._valid():
            return math.nan
        z = (x - self.loc) / self.scale
        if abs(z) == math.inf:
            return -math.inf if z > 0.0 else 0.0
        return self._logsf(z)

    def quantile(self, q: Any) -> Any:
        """The x with `cdf(x) == q`; nan unless 0 <= q <= 1."""
        if not (self._valid() and 0.0 <= q <= 1.0):
            return math.nan
        return self.loc + self.scale * self._quantile(q)

    def isf(self, q: Any) -> Any:
        """The x with `sf(x) == q`, with all digits where q is small; nan unless 0 <= q <= 1."""
        if not (self._valid() and 0.0 <= q <= 1.0):
            return math.nan
        return self.loc + self.scale * self._isf(q)

    def mean(self) -> Any:
        """Expected value; inf or nan where the integral is or has none."""
        return self.loc + self.scale * self._mean() if self._valid() else math.nan

    def variance(self) -> Any:
        """Variance; inf or nan where the integral is or has none."""
        return self.scale * self.scale * self._variance() if self._valid() else math.nan

    def entropy(self) -> Any:
        """Differential entropy, in nats."""
        return math.log(self.scale) + self._entropy() if self._valid() else math.nan
