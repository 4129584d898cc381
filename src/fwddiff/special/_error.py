"""The error function and the normal distribution: values by fits and fractions, all slopes in closed form.

Sources: NIST DLMF chapter 7; M. M. Shepherd and J. G. Laframboise, Chebyshev approximation of
(1 + 2x) exp(x²) erfc x, Math. Comp. 36 (1981); M. J. Wichura, Algorithm AS 241, Applied Statistics 37 (1988);
D. B. Owen, Tables for computing bivariate normal probabilities, Ann. Math. Statist. 27 (1956).
"""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import record


def _polynomial(t, coefficients):
    """By Horner's scheme, the highest power first."""
    total = 0.0
    for coefficient in coefficients:
        total = total * t + coefficient
    return total


def _exp_square(x, factor):
    """exp(factor * x²) without the rounding error of x², which the exponential would magnify."""
    near = math.floor(16.0 * x) / 16.0
    return math.exp(factor * near * near) * math.exp(factor * (x - near) * (x + near))


def _erfcx_above(z):
    """erfcx for z >= 0: a Chebyshev series in (z - 3.75) / (z + 3.75), divided by 1 + 2z."""
    if z > 1e8:
        return 1.0 / (math.sqrt(math.pi) * z)
    coefficients = (
        -7.3395050085295393635e-11,
        -3.7531582779596203421e-11,
        9.0221497003405903624e-10,
        5.4571573047046879131e-10,
        -6.5455602124802672954e-9,
        -4.3892841599863283907e-9,
        4.0971223152703003348e-8,
        2.4289762925488707419e-8,
        -2.611470235990095524e-7,
        -5.8262810788007770897e-8,
        1.7534434251106333659e-6,
        -9.7284958221112202936e-7,
        -0.000011445049125831308984,
        0.00002238391203655067914,
        0.000051649407775463988,
        -0.00029015397928986765965,
        0.00029371359480570737346,
        0.0017556258324217528098,
        -0.009746579547619622968,
        0.028362277421515597104,
        -0.05869339859054761866,
        0.092304321160198334263,
        -0.1088039301417074552,
        0.08227673849015102403,
        0.0035854154854636900471,
        -0.14024059858554701837,
        1.2375126308378275818,
    )
    return _polynomial((z - 3.75) / (z + 3.75), coefficients) / (1.0 + 2.0 * z)


@record(
    "where(x < 3 / 2, 2*x*y - 2 / sqrt(pi), -2*ierfcx(1, x))",
    scipy="erfcx",
    domain={"x": (-26.0, 1e6)},
    oracle="exp(x*x)*erfc(x)",
)
def erfcx(x):
    """exp(x²) erfc(x). Error below 4 eps. The slope 2xy - 2/√π has no digit left for large x."""
    z = abs(1.0 * x)
    value = _erfcx_above(z)
    if not x < 0.0:
        return value
    return 2.0 * _exp_square(z, 1.0) - value if z < 26.7 else math.inf


@record("0", "-2*(n + 1)*ierfcx(n + 1, x)", whole=(0,), domain={"n": (1, 2, 3), "x": (-20.0, 1e6)})
def ierfcx(n, x):
    """exp(x²) iⁿerfc(x), iterated integrals of erfc: erfcx for n = 0; nan unless n is an integer >= 0.

    With n = -1 for 2/√π the recurrence DLMF 7.18.7 is w[k-2] = 2x w[k-1] + 2k w[k]: upwards it is stable
    for x <= 0 and loses a digit up to the x where the fraction of its ratios begins (7.18.13).
    """
    order = 1.0 * n
    z = 1.0 * x
    if not (order >= 0.0 and order <= 1000.0 and order == math.floor(order)) or z != z:
        return math.nan
    if z < (1.5 if order < 2.0 else 0.5):
        before, value = 2.0 / math.sqrt(math.pi), erfcx(z)
        for k in range(1, int(order) + 1):
            before, value = value, (before - 2.0 * z * value) / (2.0 * k)
        return value
    top = int(order + 14.0 + 220.0 / z / z)
    ratio = 0.0
    value = 2.0 / math.sqrt(math.pi)
    for back in range(top + 1):
        k = top - back
        ratio = 1.0 / (2.0 * z + 2.0 * (k + 1.0) * ratio)
        if k <= order:
            value *= ratio
    return value


@record("exp(-x*x / 2) / sqrt(2*pi)", scipy="ndtr", domain={"x": (-37.0, 37.0)}, oracle="ncdf(x)")
def ndtr(x):
    """The normal distribution function, to 4 eps of the value down to its underflow at x = -38.5."""
    if not x < -1.0:
        return 0.5 * math.erfc(-math.sqrt(0.5) * x)
    return 0.5 * erfcx(-math.sqrt(0.5) * x) * _exp_square(x, -0.5) if x > -39.0 else 0.0


@record(
    # Above 0 the density over the value: erfcx overflows there, and its slope with it.
    "where(x > 0, exp(-x*x / 2 - y) / sqrt(2*pi), sqrt(2 / pi) / erfcx(-x / sqrt(2)))",
    scipy="log_ndtr",
    domain={"x": (-1e5, 37.0)},
    oracle="log(erfc(-x / sqrt(2)) / 2)",
)
def log_ndtr(x):
    """log of the normal distribution function; the slope is the inverse of Mills' ratio at -x."""
    if not x < -1.0:
        return math.log1p(-ndtr(-x))
    scaled = erfcx(-math.sqrt(0.5) * x)
    return math.log(0.5 * scaled) - 0.5 * x * x if scaled > 0.0 else -math.inf


def _central(q):
    """The normal quantile of 1/2 + q, |q| <= 0.425 (AS 241)."""
    r = 0.180625 - q * q
    above = (
        2509.0809287301226727,
        33430.575583588128105,
        67265.770927008700853,
        45921.953931549871457,
        13731.693765509461125,
        1971.5909503065514427,
        133.14166789178437745,
        3.387132872796366608,
    )
    below = (
        5226.495278852545925,
        28729.085735721942674,
        39307.89580009271061,
        21213.794301586595867,
        5394.1960214247511077,
        687.1870074920579083,
        42.313330701600911252,
        1.0,
    )
    return q * _polynomial(r, above) / _polynomial(r, below)


def _tail(r):
    """Minus the normal quantile of exp(-r²), 1.6 <= r (AS 241 up to r = 27, then Newton's iteration)."""
    if r <= 5.0:
        above = (
            7.7454501427834140764e-4,
            0.0227238449892691845833,
            0.24178072517745061177,
            1.27045825245236838258,
            3.64784832476320460504,
            5.7694972214606914055,
            4.6303378461565452959,
            1.42343711074968357734,
        )
        below = (
            1.05075007164441684324e-9,
            5.475938084995344946e-4,
            0.0151986665636164571966,
            0.14810397642748007459,
            0.68976733498510000455,
            1.6763848301838038494,
            2.05319162663775882187,
            1.0,
        )
        return _polynomial(r - 1.6, above) / _polynomial(r - 1.6, below)
    if r <= 27.0:
        far_above = (
            2.01033439929228813265e-7,
            2.71155556874348757815e-5,
            0.0012426609473880784386,
            0.026532189526576123093,
            0.29656057182850489123,
            1.7848265399172913358,
            5.4637849111641143699,
            6.6579046435011037772,
        )
        far_below = (
            2.04426310338993978564e-15,
            1.4215117583164458887e-7,
            1.8463183175100546818e-5,
            7.868691311456132591e-4,
            0.0148753612908506148525,
            0.13692988092273580531,
            0.59983220655588793769,
            1.0,
        )
        return _polynomial(r - 5.0, far_above) / _polynomial(r - 5.0, far_below)
    return _far_tail(r)


def _far_tail(r):
    # x²/2 - log(erfcx(x/√2)/2) = r², divided by r: no square overflows.
    x = r / math.sqrt(0.5)
    for _ in range(4):
        scaled = erfcx(math.sqrt(0.5) * x)
        if not scaled > 0.0:
            break
        rest = (math.sqrt(0.5) * x - r) * (math.sqrt(0.5) * x + r) - math.log(0.5 * scaled)
        x -= rest * scaled * 1.2533141373155003
    return x


def _quantile(p, complement, q):
    """The normal quantile of p = 1 - complement = 1/2 + q; each is right where it is small."""
    if abs(q) <= 0.425:
        return _central(q)
    smaller = p if q < 0.0 else complement
    if not smaller > 0.0:
        return math.copysign(math.inf, q) if smaller == 0.0 else math.nan
    return math.copysign(_tail(math.sqrt(-math.log(smaller))), q)


@record("sqrt(2*pi)*exp(y*y / 2)", scipy="ndtri", domain={"p": (1e-300, 1.0)})
def ndtri(p):
    """The normal quantile. Error below 8 eps. p outside [0, 1]: nan."""
    return _quantile(1.0 * p, 1.0 - p, p - 0.5)


@record("sqrt(pi / 2)*erfcx(-y / sqrt(2))", scipy="ndtri_exp", domain={"x": (-1e10, -1e-10)})
def ndtri_exp(x):
    """The normal quantile of exp(x), the inverse of log_ndtr; nan for x > 0."""
    if not x <= 0.0:
        return math.nan
    if x < -2.56:
        return -_tail(math.sqrt(-x)) if x > -math.inf else -math.inf
    complement = -math.expm1(x)
    return _quantile(math.exp(x), complement, 0.5 - complement)


@record("sqrt(pi) / 2*exp(y*y)", scipy="erfinv", domain={"x": (-1.0, 1.0)}, oracle="erfinv(x)")
def erfinv(x):
    """The inverse of erf; ±inf at ±1 and nan beyond. Error below 8 eps."""
    return math.sqrt(0.5) * _quantile(0.5 * (1.0 + x), 0.5 * (1.0 - x), 0.5 * x)


@record("-sqrt(pi) / 2*exp(y*y)", scipy="erfcinv", domain={"x": (1e-300, 2.0)})
def erfcinv(x):
    """The inverse of erfc; inf at 0, -inf at 2 and nan beyond. Error below 8 eps."""
    if x < 0.1 and x > 0.0:
        return math.sqrt(0.5) * _tail(math.sqrt(math.log(2.0) - math.log(x)))
    return -math.sqrt(0.5) * _quantile(0.5 * x, 0.5 * (2.0 - x), 0.5 * (x - 1.0))


@record(None, scipy="dawsn", domain={"x": (-1e6, 1e6)}, oracle="sqrt(pi)/2*exp(-x*x)*erfi(x)")
def dawsn(x):
    """Dawson's integral exp(-x²) ∫₀ˣ exp(t²) dt. Error below 8 eps.

    Not by its slope 1 - 2xy, which cancels for large x. exp(-x²) times the series of positive terms of the
    integral; from |x| = 6.3 on the asymptotic series (DLMF 7.6.2 with 7.5.1, 7.12.1), good to exp(-x²).
    """
    z = 1.0 * x
    square = z * z
    if square > 39.7:
        term = total = 1.0
        for k in range(30):
            term *= (k + 0.5) / square
            total += term
            if magnitude(term, total) <= 1e-17:
                break
        return 0.5 * total / z
    term = total = 1.0
    for k in range(1, 200):
        term *= square / k
        step = term / (2.0 * k + 1.0)
        total += step
        if magnitude(step, total) <= 1e-17:
            break
    return z * math.exp(-square) * total if z == z else z


def _owens_t_small(h, a):
    """2π exp(h²/2) T(h, a), h >= 0, 0 <= a <= 1: its integral up to 8.6 deviations (Gauss-Legendre)."""
    nodes = (
        0.0640568928626056261,
        0.191118867473616309,
        0.315042679696163374,
        0.433793507626045138,
        0.545421471388839536,
        0.648093651936975569,
        0.740124191578554364,
        0.820001985973902922,
        0.886415527004401034,
        0.938274552002732759,
        0.974728555971309498,
        0.99518721999702136,
    )
    weights = (
        0.127938195346752157,
        0.125837456346828296,
        0.121670472927803391,
        0.115505668053725601,
        0.107444270115965635,
        0.0976186521041138883,
        0.0861901615319532759,
        0.0733464814110803057,
        0.0592985849154367807,
        0.0442774388174198062,
        0.0285313886289336632,
        0.0123412297999871995,
    )
    half = 0.5 * (a if a * h <= 8.6 else 8.6 / h)
    total = 0.0
    for k in range(12):
        left = half * (1.0 - nodes[k])
        right = half * (1.0 + nodes[k])
        below = math.exp(-0.5 * h * h * left * left) / (1.0 + left * left)
        above = math.exp(-0.5 * h * h * right * right) / (1.0 + right * right)
        total += weights[k] * (below + above)
    return half * total


@record(
    "-exp(-h*h / 2)*erf(a*h / sqrt(2)) / (2*sqrt(2*pi))",
    "exp(-h*h*(1 + a*a) / 2) / (2*pi*(1 + a*a))",
    scipy="owens_t",
    domain={"h": (-30.0, 30.0), "a": (-1e3, 1e3)},
    oracle="exp(-h*h/2)/(2*pi)*quad(lambda t: exp(-h*h*t*t/2)/(1+t*t), [0, a])",
)
def owens_t(h, a):
    """Owen's T: 1/2π ∫₀ᵃ exp(-h²(1 + t²)/2) / (1 + t²) dt. Error below 20 eps.

    |a| > 1 by T(h, a) + T(ah, 1/a) = (Q(h) + Q(ah))/2 - Q(h) Q(ah), Q the upper tail (Owen 1956, 2.3).
    """
    size, slope = abs(1.0 * h), abs(1.0 * a)
    if size != size or slope != slope:
        return math.nan
    if size > 39.0:
        return 0.0 * math.copysign(1.0, a)
    if size == 0.0:
        value = math.atan(slope) / (2.0 * math.pi)
    elif slope <= 1.0:
        value = _exp_square(size, -0.5) * _owens_t_small(size, slope) / (2.0 * math.pi)
    else:
        upper, other = ndtr(-size), ndtr(-size * slope)
        value = 0.5 * upper * (1.0 - other) + 0.5 * other * (1.0 - upper)
        if size * slope < 39.0:
            rest = _owens_t_small(size * slope, 1.0 / slope)
            value -= _exp_square(size * slope, -0.5) * rest / (2.0 * math.pi)
    return math.copysign(value, a)
