"""Relatives of the gamma function and zeta functions; `fwddiff._special` has digamma and polygamma.

Source: NIST DLMF chapters 5 and 25.
"""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import means, record


def is_pole(x):
    """Whether Γ has a pole: 0, -1, -2, …, which all floats beyond -2⁵² are; not nan."""
    return x <= 0.0 and (x <= -4503599627370496.0 or x == math.floor(x))


@record("digamma(1 + a)", domain={"a": (0.0, 1e5)}, oracle="loggamma(1 + a)")
def lgamma1p(a):
    """log Γ(1 + a) for a > -1, with all digits around a = 0 (DLMF 5.7.3); nan below."""
    if not abs(a) < 0.5:
        return math.lgamma(1.0 + a) if a > -1.0 else math.nan
    # ζ(k) - 1 for k = 31, …, 2
    zeta_less_1 = (
        4.65662906503378407e-10,
        9.31327432419668183e-10,
        1.86265972351304901e-9,
        3.72533402478845705e-9,
        7.45071178983542949e-9,
        1.49015548283650412e-8,
        2.98035035146522802e-8,
        5.96081890512594796e-8,
        1.19219925965311073e-7,
        2.3845050272773299e-7,
        4.76932986787806463e-7,
        9.53962033872796113e-7,
        1.90821271655393893e-6,
        3.81729326499983986e-6,
        7.63719763789976227e-6,
        0.0000152822594086518717,
        0.0000305882363070204936,
        0.0000612481350587048293,
        0.000122713347578489147,
        0.000246086553308048299,
        0.000494188604119464559,
        0.000994575127818085337,
        0.00200839282608221442,
        0.00407735619794433938,
        0.00834927738192282684,
        0.0173430619844491397,
        0.0369277551433699263,
        0.0823232337111381915,
        0.202056903159594285,
        0.644934066848226436,
    )
    total = 0.0
    k = 31.0
    for rest in zeta_less_1:
        total = rest / k - a * total
        k -= 1.0
    return (0.42278433509846714 * a - math.log1p(a)) + a * a * total


@record(None, domain={"a": (1e-3, 1e6)}, oracle="log(a) - psi(0, a)")
def log_minus_digamma(a):
    """log(a) - ψ(a) for a > 0, which cancel for large a: DLMF 5.11.2 after the recurrence up to 10."""
    z = 1.0 * a
    if not z > 0.0:
        return math.inf if z == 0.0 else math.nan
    total = 0.0
    while z < 10.0:
        total += 1.0 / z
        z += 1.0
    total += math.log(a / z) if z > a else 0.0
    w = 1.0 / z / z
    tail = 1.0 / 252 - w * (1.0 / 240 - w * (1.0 / 132 - w * (691.0 / 32760 - w / 12.0)))
    return total + 0.5 / z + w * (1.0 / 12 - w * (1.0 / 120 - w * tail))


def stirling_rest(a):
    """log Γ(a) - (a - 1/2) log(a) + a - log(2π)/2 for a >= 10: DLMF 5.11.1."""
    w = 1.0 / a / a
    tail = 1.0 / 1680 - w * (1.0 / 1188 - w * (691.0 / 360360 - w * (1.0 / 156 - w * (3617.0 / 122400))))
    return (1.0 / 12 - w * (1.0 / 360 - w * (1.0 / 1260 - w * tail))) / a


@record("where(x < 0, y, digamma(x))", scipy="loggamma", domain={"x": (1e-300, 1e300)}, oracle="loggamma(x)")
def loggamma(x):
    """log Γ(x) of a real number: inf at 0 and nan below, where `gammaln` gives log |Γ(x)|."""
    if x > 0.0:
        return math.lgamma(x) if x < 2.5e305 else math.inf
    return math.inf if x == 0.0 else math.nan


@record("0", scipy="gammasgn", domain={"x": (-170.0, 170.0)}, choices="0 everywhere, at the poles too")
def gammasgn(x):
    """The sign of Γ(x): 1 for x > 0, ±1 at ±0, nan at the other poles."""
    if x > 0.0:
        return 1.0
    if x == 0.0:
        return math.copysign(1.0, x)
    if x != x or is_pole(x):
        return math.nan
    return 1.0 if math.floor(x) % 2.0 == 0.0 else -1.0


def _sin_pi(x):
    """sin(πx), |x| < 2**52: the distance to the nearest zero is exact."""
    nearest = math.floor(x + 0.5)
    return (1.0 if nearest % 2.0 == 0.0 else -1.0) * math.sin(math.pi * (x - nearest))


@record(None, scipy="rgamma", domain={"x": (-170.0, 171.0)}, oracle="rgamma(x)")
def rgamma(x):
    """1 / Γ(x): entire, 0 with its slope at the poles of Γ (DLMF 5.5.3 for x < -1/2)."""
    if x > 190.0 or x == -math.inf:
        return 0.0 if x > 0.0 else math.nan
    if x > 60.0:
        # Γ(x) overflows before 1 / Γ(x) is 0, and its cube, of which the second slope is made, far earlier.
        z = x
        while z > 60.0:
            z -= 1.0
        value = 1.0 / math.gamma(z)
        while z < x - 0.5:
            value /= z
            z += 1.0
        return value
    if x > 0.5:
        return 1.0 / math.gamma(x)
    if x > -0.5:
        return x / math.gamma(1.0 + x)
    if not x > -4503599627370496.0:
        return x if x != x else 0.0
    if x > -171.6:
        return math.gamma(-x) * (_sin_pi(x) / math.pi) * -x
    sine = _sin_pi(x)
    return sine * math.inf if sine != 0.0 else sine


def _hurwitz(x, q):
    """Σ (q + n)⁻ˣ by Euler and Maclaurin (DLMF 25.11.43), q > 0; continued to -10 < x < 1."""
    total = 0.0
    z = 1.0 * q
    for _ in range(1000):
        if z >= 12.0 + x:
            break
        step = z ** (-1.0 * x)
        total += step
        z += 1.0
        if x > 12.0 and (step == 0.0 or magnitude(step / total) <= 1e-18):
            return total
    power = z ** (-1.0 * x)
    rest = power * z / (x - 1.0) + 0.5 * power
    term = x * power / z
    w = 1.0 / z / z
    for j in range(10):
        rest += (
            term
            * (
                1.0 / 12,
                -1.0 / 720,
                1.0 / 30240,
                -1.0 / 1209600,
                1.0 / 47900160,
                -691.0 / 1307674368000,
                1.0 / 74724249600,
                -3617.0 / 10670622842880000,
                43867.0 / 5109094217170944000,
                -174611.0 / 802857662698291200000,
            )[j]
        )
        term *= (x + 2.0 * j + 1.0) * (x + 2.0 * j + 2.0) * w
    return total + rest


@record(
    None,
    "-x*hurwitz_zeta(x + 1, q)",
    domain={"x": (1.0, 100.0), "q": (1e-2, 1e6)},
    oracle="zeta(x, q)",
    choices="nan for q < 0, where SciPy has values at whole x alone",
)
def hurwitz_zeta(x, q):
    """Hurwitz's zeta function Σ (q + n)⁻ˣ for x > 1; inf at x = 1 and at q = 0, nan for x < 1 and q < 0."""
    if not (x >= 1.0 and q >= 0.0):
        return math.nan
    if x == 1.0 or q == 0.0:
        return math.inf
    if q == math.inf:
        return 0.0
    exponent = -x * math.log(q)
    if not -744.0 < exponent < 709.0:
        return math.inf if exponent > 0.0 else 0.0
    return _hurwitz(x, q)


@record(None, domain={"x": (-50.0, 50.0)}, oracle="zeta(x)")
def riemann_zeta(x):
    """Riemann's zeta function; inf at 1, nan at -inf.

    For x < 0 by its functional equation DLMF 25.4.1, with its zeros exact.
    """
    if x == 1.0:
        return math.inf
    if x > 60.0:
        return 1.0 + (2.0 ** (-1.0 * x) if x < math.inf else 0.0)
    if x > -0.01:  # not by ζ(1 - x), which has its pole at x = 0
        return _hurwitz(x, 1.0)
    sine = _sin_pi(0.5 * x) if x > -4503599627370496.0 else math.nan
    if not x > -250.0:
        return sine * math.inf if sine != 0.0 else 0.0
    factor = math.exp(math.lgamma(1.0 - x) + (x - 1.0) * math.log(2.0 * math.pi))
    if x > -150.0:
        factor = math.gamma(1.0 - x) * math.exp((x - 1.0) * math.log(2.0 * math.pi))
    return 2.0 * factor * sine * _hurwitz(1.0 - x, 1.0)


@means("zeta")
def zeta(x, q=None):
    """Riemann's zeta function of x, or Hurwitz's of x and q."""
    return riemann_zeta(x) if q is None else hurwitz_zeta(x, q)


@record(None, "0", scipy="multigammaln", whole=(1,), domain={"a": (2.0, 1e5), "d": (1, 2, 4)})
def multigammaln(a, d):
    """log of the multivariate gamma function of dimension d >= 1; nan unless a > (d - 1) / 2."""
    order = 1.0 * d
    if not (1.0 <= order <= 10000.0 and order == math.floor(order)) or not 2.0 * a > order - 1.0:
        return math.nan
    total = 0.25 * order * (order - 1.0) * math.log(math.pi)
    for k in range(int(order)):
        total += loggamma(a - 0.5 * k)
    return total
