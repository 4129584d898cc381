"""Transforms made of exponentials and logarithms: logistic, entropies, Box-Cox, Huber; slopes in closed form.

The slopes keep their digits where 1 - y, exp(x) - 1 or a difference of logarithms would lose them. Names and
limits are those of scipy.special.
"""

import math

from fwddiff._record import record


@record("y*expit(-x)", scipy="expit", domain={"x": (-700.0, 700.0)}, oracle="1/(1 + exp(-x))")
def expit(x):
    """The logistic function 1 / (1 + exp(-x))."""
    small = math.exp(-abs(1.0 * x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)


@record("1 / ((x + 0)*(1 - x))", scipy="logit", domain={"x": (1e-300, 1.0)}, oracle="log(x/(1 - x))")
def logit(x):
    """log(x / (1 - x)); -inf at 0, inf at 1, nan outside."""
    if not (x > 0.0 and x < 1.0):
        return -math.inf if x == 0.0 else (math.inf if x == 1.0 else math.nan)
    if 0.3 < x < 0.65:
        return math.log1p((2.0 * x - 1.0) / (1.0 - x))
    return math.log(x / (1.0 - x))


@record("expit(-x)", scipy="log_expit", domain={"x": (-1e300, 700.0)}, oracle="-log1p(exp(-x))")
def log_expit(x):
    """log(expit(x))."""
    return (0.0 if x >= 0.0 else 1.0 * x) - math.log1p(math.exp(-abs(1.0 * x)))


@record("expit(x)", scipy="softplus", domain={"x": (-700.0, 1e300)}, oracle="log1p(exp(x))")
def softplus(x):
    """log(1 + exp(x))."""
    return (0.0 if x <= 0.0 else 1.0 * x) + math.log1p(math.exp(-abs(1.0 * x)))


@record(None, scipy="exprel", domain={"x": (-1e6, 709.0)}, oracle="expm1(x)/x")
def exprel(x):
    """(exp(x) - 1) / x, 1 at 0. Around 0 its power series, because the derivatives of the quotient cancel."""
    z = 1.0 * x
    if abs(z) < 1.5:
        # No loop over a tuple, see `_uniform_rest` in _gammainc.
        total = 1.0 / 25852016738884976640000 + z * (
            1.0 / 620448401733239439360000 + z * (1.0 / 15511210043330985984000000)
        )
        total = 1.0 / 2432902008176640000 + z * (
            1.0 / 51090942171709440000 + z * (1.0 / 1124000727777607680000 + z * total)
        )
        total = 1.0 / 20922789888000 + z * (
            1.0 / 355687428096000 + z * (1.0 / 6402373705728000 + z * (1.0 / 121645100408832000 + z * total))
        )
        total = 1.0 / 479001600 + z * (
            1.0 / 6227020800 + z * (1.0 / 87178291200 + z * (1.0 / 1307674368000 + z * total))
        )
        total = 1.0 / 5040 + z * (
            1.0 / 40320 + z * (1.0 / 362880 + z * (1.0 / 3628800 + z * (1.0 / 39916800 + z * total)))
        )
        total = 1.0 / 2 + z * (1.0 / 6 + z * (1.0 / 24 + z * (1.0 / 120 + z * (1.0 / 720 + z * total))))
        return 1.0 + z * total
    if z > 700.0:
        # In two factors, because exp(x) overflows first.
        if z > 1400.0:
            return math.inf
        half = math.exp(0.5 * z)
        return half / z * half
    return math.expm1(z) / z


def _log1prel(t):
    """log(1 + t) / t, 1 at 0."""
    if abs(t) >= 0.5:
        return math.log1p(t) / t
    r = t / (2.0 + t)
    return (2.0 + 2.0 * r * r * _atanh_rest(r * r)) / (2.0 + t)


def _atanh_rest(w):
    """(atanh(r) - r) / r³ = 1/3 + w/5 + w²/7 + …, w = r² <= 1/9."""
    # No loop over a tuple, of which compiled code makes a branch for each element.
    rest = 1.0 / 29 + w * (1.0 / 31 + w * (1.0 / 33 + w * (1.0 / 35 + w * (1.0 / 37))))
    rest = 1.0 / 21 + w * (1.0 / 23 + w * (1.0 / 25 + w * (1.0 / 27 + w * rest)))
    rest = 1.0 / 13 + w * (1.0 / 15 + w * (1.0 / 17 + w * (1.0 / 19 + w * rest)))
    rest = 1.0 / 5 + w * (1.0 / 7 + w * (1.0 / 9 + w * (1.0 / 11 + w * rest)))
    return 1.0 / 3 + w * rest


def _log1p_rest(t):
    """(t - log(1 + t)) / t², 1/2 at 0, for -1/2 <= t <= 1: log(1 + t) = 2 atanh(r), r = t / (2 + t)."""
    s = 1.0 / (2.0 + t)
    r = t * s
    return s - 2.0 * r * s * s * _atanh_rest(r * r)


def _log_ratio(a, b):
    """log(a / b) of positive numbers, with all digits where they are close or far apart."""
    if abs(a - b) < 0.5 * b:
        return math.log1p((a - b) / b)
    ratio = a / b
    return math.log(ratio) if 1e-300 < ratio < 1e300 else math.log(a) - math.log(b)


# Arguments are named a, b where SciPy has x, y: y is the value in the text of a slope.
@record(
    "where(b > 0, log(where(b > 0, b, 1)), where(b <= 0, where(a == 0, 0, log(b)), b))",
    "where(b == 0, where(a == 0, a, a / b), a / b)",
    scipy="xlogy",
    domain={"a": (-1e3, 1e3), "b": (1e-300, 1e300)},
    oracle="a*log(b)",
    choices="at a = 0 and b <= 0, where the value is 0, both slopes are 0; the limit in a is -inf",
)
def xlogy(a, b):
    """a log(b), 0 where a = 0 whatever b is (but nan)."""
    if a == 0.0 and b == b:
        return 0.0
    if not b > 0.0:
        return a * -math.inf if b == 0.0 else math.nan
    return a * math.log(b)


@record(
    "where(b > -1, log1p(where(b > -1, b, 0)), where(b <= -1, where(a == 0, 0, log1p(b)), b))",
    "where(b == -1, where(a == 0, a, a / (1 + b)), a / (1 + b))",
    scipy="xlog1py",
    domain={"a": (-1e3, 1e3), "b": (-1.0, 1e300)},
    oracle="a*log1p(b)",
    choices="at a = 0 and b <= -1, where the value is 0, both slopes are 0, as in xlogy",
)
def xlog1py(a, b):
    """a log(1 + b), 0 where a = 0 whatever b is (but nan)."""
    if a == 0.0 and b == b:
        return 0.0
    if not b > -1.0:
        return a * -math.inf if b == -1.0 else math.nan
    return a * math.log1p(b)


@record(
    "where(x < 0, 0, -log(where(x < 0, 1, x)) - 1)",
    scipy="entr",
    domain={"x": (1e-300, 1e300)},
    oracle="-x*log(x)",
    choices="inf at 0, the limit; 0 for x < 0, where the value is -inf",
)
def entr(x):
    """-x log(x), 0 at 0 and -inf below."""
    if x > 0.0:
        return -x * math.log(x)
    return -math.inf if x < 0.0 else 0.0 * x


@record(
    "where(a > 0, where(b > 0, log(where(a > 0, a, 1) / b) + 1, 0), where(a == 0, -1 / (a + 0), 0))",
    "where(a > 0, where(b > 0, -a / b, 0), where(b == 0, 0, -a / b))",
    scipy="rel_entr",
    domain={"a": (1e-100, 1e100), "b": (1e-100, 1e100)},
    oracle="a*log(a/b)",
    choices="-inf in a at a = 0, the limit; 0 where the value is inf",
)
def rel_entr(a, b):
    """a log(a / b); 0 at a = 0, b >= 0; inf outside."""
    if a > 0.0 and b > 0.0:
        return a * _log_ratio(a, b) if a < math.inf or b < math.inf else math.nan
    return 0.0 if a == 0.0 and b >= 0.0 else (math.inf if a == a and b == b else math.nan)


@record(
    "where(a > 0, where(b > 0, where(abs(a - b) < b / 2, log1p((a - b) / b), "
    "log(where(a > 0, a, 1) / b)), 0), "
    "where(a == 0, -1 / (a + 0), 0))",
    "where(a > 0, where(b > 0, (b - a) / b, 0), where(a == 0, 1, 0))",
    scipy="kl_div",
    domain={"a": (1e-100, 1e100), "b": (1e-100, 1e100)},
    oracle="a*log(a/b) - a + b",
    choices="-inf in a at a = 0, the limit; 0 where the value is inf",
)
def kl_div(a, b):
    """a log(a / b) - a + b, without cancellation for a near b; b at a = 0, b >= 0; inf outside.

    The deviance of a Poisson count (Loader 2000, bd0): what the densities of gamma and Poisson are made of.
    """
    if a > 0.0 and b > 0.0:
        t = (b - a) / a
        if -0.5 <= t <= 1.0:
            return (b - a) * t * _log1p_rest(t)
        if a == math.inf or b == math.inf:
            return math.nan if a == b else math.inf
        return a * _log_ratio(a, b) + (b - a)
    return 1.0 * b if a == 0.0 and b >= 0.0 else (math.inf if a == a and b == b else math.nan)


@record(
    "pow(x, a - 1)",
    None,
    scipy="boxcox",
    keep_texts=True,
    domain={"x": (1e-100, 1e100), "a": (-3.0, 3.0)},
    oracle="(x**a-1)/a",
)
def boxcox(x, a):
    """(xᵃ - 1) / a, log(x) at a = 0: smooth in a as log(x) exprel(a log(x))."""
    if not x > 0.0:
        if x != 0.0 or a != a:
            return math.nan
        return -1.0 / a if a > 0.0 else -math.inf
    return _power_rel(math.log(x) if x < math.inf else math.inf, a)


def _power_rel(u, a):
    """(exp(a u) - 1) / a."""
    if abs(u) == math.inf:
        return -1.0 / a if a * u < 0.0 else u
    return u * exprel(a * u)


@record(
    "exp((a - 1)*log1p(x))",
    None,
    scipy="boxcox1p",
    keep_texts=True,
    domain={"x": (-1.0, 1e100), "a": (-3.0, 3.0)},
    oracle="((1+x)**a-1)/a",
)
def boxcox1p(x, a):
    """((1 + x)ᵃ - 1) / a, log(1 + x) at a = 0."""
    if not x > -1.0:
        if x != -1.0 or a != a:
            return math.nan
        return -1.0 / a if a > 0.0 else -math.inf
    return _power_rel(math.log1p(x) if x < math.inf else math.inf, a)


def _exp(x):
    """exp(x), inf where Python raises."""
    return math.exp(x) if not x > 709.782712893384 else math.inf


def _inverse_power(x, a):
    """log(1 + a x) / a, the logarithm of inv_boxcox; nan outside."""
    t = a * x
    if not t > -1.0:
        return -math.copysign(math.inf, a) if t == -1.0 else math.nan
    if t == math.inf:
        return (math.log(abs(x)) + math.log(abs(a))) / a if abs(a) < math.inf else 0.0
    return x * _log1prel(t)


@record(
    "y / (1 + a*x)",
    None,
    scipy="inv_boxcox",
    keep_texts=True,
    domain={"x": (-10.0, 10.0), "a": (-0.1, 0.1)},
    oracle="(1+a*x)**(1/a)",
)
def inv_boxcox(x, a):
    """(1 + a x)^(1/a), exp(x) at a = 0."""
    return _exp(_inverse_power(x, a))


@record(
    "inv_boxcox(x, a) / (1 + a*x)",
    None,
    scipy="inv_boxcox1p",
    keep_texts=True,
    domain={"x": (-10.0, 10.0), "a": (-0.1, 0.1)},
    oracle="(1+a*x)**(1/a) - 1",
)
def inv_boxcox1p(x, a):
    """(1 + a x)^(1/a) - 1, exp(x) - 1 at a = 0."""
    exponent = _inverse_power(x, a)
    return math.expm1(exponent) if not exponent > 709.782712893384 else math.inf


@record(
    "where(delta < 0, 0, where(abs(r) <= delta, 0, abs(r) - delta))",
    "where(delta < 0, 0, where(abs(r) <= delta, r, delta*sign(r)))",
    scipy="huber",
    domain={"delta": (0.0, 10.0), "r": (-100.0, 100.0)},
    choices="0 for delta < 0, where the value is inf; at |r| = delta second derivatives of the parabola",
)
def huber(delta, r):
    """Huber's loss: r²/2 for |r| <= delta, else delta (|r| - delta/2); inf for delta < 0."""
    if delta < 0.0:
        return math.inf
    size = abs(1.0 * r)
    return 0.5 * r * r if size <= delta else delta * (size - 0.5 * delta)


@record(
    "where(delta < 0, 0, where(hypot(delta, r) == 0, 0, "
    "r*(r / (hypot(delta, r) + delta)) / hypot(delta, r)*(r*(r / (hypot(delta, r) + delta)))))",
    "where(delta < 0, 0, where(hypot(delta, r) == 0, 0, "
    "where(delta < abs(r), delta*sign(r) / sqrt(1 + delta / r*(delta / r)), delta*(r / hypot(delta, r)))))",
    scipy="pseudo_huber",
    domain={"delta": (0.1, 10.0), "r": (-100.0, 100.0)},
    oracle="delta**2*(sqrt(1 + (r/delta)**2) - 1)",
    choices="0 at delta = r = 0; 0 for delta < 0, where the value is inf",
)
def pseudo_huber(delta, r):
    """delta² (sqrt(1 + (r / delta)²) - 1), as delta r² / (hypot(delta, r) + delta); inf for delta < 0."""
    if delta < 0.0:
        return math.inf
    if delta == 0.0 or r == 0.0:
        return 0.0 if delta == delta and r == r else math.nan
    return delta * r * (r / (math.hypot(delta, r) + delta))


@record("-sin(x)", scipy="cosm1", domain={"x": (-100.0, 100.0)}, oracle="cos(x) - 1")
def cosm1(x):
    """cos(x) - 1 without cancellation."""
    if abs(1.0 * x) == math.inf:
        return math.nan
    half = math.sin(0.5 * x)
    return -2.0 * half * half


@record("y*log(10)", scipy="exp10", domain={"x": (-300.0, 308.0)}, oracle="mpf(10)**x")
def exp10(x):
    """10ˣ."""
    return 10.0 ** (1.0 * x) if not x > 308.25471555991674 else math.inf
