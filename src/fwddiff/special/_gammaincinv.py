"""Inverses of the incomplete gamma functions, and the distributions that are these functions by other names.

The root is found on plain numbers: its record says that it has no derivative. Two steps of Newton's iteration
from there give first to third derivatives exactly, because each step doubles the number of right orders.
Second derivatives are nan for roots below 1e-154, where 1 / x² overflows.
"""

import math

from fwddiff._record import means, record
from fwddiff.special._error import ndtri
from fwddiff.special._gamma import lgamma1p
from fwddiff.special._gammainc import _log_prefactor, gammainc, gammaincc, log_gammainc, log_gammaincc


def _below(a, p):
    """log of a bound below the root: P(a, x) <= xᵃ / Γ(a + 1), close where x is small."""
    return (math.log(p) + lgamma1p(a)) / a


def _start(a, p, q):
    """Wilson and Hilferty's approximation, or that of a far upper tail, but no less than the bound below."""
    low = math.exp(min(_below(a, p), 700.0))
    if a >= 1.0:
        deviate = ndtri(p) if p <= q else -ndtri(q)
        root = 1.0 - 1.0 / (9.0 * a) + deviate / (3.0 * math.sqrt(a))
        return max(low, a * root * root * root)
    far = -math.log(q) - lgamma1p(a) + math.log(a)
    return max(low, far - (1.0 - a) * math.log(far)) if far > 2.0 else low


@record("0", "0", "0", choices="none: where `gammaincinv` starts, a plain number")
def gamma_root(a, p, q):
    """x with P(a, x) = p = 1 - q, 0 < p < 1, to rounding.

    log P and log Q are concave in log x, so that Newton's iteration converges from everywhere; Halley's
    correction makes it cubic.
    """
    if not (a > 0.0 and a < 1e308):
        return math.nan
    below = _below(a, p)
    if below < -40.0:
        return math.exp(below)
    x = _start(a, p, q)
    for _ in range(100):
        value = log_gammainc(a, x) if p <= q else log_gammaincc(a, x)
        miss = value - math.log(p if p <= q else q)
        rate = math.exp(_log_prefactor(a, x) + math.log(a) - value)
        rate = rate if p <= q else -rate
        step = miss / rate if rate != 0.0 else math.copysign(2.0, miss) * (1.0 if p <= q else -1.0)
        curved = 1.0 - 0.5 * step * (a - x - rate)
        step /= max(0.5, min(2.0, curved))
        x *= math.exp(-max(-2.0, min(2.0, step)))
        if not abs(step) > 1e-7 or x <= 0.0:
            break
    return x


def _refined(a, x, p, q):
    """One step of Newton's iteration for log P = log(p) or log Q = log(q)."""
    if p <= q:
        value = log_gammainc(a, x)
        return x - x * (value - math.log(p)) * math.exp(value - _log_prefactor(a, x)) / a
    upper = log_gammaincc(a, x)
    return x + x * (upper - math.log(q)) * math.exp(upper - _log_prefactor(a, x)) / a


def _inverse(a, p, q):
    if not (a > 0.0 and a < 1e308 and p >= 0.0 and q >= 0.0):
        return math.nan
    if p == 0.0 or q == 0.0:
        return 0.0 if p == 0.0 else math.inf
    x = gamma_root(a, p, q)
    if not (x > 0.0 and x < 1e308):
        return 1.0 * x
    x = _refined(a, x, p, q)
    return _refined(a, x, p, q) if x > 0.0 else 0.0


@record(
    None,
    "1 / gamma_density(a, y)",
    scipy="gammaincinv",
    domain={"a": (1e-2, 1e5), "p": (1e-300, 1.0)},
)
def gammaincinv(a, p):
    """x with P(a, x) = p: 0 at p = 0, inf at p = 1, nan outside and for a <= 0."""
    return _inverse(a, 1.0 * p, 1.0 - p)


@record(
    None,
    "-1 / gamma_density(a, y)",
    scipy="gammainccinv",
    domain={"a": (1e-2, 1e5), "q": (1e-300, 1.0)},
)
def gammainccinv(a, q):
    """x with Q(a, x) = q: inf at q = 0, 0 at q = 1, nan outside and for a <= 0."""
    return _inverse(a, 1.0 - q, 1.0 * q)


@means("chdtr")
def chdtr(v, x):
    """The distribution function of χ² with v degrees of freedom."""
    return gammainc(0.5 * v, 0.5 * x) if x >= 0.0 else x * 0.0


@means("chdtrc")
def chdtrc(v, x):
    """1 - chdtr(v, x)."""
    return gammaincc(0.5 * v, 0.5 * x) if not x < 0.0 else 1.0


@means("chdtri")
def chdtri(v, q):
    """x with chdtrc(v, x) = q."""
    return 2.0 * gammainccinv(0.5 * v, q)


@means("pdtr")
def pdtr(k, m):
    """The distribution function of Poisson's distribution of mean m at floor(k)."""
    if k < 0.0:
        return math.nan
    return gammaincc(math.floor(k) + 1.0, 1.0 * m)


@means("pdtrc")
def pdtrc(k, m):
    """1 - pdtr(k, m)."""
    if k < 0.0:
        return math.nan
    return gammainc(math.floor(k) + 1.0, 1.0 * m)


@means("gdtr")
def gdtr(a, b, x):
    """The distribution function of the gamma distribution with rate a and shape b."""
    return gammainc(b, a * x)


@means("gdtrc")
def gdtrc(a, b, x):
    """1 - gdtr(a, b, x)."""
    return gammaincc(b, a * x)
