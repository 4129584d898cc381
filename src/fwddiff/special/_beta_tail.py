"""The smaller tail of a beta integral: I_x(a, b) = P·S with P = xᵃ (1 - x)ᵇ / B(a, b), for the whole family.

P is made of deviances and scaled gamma functions, which keep the digits that differences of log-gamma
functions lose for large parameters: C. Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.
S is a continued fraction, A. R. Didonato and A. H. Morris, Algorithm 708, ACM TOMS 18 (1992), or, for large
parameters, an integral. With a·y and b·x given beside x and y = 1 - x nothing here cancels where one
parameter grows and the function has a limit, so that derivatives keep their digits as well.
"""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import record
from fwddiff.special._gamma import stirling_rest


@record("-x*(1 / (1 + x))", domain={"x": (-1.0, 1e5)}, oracle="log1p(x) - x")
def log1pmx(x: float) -> float:
    """log(1 + x) - x, all digits near 0: 2 artanh(r) - x with r = x / (2 + x), DLMF 4.6.5."""
    if abs(x) < 0.3:
        r = x / (2.0 + x)
        w = r * r
        # No loop, so that kernels compute several elements side by side.
        series = 1.0 / 13 + w * (1.0 / 15 + w * (1.0 / 17 + w * (1.0 / 19 + w * (1.0 / 21))))
        series = 1.0 / 5 + w * (1.0 / 7 + w * (1.0 / 9 + w * (1.0 / 11 + w * series)))
        series = 1.0 / 3 + w * series
        return r * (2.0 * w * series - x)
    if x > -1.0:
        return math.log1p(x) - x
    return -math.inf if x == -1.0 else math.nan


@record(None, domain={"x": (1e-300, 1e300)}, oracle="loggamma(x) - (x - 0.5)*log(x) + x - log(2*pi)/2")
def log_gammastar(x: float) -> float:
    """log Γ*(x) = log Γ(x) - (x - ½) log x + x - ½ log 2π for x > 0, about 1/(12x): DLMF 5.11.1 and 5.11.3.

    Below 10 by recurrence, Γ(x + 10) = x (x + 1) … (x + 9) Γ(x).
    """
    if not x > 0.0:
        return math.nan
    if x < 1e-18:
        return -0.5 * (math.log(2.0 * math.pi) + math.log(x))
    z = x
    shift = 0.0
    if x < 10.0:
        z = x + 10.0
        product = x
        for k in range(1, 10):
            product *= x + k
        shift = (x - 0.5) * math.log1p(10.0 / x) + math.log(z**5 / product * z**5) - 10.0
    return shift + stirling_rest(z)


def _deviance(a: float, m: float, d: float) -> float:
    """a log(m/a) - d for m = a + d: Loader's -bd0. The difference is taken where it does not cancel."""
    if abs(d) < 0.3 * a:
        return a * log1pmx(d / a)
    if m <= 0.0:
        return -math.inf
    return a * math.log(m / a) - d


def log_power(a: float, b: float, x: float, y: float, d: float) -> float:
    """log(xᵃ yᵇ / B(a, b)) for x + y = 1 and d = b x - a y."""
    n = a + b
    deviance = _deviance(a, n * x, d) + _deviance(b, n * y, -d)
    small, large = (a, b) if a < b else (b, a)
    factor = 0.5 * (math.log(small) - math.log(2.0 * math.pi) - math.log1p(small / large))
    return deviance + factor + (log_gammastar(n) - log_gammastar(a) - log_gammastar(b))


def fraction(r: float, x: float, bx: float, e: float) -> float:
    """S = I_x(a, b) / P by a continued fraction's even part; r = 1/a, bx = b x, e = a (1 - x) - b x >= -½.

    Didonato and Morris (1992), the coefficients divided by a: only r and b x appear, which have limits for
    large a and b. Steed's recurrence (W. J. Lentz 1976; A. R. Barnett et al. 1974) adds steps that shrink to
    0, so that the loop stops at a step and not at rounding errors; the value settles relative to its own
    size, and partials that are small because the fraction hardly depends on a parameter settle with it.
    """
    before = 1.0 + r
    first = before / (e + 1.0)
    part, step, total = first, 1.0, 1.0
    for m in range(1, 500):
        up, here, after = 1.0 + (m - 1) * r, 1.0 + m * r, 1.0 + (2 * m + 1) * r
        left = (bx - m * x) / before
        numerator = m * (up / before) * (x * up + bx * r) * left
        ahead = m + m * left * r + here * (e + 1.0 + m * (2.0 - x)) / after
        new = 1.0 / (ahead + numerator * part)
        step = -step * numerator * part * new
        total += step
        part, before = new, after
        if magnitude(step, total) <= 1e-18:
            break
    return first * total


def integral(n: float, x: float, y: float, d: float) -> float:
    """S = I_x(a, b) / P for large a and b, n = a + b, d = b x - a y <= ½.

    S = ∫ exp(g(u)) du over u > 0, log(t / (1 - t)) = log(x / y) - u in the integral of tᵃ⁻¹ (1 - t)ᵇ⁻¹, so
    g(u) = -a u - n log(1 + x (e⁻ᵘ - 1)), written by the smaller of x and y without cancelling terms:
    about d u - n x y u²/2. Gauss's rule with 24 points reaches to where exp(g) is e⁻⁴⁴.
    """
    reach = 88.0 / (math.hypot(d, math.sqrt(88.0 * n * x * y)) - d)
    total = 0.0
    for i in range(12):
        node = (
            0.032028446431302815,
            0.09555943373680816,
            0.1575213398480817,
            0.21689675381302256,
            0.2727107356944198,
            0.3240468259684878,
            0.3700620957892772,
            0.4100009929869515,
            0.44320776350220054,
            0.4691372760013664,
            0.48736427798565474,
            0.49759360999851066,
        )[i]
        weight = (
            0.06396909767337608,
            0.06291872817341415,
            0.060835236463901696,
            0.0577528340268628,
            0.05372213505798282,
            0.04880932605205694,
            0.04309508076597664,
            0.03667324070554015,
            0.02964929245771839,
            0.022138719408709904,
            0.014265694314466832,
            0.0061706148999936,
        )[i]
        near, far = reach * (0.5 - node), reach * (0.5 + node)
        total += weight * (math.exp(_exponent(near, n, x, y, d)) + math.exp(_exponent(far, n, x, y, d)))
    return reach * total


def _exponent(u: float, n: float, x: float, y: float, d: float) -> float:
    """g(u) of `integral`, for u below 0.4."""
    z, s = (x, -u) if x < y else (y, u)
    series = 1.0
    for k in range(14, 2, -1):
        series = 1.0 + s * series * (1.0 / k)
    rest = 0.5 * u * u * series  # exp(s) - 1 - s
    return d * u - n * (z * rest + log1pmx(z * (rest + s)))


def ratio(a: float, b: float, x: float, y: float, bx: float, ay: float) -> float:
    """S = I_x(a, b) / P where x is not far above the mean: b x - a y <= ½."""
    if a < 2000.0 or b < 2000.0:
        return fraction(1.0 / a, x, bx, ay - bx)
    return integral(a + b, x, y, bx - ay)


def is_upper(x: float, y: float, bx: float, ay: float) -> bool:
    """Whether 1 - I_x(a, b) is the smaller tail, or the one whose fraction converges soon."""
    return bx - ay > 0.5 * (y - x)
