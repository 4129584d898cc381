"""Student's t: the incomplete beta function at x = ν / (ν + t²), a = ν/2, b = ½, DLMF 8.17.2 and 8.17.8.

All is written in 1/ν, so that what tends to the normal distribution for large ν does so digit by digit, and
its derivative in ν, of the order of 1/ν², has all of its digits.
"""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import record
from fwddiff.special._beta import log_of_rest
from fwddiff.special._beta_inverse import betaincinv_start
from fwddiff.special._beta_tail import fraction, log1pmx, log_gammastar

_DOMAIN = {"df": (1e-2, 1e5), "t": (-1e3, 1e3)}
_LOWER = "betainc(df/2, 1/2, 0, df/(df + t*t), True) / 2"


# Slope of the log-density in t; t*t overflows where the tails of small df still are.
_SLOPE = "where(abs(t) > 1, -(1 + 1 / df) / (1 / t + t / df), -(1 + 1 / df)*t / (1 + t*t / df))"


def _bounded(df: float) -> float:
    """Where nothing depends on df any more, 1/df is not 0 and not infinite."""
    return min(max(df, 1e-300), 1e300)


@record(
    None,
    _SLOPE,
    domain=_DOMAIN,
    oracle="loggamma((df + 1)/2) - loggamma(df/2) - log(pi*df)/2 - (df + 1)/2*log1p(t*t/df)",
)
def log_stdtr_slope(df: float, t: float) -> float:
    """Log-density of Student's t; of the normal distribution for df = inf, nan unless df > 0."""
    if not df > 0.0 or t != t:
        return math.nan
    if abs(t) == math.inf:
        return -math.inf
    df = _bounded(df)
    half, square = 0.5 * df, t * t
    factor = half * log1pmx(1.0 / df) + log_gammastar(half + 0.5) - log_gammastar(half)
    z = square / df
    if z < 0.3:
        power = 0.5 * (square + df * log1pmx(z) + math.log1p(z))
    elif z < 1e20:
        power = (half + 0.5) * math.log1p(z)
    else:
        power = (half + 0.5) * (2.0 * math.log(abs(t)) - math.log(df))
    return factor - 0.5 * math.log(2.0 * math.pi) - power


@record(
    None,
    f"y*{_SLOPE}",
    domain=_DOMAIN,
    oracle="gamma((df + 1)/2) / gamma(df/2) / sqrt(pi*df) * (1 + t*t/df)**(-(df + 1)/2)",
)
def stdtr_slope(df: float, t: float) -> float:
    """Density of Student's t, the slope of `stdtr` in t."""
    return math.exp(log_stdtr_slope(df, t))


def _is_central(df: float, t: float) -> bool:
    return t * t * (1.0 + 1.0 / df) < 2.0


def _central(df: float, t: float) -> float:
    """(F(t) - ½) / (t f(t)): smooth in t at 0."""
    w, square = 1.0 / df, t * t
    rest = 1.0 / (1.0 + w * square)
    return 0.5 * fraction(2.0, w * square * rest, 0.5 * square * rest, 0.5 * (1.0 - square) * rest)


def _outer(df: float, t: float) -> float:
    """F(-|t|) / (|t| f(t))."""
    w, u = 1.0 / df, 1.0 / (t * t) if abs(t) < 1e150 else 0.0
    x = u / (u + w)
    return 0.5 * fraction(2.0 * w, x, 0.5 * x, 0.5 * (1.0 / (u + w) - x))


def _log_lower(df: float, t: float) -> float:
    """log F(-|t|)."""
    return log_stdtr_slope(df, t) + math.log(abs(t)) + math.log(_outer(df, t))


def _is_inside(df: float, t: float) -> bool:
    return df > 0.0 and abs(t) < math.inf


def _at_limit(df: float, t: float) -> float:
    return math.nan if not df > 0.0 or t != t else 1.0 if t > 0.0 else 0.0


@record(
    None, "stdtr_slope(df, t)", scipy="stdtr", domain=_DOMAIN, oracle=f"{_LOWER} if t < 0 else 1 - {_LOWER}"
)
def stdtr(df: float, t: float) -> float:
    """Distribution function of Student's t; of the normal distribution for df = inf, nan unless df > 0.

    The lower tail keeps its relative accuracy; for the upper one take -t.
    """
    if not _is_inside(df, t):
        return _at_limit(df, t)
    df = _bounded(df)
    if _is_central(df, t):
        return 0.5 + t * stdtr_slope(df, t) * _central(df, t)
    lower = math.exp(_log_lower(df, t))
    return lower if t < 0.0 else 1.0 - lower


@record(None, None, domain=_DOMAIN, oracle=f"log({_LOWER} if t < 0 else 1 - {_LOWER})")
def log_stdtr(df: float, t: float) -> float:
    """log stdtr(df, t), finite where that underflows."""
    if not _is_inside(df, t):
        value = _at_limit(df, t)
        return -math.inf if value == 0.0 else value - 1.0
    df = _bounded(df)
    if _is_central(df, t):
        return math.log(0.5 + t * stdtr_slope(df, t) * _central(df, t))
    lower = _log_lower(df, t)
    return lower if t < 0.0 else log_of_rest(lower)


@record("0", "0", choices="held constant: derivatives come with the steps of Newton's iteration that follow")
def stdtrit_start(df: float, p: float) -> float:
    """t <= 0 with stdtr(df, t) = p <= ½, to about 1e-12; -inf where t overflows."""
    if p == 0.5:
        return 0.0
    df = min(df, 1e12)
    s = betaincinv_start(0.5 * df, 0.5, 2.0 * p, 1.0 - 2.0 * p)
    logarithm = 0.5 * (math.log(df) - s)
    return -math.exp(logarithm) if logarithm < 709.0 else -math.inf


@record(
    None,
    None,
    scipy="stdtrit",
    domain={"df": (1e-2, 1e5), "p": (1e-300, 1.0)},
    choices="∓inf at p = 0 and 1 with slopes 0",
)
def stdtrit(df: float, p: float) -> float:
    """t with stdtr(df, t) = p; -inf for p = 0, inf for p = 1, nan unless df > 0 and 0 <= p <= 1."""
    if not (df > 0.0 and p >= 0.0 and p <= 1.0):
        return math.nan
    if p == 0.0 or p == 1.0:
        return -math.inf if p == 0.0 else math.inf
    df = _bounded(df)
    lower, sign = (p, 1.0) if p <= 0.5 else (1.0 - p, -1.0)
    t = stdtrit_start(df, lower)
    if t == -math.inf:
        return sign * t
    for _ in range(8):
        if _is_central(df, t):
            step = t * _central(df, t) - (lower - 0.5) / stdtr_slope(df, t)
        else:
            step = math.expm1(math.log(lower) - _log_lower(df, t)) * t * _outer(df, t)
        if abs(t) > 1.0:
            bend = -(1.0 + 1.0 / df) / (1.0 / t + t / df)
        else:
            bend = -(1.0 + 1.0 / df) * t / (1.0 + t * t / df)
        step *= 1.0 + 0.5 * bend * step
        t -= step
        if magnitude(step, t) <= 1e-9:
            break
    return sign * t
