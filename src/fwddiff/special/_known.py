"""Names of SciPy's for functions that the rules table has from Python and NumPy."""

import math

from fwddiff._record import means
from fwddiff._special import digamma as _digamma
from fwddiff._special import polygamma as _polygamma
from fwddiff._special import spherical_jn as _spherical_jn
from fwddiff.special._gamma import is_pole


@means("gammaln")
def gammaln(x):
    """log |Γ(x)|; inf at the poles."""
    return math.inf if is_pole(x) else math.lgamma(x)


@means("gamma")
def gamma(x):
    """Γ(x); ±inf at ±0, nan at the other poles and at -inf."""
    if x == 0.0:
        return math.copysign(math.inf, x)
    if is_pole(x):
        return math.nan
    return math.gamma(x) if x < 171.62437695630272 or x != x else math.inf


@means("digamma psi")
def digamma(x):
    """ψ(x) = d log|Γ(x)| / dx."""
    return _digamma(x)


@means("polygamma")
def polygamma(n, x):
    """ψ⁽ⁿ⁾(x); `n` is an integer without derivative."""
    return _polygamma(n, x)


@means("spherical_jn")
def spherical_jn(n, z):
    """jₙ(z); `n` is an integer without derivative."""
    return _spherical_jn(n, z)


@means("erf")
def erf(x):
    """The error function."""
    return math.erf(x)


@means("erfc")
def erfc(x):
    """1 - erf(x)."""
    return math.erfc(x)


@means("log1p")
def log1p(x):
    """log(1 + x); -inf at -1, nan below."""
    if x <= -1.0:
        return -math.inf if x == -1.0 else math.nan
    return math.log1p(x)


@means("expm1")
def expm1(x):
    """exp(x) - 1."""
    return math.expm1(x) if x < 709.782712893384 or x != x else math.inf
