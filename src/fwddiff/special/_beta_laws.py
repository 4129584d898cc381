"""Distribution functions made of the incomplete beta function, as SciPy names them: binomial, negative
binomial, F. DLMF 8.17.5 and 8.17.24; `_beta_tail` has the method."""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import record
from fwddiff.special._beta import betainc, betaincc, tail
from fwddiff.special._beta_inverse import at_end, betainccinv, betaincinv, betaincinv_start, newton
from fwddiff.special._beta_tail import is_upper, log_power

_BINOMIAL = {"k": (0, 20), "n": (20, 50), "p": (0.0, 1.0)}
_COUNTS = "k and n are rounded as SciPy does, slopes 0"


def _whole(x: float) -> float:
    """Rounded down; nan for nan and infinities."""
    return 1.0 * math.floor(x) if abs(x) < 4503599627370496.0 else x - (x - x)


def _cut(x: float) -> float:
    """Rounded towards 0."""
    return math.copysign(_whole(abs(x)), x)


@record(
    "0",
    "0",
    "-betainc_slope(floor(k) + 1, trunc(n) - floor(k), p)",
    scipy="bdtr",
    domain=_BINOMIAL,
    oracle="betainc(n - k, k + 1, 0, 1 - p, True)",
    choices=_COUNTS,
)
def bdtr(k: float, n: float, p: float) -> float:
    """Probability of at most k successes in n trials, DLMF 8.17.5; nan unless 0 <= k <= n and 0 <= p <= 1."""
    k, n = _whole(k), _cut(n)
    if not (k >= 0.0 and n >= k and p >= 0.0 and p <= 1.0):
        return math.nan
    return 1.0 if k == n else betaincc(k + 1.0, n - k, p)


@record(
    "0",
    "0",
    "betainc_slope(floor(k) + 1, trunc(n) - floor(k), p)",
    scipy="bdtrc",
    domain=_BINOMIAL,
    oracle="betainc(k + 1, n - k, 0, p, True)",
    choices=_COUNTS,
)
def bdtrc(k: float, n: float, p: float) -> float:
    """Probability of more than k successes in n trials; 1 for k < 0, otherwise as `bdtr`."""
    k, n = _whole(k), _cut(n)
    if not (n >= k and p >= 0.0 and p <= 1.0):
        return math.nan
    if k < 0.0 or k == n:
        return 1.0 if k < 0.0 else 0.0
    return betainc(k + 1.0, n - k, p)


@record("0", "0", "-1 / betainc_slope(floor(k) + 1, trunc(n) - floor(k), y)", scipy="bdtri", choices=_COUNTS)
def bdtri(k: float, n: float, p: float) -> float:
    """The chance of success for which `bdtr(k, n, …)` is p; nan unless 0 <= k < n and 0 <= p <= 1."""
    k, n = _whole(k), _cut(n)
    return betainccinv(k + 1.0, n - k, p) if k >= 0.0 and n > k else math.nan


@record(
    "0",
    "0",
    "betainc_slope(trunc(n), trunc(k) + 1, p)",
    scipy="nbdtr",
    domain={"k": (0, 20), "n": (1, 20), "p": (0.0, 1.0)},
    oracle="betainc(n, k + 1, 0, p, True)",
    choices=_COUNTS,
)
def nbdtr(k: float, n: float, p: float) -> float:
    """Probability of at most k failures before the n-th success, DLMF 8.17.24; nan unless k >= 0, n >= 1."""
    k, n = _cut(k), _cut(n)
    return betainc(n, k + 1.0, p) if k >= 0.0 and n >= 1.0 else math.nan


@record(
    "0",
    "0",
    "-betainc_slope(trunc(n), trunc(k) + 1, p)",
    scipy="nbdtrc",
    domain={"k": (0, 20), "n": (1, 20), "p": (0.0, 1.0)},
    oracle="betainc(n, k + 1, p, 1, True)",
    choices=_COUNTS,
)
def nbdtrc(k: float, n: float, p: float) -> float:
    """Probability of more than k failures before the n-th success; see `nbdtr`."""
    k, n = _cut(k), _cut(n)
    return betaincc(n, k + 1.0, p) if k >= 0.0 and n >= 1.0 else math.nan


@record("0", "0", "1 / betainc_slope(trunc(n), trunc(k) + 1, y)", scipy="nbdtri", choices=_COUNTS)
def nbdtri(k: float, n: float, p: float) -> float:
    """The chance of success for which `nbdtr(k, n, …)` is p."""
    k, n = _cut(k), _cut(n)
    return betaincinv(n, k + 1.0, p) if k >= 0.0 and n >= 1.0 else math.nan


# The F distribution: a = dfn/2, b = dfd/2 and x / (1 - x) = u = dfn f / dfd. What has a limit for large dfd
# is written without dfd times u.


def _is_degrees(dfn: float, dfd: float) -> bool:
    return dfn > 2e-290 and dfd > 2e-290 and dfn + dfd < math.inf


def _parts(dfn: float, dfd: float, f: float) -> tuple[float, float, float, float]:
    """x, 1 - x, b x and a (1 - x)."""
    u = dfn * f / dfd
    if u < 1.0:
        return u / (1.0 + u), 1.0 / (1.0 + u), 0.5 * dfn * f / (1.0 + u), 0.5 * dfn / (1.0 + u)
    r = dfd / f / dfn
    return 1.0 / (1.0 + r), r / (1.0 + r), 0.5 * dfd / (1.0 + r), 0.5 * dfd / f / (1.0 + r)


_F = {"dfn": (1e-2, 1e5), "dfd": (1e-2, 1e5), "x": (0.0, 1e3)}


@record(
    None,
    None,
    "fdtr_slope(dfn, dfd, x)",
    scipy="fdtr",
    domain=_F,
    oracle="betainc(dfn/2, dfd/2, 0, dfn*x/(dfn*x + dfd), True)",
)
def fdtr(dfn: float, dfd: float, x: float) -> float:
    """Distribution function of F; nan unless dfn, dfd > 0 (2e-290) and x >= 0."""
    if not (_is_degrees(dfn, dfd) and x >= 0.0):
        return math.nan
    if x == 0.0 or x == math.inf:
        return 0.0 if x == 0.0 else 1.0
    below, above, bx, ay = _parts(dfn, dfd, x)
    part = tail(0.5 * dfn, 0.5 * dfd, below, above, bx, ay)
    return 1.0 - part if is_upper(below, above, bx, ay) else part


@record(
    None,
    None,
    "-fdtr_slope(dfn, dfd, x)",
    scipy="fdtrc",
    domain=_F,
    oracle="betainc(dfd/2, dfn/2, 0, dfd/(dfn*x + dfd), True)",
)
def fdtrc(dfn: float, dfd: float, x: float) -> float:
    """1 - fdtr(dfn, dfd, x), also where that is tiny."""
    if not (_is_degrees(dfn, dfd) and x >= 0.0):
        return math.nan
    if x == 0.0 or x == math.inf:
        return 1.0 if x == 0.0 else 0.0
    below, above, bx, ay = _parts(dfn, dfd, x)
    part = tail(0.5 * dfn, 0.5 * dfd, below, above, bx, ay)
    return part if is_upper(below, above, bx, ay) else 1.0 - part


@record(
    None,
    None,
    "y*(where(x == 0, where(dfn == 2, 0, (dfn/2 - 1) / x), (dfn/2 - 1) / x)"
    " - (dfn + dfd) / 2 * dfn / (dfd + dfn*x))",
    domain=_F,
)
def fdtr_slope(dfn: float, dfd: float, x: float) -> float:
    """The density of F; nan unless dfn, dfd > 0 (2e-290) and x >= 0."""
    if not (_is_degrees(dfn, dfd) and x >= 0.0):
        return math.nan
    if x == 0.0 or x == math.inf:
        return 0.0 if x > 0.0 or dfn > 2.0 else 1.0 if dfn == 2.0 else math.inf
    below, above, bx, ay = _parts(dfn, dfd, x)
    logarithm = log_power(0.5 * dfn, 0.5 * dfd, below, above, bx - ay)
    return math.exp(logarithm - math.log(x)) if logarithm < -600.0 else math.exp(logarithm) / x


@record(None, None, None, scipy="fdtri", domain={**_F, "p": (1e-300, 1.0)}, choices="as betaincinv")
def fdtri(dfn: float, dfd: float, p: float) -> float:
    """x with fdtr(dfn, dfd, x) = p; nan unless dfn, dfd > 0 and 0 <= p <= 1."""
    if not (_is_degrees(dfn, dfd) and p >= 0.0 and p <= 1.0):
        return math.nan
    a, b, q = 0.5 * dfn, 0.5 * dfd, 1.0 - p
    if p == 0.0:
        return at_end(p, a, 1.0)
    if q == 0.0:
        return math.inf
    start, scale = betaincinv_start(a, b, p, q), math.log(b / a)
    s = start + scale
    if abs(start) > 699.0 or abs(s) > 690.0:
        return math.exp(s) if s < 0.0 else math.inf
    first, second, smaller, sign = (a, b, p, 1.0) if p <= q else (b, a, q, -1.0)
    for _ in range(8):
        below, above, bx, ay = _parts(dfn, dfd, math.exp(s))
        if p > q:
            below, above, bx, ay = above, below, ay, bx
        step = sign * newton(first, second, smaller, below, above, bx, ay)
        s -= step
        if magnitude(step, s) <= 1e-9:
            break
    return math.exp(s)
