"""Inverses of the incomplete beta function, in x, a and b: the roots of log I = log p for the smaller tail.

The logarithm of a tail is a concave function of log(x / (1 - x)), because the density in that variable is
log-concave: Newton's iteration converges from anywhere. The root is found on plain numbers; more steps from
there, on whatever the arguments are, give it its derivatives to every order (the implicit function theorem).
"""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import record
from fwddiff.special._beta import betaln, log_lower
from fwddiff.special._beta_tail import is_upper, log_power, ratio

_HELD = "held constant: derivatives come with the steps of Newton's iteration that follow"
_DOMAIN = {"a": (1e-2, 1e5), "b": (1e-2, 1e5), "p": (1e-300, 1.0)}


def logistic(s: float) -> float:
    """x with log(x / (1 - x)) = s; neither x nor its derivatives overflow on the way."""
    e = math.exp(-abs(s))
    return e / (1.0 + e) if s < 0.0 else 1.0 / (1.0 + e)


def newton(a: float, b: float, p: float, x: float, y: float, bx: float, ay: float) -> float:
    """What to take off log(x / y) so that log I_x(a, b) = log p, p <= ½: Newton's step, of second order near
    the root, so that its derivatives are right to second order where the value is."""
    upper, pull = is_upper(x, y, bx, ay), ay - bx
    if upper:
        a, b, x, y, bx, ay = b, a, y, x, ay, bx
    s = ratio(a, b, x, y, bx, ay)
    logarithm, slope = log_power(a, b, x, y, bx - ay) + math.log(s), 1.0 / s
    if upper:
        part = math.exp(logarithm)
        lower = max(1.0 - part, 1e-300)
        logarithm, slope = math.log(lower), max(part * slope, 1e-300) / lower
    step = (logarithm - math.log(p)) / slope
    bend = step * (pull - slope)
    return step * (1.0 + 0.5 * bend) if abs(bend) < 0.5 else step


def _first_guess(a: float, b: float, p: float) -> float:
    """Of log(x / y), p <= ½: normal (Abramowitz and Stegun 26.2.23), or by the first term in x."""
    if a > 1.0 and b > 1.0:
        t = math.sqrt(-2.0 * math.log(p))
        top = 2.515517 + t * (0.802853 + 0.010328 * t)
        z = top / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t
        return math.log((a - 0.5) / (b - 0.5)) + z * math.sqrt(1.0 / (a - 0.5) + 1.0 / (b - 0.5))
    first = (math.log(p) + math.log(a) + betaln(a, b)) / a
    return max(first, math.log(-a / math.log(p))) if a > 1.0 else first


def _lower_root(a: float, b: float, p: float) -> float:
    s = _first_guess(a, b, p)
    if s < -700.0:  # x is below 1e-304: the first term is all there is
        return s
    s = min(s, 700.0)
    for _ in range(100):
        x, y = logistic(s), logistic(-s)
        step = newton(a, b, p, x, y, b * x, a * y)
        s = min(max(s - step, -700.0), 700.0)
        if abs(step) <= 1e-4:
            break
    return s


@record("0", "0", "0", "0", choices=_HELD)
def betaincinv_start(a: float, b: float, p: float, q: float) -> float:
    """log(x / (1 - x)) for I_x(a, b) = p = 1 - q, to about 1e-12; a, b, p and q above 0."""
    return _lower_root(a, b, p) if p <= q else -_lower_root(b, a, q)


def _logit(a: float, b: float, p: float, q: float) -> float:
    """log(x / (1 - x)) for I_x(a, b) = p = 1 - q."""
    s = betaincinv_start(a, b, p, q)
    sign = 1.0
    if p > q:
        a, b, p, s, sign = b, a, q, -s, -1.0
    for _ in range(8):
        if abs(s) > 699.0:
            break
        x, y = logistic(s), logistic(-s)
        step = newton(a, b, p, x, y, b * x, a * y)
        s -= step
        if magnitude(step, s) <= 1e-9:
            break
    return sign * s


def at_end(p: float, here: float, other: float) -> float:
    """0, the quantile at p = 0, with its slope: that of (p / factor)^(1/here)."""
    if here > 1.0:
        return math.sqrt(p)
    return p / other if here == 1.0 else 0.0 * p


def _quantile(a: float, b: float, p: float, q: float) -> float:
    if not (a > 0.0 and b > 0.0 and p >= 0.0 and q >= 0.0) or (a == math.inf and b == math.inf):
        return math.nan
    if a == math.inf or b == math.inf:
        return 1.0 if a == math.inf else 0.0
    if a <= 1e-290 or b <= 1e-290:
        return 0.0 if p < b / (a + b) else 1.0
    if p == 0.0:
        return at_end(p, a, b)
    if q == 0.0:
        return 1.0 - at_end(q, b, a)
    s = _logit(a, b, p, q)
    return logistic(s)


@record(
    None,
    None,
    None,
    scipy="betaincinv",
    domain=_DOMAIN,
    choices="at p = 0 and 1 the limits of the slope in p",
)
def betaincinv(a: float, b: float, p: float) -> float:
    """x with I_x(a, b) = p, DLMF 8.17; nan unless a, b > 0 and 0 <= p <= 1."""
    return _quantile(a, b, p, 1.0 - p)


@record(None, None, None, scipy="betainccinv", domain=_DOMAIN, choices="as betaincinv")
def betainccinv(a: float, b: float, p: float) -> float:
    """x with 1 - I_x(a, b) = p; all digits for tiny p."""
    return _quantile(a, b, 1.0 - p, p)


def _balance(v: float, b: float, p: float, q: float, x: float, y: float) -> float:
    """0 for I_x(eᵛ, b) = p = 1 - q, falling in v: the logarithm of the smaller side less its value."""
    a = math.exp(v)
    return log_lower(a, b, x, y) - math.log(p) if p <= q else math.log(q) - log_lower(b, a, y, x)


@record("0", "0", "0", "0", "0", choices=_HELD)
def btdtria_start(b: float, p: float, q: float, x: float, y: float) -> float:
    """log a for I_x(a, b) = p = 1 - q, to about 1e-9, by halving: a from 1e-130 to 1e130."""
    low, high = -300.0, 300.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _balance(middle, b, p, q, x, y) > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@record("0", "0", "0", "0", "0", "0", choices=_HELD)
def btdtria_rate(v: float, b: float, p: float, q: float, x: float, y: float) -> float:
    """Slope of what `btdtria` makes 0, by a difference: to about 1e-8."""
    return (_balance(v + 1e-4, b, p, q, x, y) - _balance(v - 1e-4, b, p, q, x, y)) / 2e-4


def _parameter(b: float, p: float, q: float, x: float, y: float) -> float:
    """a with I_x(a, b) = p = 1 - q.

    A chord instead of the tangent: each step takes derivatives one order further.
    """
    if not (b > 1e-290 and b < 1e130 and p >= 0.0 and q >= 0.0 and x > 0.0 and y > 0.0):
        return math.nan
    if p == 0.0 or q == 0.0:
        return math.inf if p == 0.0 else 0.0
    v = btdtria_start(b, p, q, x, y)
    if abs(v) > 299.0:
        return math.inf if v > 0.0 else 0.0
    rate = btdtria_rate(v, b, p, q, x, y)
    for _ in range(12):
        step = _balance(v, b, p, q, x, y) / rate
        v -= step
        if magnitude(step, v) <= 1e-11:
            break
    return math.exp(v)


_FOR_A = {"p": (1e-300, 1.0), "b": (1e-2, 1e5), "x": (0.0, 1.0)}
_FOR_B = {"a": (1e-2, 1e5), "p": (1e-300, 1.0), "x": (0.0, 1.0)}


@record(None, None, None, scipy="btdtria", domain=_FOR_A)
def btdtria(p: float, b: float, x: float) -> float:
    """a with I_x(a, b) = p; inf for p = 0, 0 for p = 1."""
    return _parameter(b, p, 1.0 - p, x, 1.0 - x)


@record(None, None, None, scipy="btdtrib", domain=_FOR_B)
def btdtrib(a: float, p: float, x: float) -> float:
    """b with I_x(a, b) = p; 0 for p = 0, inf for p = 1."""
    return _parameter(a, 1.0 - p, p, 1.0 - x, x)
