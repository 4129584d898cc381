"""Inverses of the incomplete gamma functions, and the distributions that are these functions by other names.

The root is found on plain numbers: its record says that it has no derivative. One more of Halley's steps from
there, on whatever the arguments are, has first and second derivatives right (the implicit function theorem);
more follow until those of higher order are.
"""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import means, record
from fwddiff.special._error import ndtri
from fwddiff.special._gamma import lgamma1p
from fwddiff.special._gammainc import (
    _fraction,
    _is_series,
    _is_uniform,
    _log_prefactor,
    _log_uniform,
    _series,
    _small_upper,
    gammainc,
    gammaincc,
)


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


def _step(a, x, p, q):
    """What to take off log(x): Halley's step for log P = log(p), or log Q = log(q) where q is the smaller and
    Q is not the complement of a series.

    Each method stands here once: derivatives are taken of this code, and it is compiled to second order.
    """
    prefactor = _log_prefactor(a, x)
    is_upper = p > q
    if _is_uniform(a, x):
        tail = _log_uniform(a, x, 1.0 if is_upper else -1.0)
    elif is_upper and a < 1.0 and x < 2.0:
        tail = _log_or_least(_small_upper(a, x))
    elif _is_series(a, x):
        is_upper = False
        tail = prefactor + math.log(_series(a, x))
    else:
        is_upper = True
        tail = prefactor + _log_or_least(_fraction(a, x))
    # The slope of log P or log Q in log(x), and the step by it.
    rate = a * math.exp(min(prefactor - tail, 700.0)) * (-1.0 if is_upper else 1.0)
    miss = tail - math.log(q if is_upper else p)
    step = miss / rate if rate != 0.0 else math.copysign(2.0, miss) * (-1.0 if is_upper else 1.0)
    return step / max(0.5, min(2.0, 1.0 - 0.5 * step * (a - x - rate)))


def _log_or_least(x):
    return math.log(x) if x > 0.0 else -745.0


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
        step = _step(a, x, p, q)
        x *= math.exp(-max(-2.0, min(2.0, step)))
        if not abs(step) > 1e-7 or x <= 0.0:
            break
    return x


def _inverse(a, p, q):
    if not (a > 0.0 and a < 1e308 and p >= 0.0 and q >= 0.0):
        return math.nan
    if p == 0.0 or q == 0.0:
        return 0.0 if p == 0.0 else math.inf
    x = gamma_root(a, p, q)
    if not (x > 0.0 and x < 1e308):
        return 1.0 * x
    for _ in range(8):
        step = _step(a, x, p, q)
        x *= math.exp(-step)
        if not (x > 0.0 and x < 1e308) or magnitude(step, math.log(x)) <= 1e-9:
            break
    return x


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
