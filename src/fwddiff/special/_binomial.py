"""Binomial coefficients and rising factorials of real arguments, DLMF 1.2.6 and 5.2.5."""

import math

from fwddiff._record import means, record
from fwddiff.special._beta import log_beta
from fwddiff.special._beta_tail import log_gammastar


def _sinpi(x: float) -> float:
    """sin(πx); the distance to the nearest zero is exact."""
    nearest = math.floor(x + 0.5)
    return (1.0 if nearest % 2.0 == 0.0 else -1.0) * math.sin(math.pi * (x - nearest))


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.7 else math.inf


def _is_small(x: float) -> bool:
    """Whether x has digits behind the point, or could have: sin(πx) is known."""
    return abs(x) < 4503599627370496.0


@record(None, None, scipy="binom", domain={"n": (-10, 1e5), "k": (-10, 1e5)}, oracle="binomial(n, k)")
def binom(n: float, k: float) -> float:
    """Γ(n + 1) / (Γ(k + 1) Γ(n - k + 1)); nan for negative integers n. DLMF 1.2.6; reflection by 5.5.3."""
    if n != n or k != k or abs(k) == math.inf or n == -math.inf:
        return 0.0 if k == -math.inf and abs(n) < math.inf else math.nan
    if n == math.inf:
        return math.inf if k > 0.0 else 1.0 if k == 0.0 else 0.0
    rest = n - k
    factor, power, shift = 1.0, -1.0, 0.0  # of factor * exp(power * log_beta(p, q) - shift)
    if k > -1.0 and rest > -1.0 and n > -1.0:
        p, q, shift = 1.0 + rest, 1.0 + k, math.log1p(n)
    elif n < 0.0 and (not _is_small(n) or n == math.floor(n)):
        return math.nan
    elif not _is_small(k) or not _is_small(rest):
        return 0.0
    elif n > -1.0:  # one of k and n - k is below 0, its gamma function reflected
        far = k if k <= -1.0 else rest
        p, q, power, factor = n + 1.0, -far, 1.0, -_sinpi(far) / math.pi
    elif k <= -1.0 and rest <= -1.0:
        p, q, power, factor = -k, -rest, 1.0, -_sinpi(k) * _sinpi(rest) / (math.pi * _sinpi(n))
    else:
        near, far = (k, rest) if k > -1.0 else (rest, k)
        p, q, shift = -n, 1.0 + near, math.log1p(-far - 1.0)
        factor = _sinpi(far) / _sinpi(n)
    # One call, because what is differentiated is put in the place of each.
    return factor * _exp(power * log_beta(p, q) - shift)


@means("comb")
def comb(N: float, k: float) -> float:
    """`binom(N, k)` for 0 <= k <= N, 0 elsewhere: SciPy's comb with exact=False."""
    return binom(N, k) if k >= 0.0 and k <= N and N >= 0.0 else 0.0


def _log_ratio(z: float, m: float) -> float:
    """log Γ(z + m) / Γ(z) for z and z + m above 0."""
    w = z + m
    factor = math.log1p(m / z) if abs(m) < 0.5 * z else math.log(w) - math.log(z)
    return (z - 0.5) * factor + m * (math.log(w) - 1.0) + (log_gammastar(w) - log_gammastar(z))


@record(
    None,
    None,
    scipy="poch",
    domain={"z": (-10, 1e5), "m": (-10, 100)},
    oracle="rf(z, m)",
    choices="at z = 0, -1, -2, … and integers m slope 0 in m: beside them the value is 0, they are isolated",
)
def poch(z: float, m: float) -> float:
    """Γ(z + m) / Γ(z), the rising factorial, DLMF 5.2.5; inf where Γ(z + m) alone has a pole."""
    if z != z or m != m or z == -math.inf or m == -math.inf:
        return math.nan
    if z == math.inf or m == math.inf:
        return math.nan if z <= 0.0 else math.inf if m > 0.0 else 1.0 if m == 0.0 else 0.0
    w = z + m
    if z > 0.0 and w > 0.0:
        return _exp(_log_ratio(z, m))
    if not _is_small(z) or not _is_small(w):
        return math.nan
    if w > 0.0:
        return _sinpi(z) / math.pi * _exp(math.lgamma(1.0 - z) + math.lgamma(w))
    if m == math.floor(m) and (z <= 0.0 and z == math.floor(z)):
        return (1.0 if m % 2.0 == 0.0 else -1.0) * _exp(_log_ratio(1.0 - w, float(math.floor(m))))
    if w == math.floor(w):
        return math.inf
    if z > 0.0:
        return math.pi / _sinpi(w) * math.exp(-math.lgamma(1.0 - w) - math.lgamma(z))
    return _sinpi(z) / _sinpi(w) * _exp(_log_ratio(1.0 - w, m))
