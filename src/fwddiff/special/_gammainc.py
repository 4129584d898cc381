"""Incomplete gamma functions, right in both tails, with derivatives in both arguments.

The smaller of P and Q = 1 - P is computed, the other is its complement. All methods are series and fractions
that are differentiated term by term; in each, value and derivative in `a` have terms of one sign, so that
tails keep their digits. Sources: NIST DLMF chapter 8; N. M. Temme, The asymptotic expansion of the incomplete
gamma functions, SIAM J. Math. Anal. 10 (1979); A. Gil, J. Segura and N. M. Temme, Efficient and accurate
algorithms for the computation and inversion of the incomplete gamma function ratios, SIAM J. Sci. Comput. 34
(2012); C. Loader, Fast and accurate computation of binomial probabilities (2000).
"""

import math

from fwddiff._record import record
from fwddiff.special._error import erfcx
from fwddiff.special._gamma import lgamma1p, stirling_rest
from fwddiff.special._logistic import _log1p_rest, kl_div


def _log_prefactor(a, x):
    """log(xᵃ exp(-x) / Γ(a + 1)): for large `a` by the deviance, because the three terms cancel.

    For small by Γ(z) / Γ(a + 1) = (a + 1) … (z - 1) with z = a + 10: a logarithm is cheaper than digamma.
    """
    if a < 10.0:
        z = a + 10.0
        product = 1.0
        for k in range(1, 10):
            product *= a + k
        log_gamma = (a + 9.5) * math.log(z) - z + 0.5 * math.log(2.0 * math.pi) + stirling_rest(z)
        return a * math.log(x) - x - log_gamma + math.log(product)
    return -kl_div(a, x) - stirling_rest(a) - 0.5 * math.log(2.0 * math.pi * a)


def _is_series(a, x):
    """Where the series for P is best. Up to 1.5 deviations above the mean the complement loses one digit."""
    return x < 2.0 if a < 1.0 else x < a + 1.5 * math.sqrt(a)


def _series(a, x):
    """P divided by the prefactor: DLMF 8.11.4.

    64 terms are enough for second derivatives where a < 12, and for x < a / 2. Not fewer: a loop that stops
    by itself takes four times as long, because elements side by side wait for each other.
    """
    term = total = 1.0
    for k in range(1, 65):
        inverse = 1.0 / (a + k)
        term *= x * inverse
        total += term
    return total


def _fraction(a, x):
    """Q divided by the prefactor: DLMF 8.9.2, contracted, from its end, as one fraction above / below.

    54 steps are enough for second derivatives at x >= 2; the scale keeps all products below 1e90.
    """
    scale = 1.0 / (x + a + 1.0)
    above = 0.0
    below = 1.0
    for back in range(54):
        n = 54.0 - back
        numerator = n * ((a - n) * scale) * scale * below
        below = (x + (2.0 * n + 1.0 - a)) * scale * below + above
        above = numerator
    return a * scale * below / ((x + (1.0 - a)) * scale * below + above)


def _small_upper(a, x):
    """Q for 0 <= a < 1 and x < 2, where it may be as small as `a`: DLMF 8.7.1, less 1."""
    exponent = a * math.log(x) - lgamma1p(a)
    term = 1.0
    total = 0.0
    for n in range(1, 31):
        term *= -x / n
        total += term / (a + n)
    return -math.expm1(exponent) - a * math.exp(exponent) * total


def _eta(a, x):
    """η with η²/2 = λ - 1 - log(λ) and the sign of λ - 1, λ = x / a from 1/2 to 2: smooth at λ = 1."""
    t = (x - a) / a
    return t * math.sqrt(2.0 * _log1p_rest(t))


def _uniform_rest(a, eta):
    """exp(aη²/2) (Q - erfc(η √(a/2)) / 2), a >= 12: Gil, Segura and Temme, section 2.5.

    The function f(η) = S'/a - η S + … of Temme's expansion is solved for the powers of η from the high ones
    down: b[n - 1] = f[n] + (n + 1) b[n + 1] / a, and Γ(a) = √(2π/a) (a/e)ᵃ (1 + b[1] / a).
    """
    # The numbers are the coefficients of η / (λ - 1), from that of η^27 down to that of η. No loop over a
    # tuple: compiled code finds its elements by a branch for each, and elements side by side go through all.
    r = 1.0 / a
    b26 = -1.65225312163981618e-16
    b25 = 8.09952115670456133e-16
    b24 = -1.97522882943494428e-15 + 26.0 * r * b26
    b23 = -5.13911183424257262e-16 + 25.0 * r * b25
    b22 = 2.85348938070474432e-14 + 24.0 * r * b24
    b21 = -1.39238872241816207e-13 + 23.0 * r * b23
    b20 = 3.37176326240098538e-13 + 22.0 * r * b22
    b19 = 1.10043920319561348e-13 + 21.0 * r * b21
    b18 = -5.02766928011417559e-12 + 20.0 * r * b20
    b17 = 2.43619480206674162e-11 + 19.0 * r * b19
    b16 = -5.83077213255042507e-11 + 18.0 * r * b18
    b15 = -2.55141939949462498e-11 + 17.0 * r * b17
    b14 = 9.14769958223679023e-10 + 16.0 * r * b16
    b13 = -4.38203601845335319e-9 + 15.0 * r * b15
    b12 = 1.0261809784240308e-8 + 14.0 * r * b14
    b11 = 6.70785354340149858e-9 + 13.0 * r * b13
    b10 = -1.76659527368260793e-7 + 12.0 * r * b12
    b9 = 8.29671134095308601e-7 + 11.0 * r * b11
    b8 = -1.85406221071515996e-6 + 10.0 * r * b10
    b7 = -2.18544851067999216e-6 + 9.0 * r * b9
    b6 = 0.0000391926317852243778 + 8.0 * r * b8
    b5 = -0.000178755144032921811 + 7.0 * r * b7
    b4 = 0.0003527336860670194 + 6.0 * r * b6
    b3 = 0.00115740740740740741 + 5.0 * r * b5
    b2 = -0.0148148148148148148 + 4.0 * r * b4
    b1 = 0.0833333333333333333 + 3.0 * r * b3
    b0 = -0.333333333333333333 + 2.0 * r * b2
    total = (((b26 * eta + b25) * eta + b24) * eta + b23) * eta + b22
    total = ((((total * eta + b21) * eta + b20) * eta + b19) * eta + b18) * eta + b17
    total = ((((total * eta + b16) * eta + b15) * eta + b14) * eta + b13) * eta + b12
    total = ((((total * eta + b11) * eta + b10) * eta + b9) * eta + b8) * eta + b7
    total = ((((total * eta + b6) * eta + b5) * eta + b4) * eta + b3) * eta + b2
    total = (total * eta + b1) * eta + b0
    return total / ((1.0 + b1 * r) * math.sqrt(2.0 * math.pi * a))


def _is_uniform(a, x):
    return a >= 12.0 and 0.5 * a <= x <= 2.0 * a


def _is_outside(a, x):
    """Whether P and Q are 0, 1 or nan: at the ends of both. A test of inf would keep code scalar."""
    return not (a >= 0.0 and a < 1e308 and x > 0.0 and x < 1e308)


def _outside(a, x):
    """P at the ends of the arguments, SciPy's choice."""
    if not (a >= 0.0 and x >= 0.0) or a == x:
        return math.nan
    return 0.0 if a > x else 1.0


@record(
    "where(x == 0, where(a > 1, 0, y*log(x + 0)), "
    "y*(log_minus_digamma(a) + where(abs(x - a) < a / 2, log1p((x - a) / a), log(x / a))))",
    "where(x == 0, where(a > 2, 0, where(a == 2, 1, where(a > 1, 1 / (x + 0), "
    "where(a == 1, -1, -1 / (x + 0))))), y*((a - 1 - x) / x))",
    domain={"a": (1e-2, 1e5), "x": (1e-300, 2e5)},
    oracle="exp((a - 1)*log(x) - x - loggamma(a))",
)
def gamma_density(a, x):
    """x^(a - 1) exp(-x) / Γ(a), the slope of gammainc in x; 0 for x < 0, nan for a < 0."""
    if not a >= 0.0 or x != x:
        return math.nan
    if x <= 0.0 or x == math.inf or a == math.inf:
        if x == 0.0 and a <= 1.0:
            return math.inf if a < 1.0 else 1.0
        return 0.0
    return a / x * math.exp(_log_prefactor(a, x))


@record(
    None,
    "gamma_density(a, x)",
    scipy="gammainc",
    domain={"a": (1e-2, 1e5), "x": (1e-300, 2e5)},
    oracle="gammainc(a, 0, x, regularized=True)",
)
def gammainc(a, x):
    """P(a, x) = ∫₀ˣ t^(a - 1) exp(-t) dt / Γ(a); nan for a < 0 or x < 0."""
    if _is_outside(a, x):
        return _outside(a, x)
    if _is_uniform(a, x):
        eta = _eta(a, x)
        z = eta * math.sqrt(0.5 * a)
        return 0.5 * math.erfc(-z) - math.exp(-z * z) * _uniform_rest(a, eta)
    if _is_series(a, x):
        return math.exp(_log_prefactor(a, x)) * _series(a, x)
    return 1.0 - math.exp(_log_prefactor(a, x)) * _fraction(a, x)


@record(
    None,
    "-gamma_density(a, x)",
    scipy="gammaincc",
    domain={"a": (1e-2, 1e5), "x": (1e-300, 2e5)},
    oracle="gammainc(a, x, regularized=True)",
)
def gammaincc(a, x):
    """Q(a, x) = 1 - P(a, x), small values directly; nan for a < 0 or x < 0."""
    if _is_outside(a, x):
        return 1.0 - _outside(a, x)
    if _is_uniform(a, x):
        eta = _eta(a, x)
        z = eta * math.sqrt(0.5 * a)
        return 0.5 * math.erfc(z) + math.exp(-z * z) * _uniform_rest(a, eta)
    if _is_series(a, x):
        if a < 1.0:
            return _small_upper(a, x)
        return 1.0 - math.exp(_log_prefactor(a, x)) * _series(a, x)
    return math.exp(_log_prefactor(a, x)) * _fraction(a, x)


def _log_complement(p):
    return math.log1p(-p) if p < 1.0 else -math.inf


def _log_uniform(a, x, sign):
    """log Q (sign = 1) for x >= a, log P (sign = -1) for x <= a: the exponential leaves the sum."""
    eta = _eta(a, x)
    z = eta * math.sqrt(0.5 * a)
    return math.log(0.5 * erfcx(sign * z) + sign * _uniform_rest(a, eta)) - z * z


@record(
    None,
    None,
    domain={"a": (1e-2, 1e5), "x": (1e-300, 2e5)},
    oracle="log(gammainc(a, 0, x, regularized=True))",
)
def log_gammainc(a, x):
    """log P(a, x), finite and right where P underflows."""
    if _is_outside(a, x):
        p = _outside(a, x)
        return 0.0 if p == 1.0 else (-math.inf if p == 0.0 else p)
    if x > a:
        return _log_complement(gammaincc(a, x))
    if _is_uniform(a, x):
        return _log_uniform(a, x, -1.0)
    return _log_prefactor(a, x) + math.log(_series(a, x))


@record(
    None,
    None,
    domain={"a": (1e-2, 1e5), "x": (1e-300, 2e5)},
    oracle="log(gammainc(a, x, regularized=True))",
)
def log_gammaincc(a, x):
    """log Q(a, x), finite and right where Q underflows."""
    if _is_outside(a, x):
        p = _outside(a, x)
        return 0.0 if p == 0.0 else (-math.inf if p == 1.0 else p)
    if a < 1.0 and x < 2.0:
        upper = _small_upper(a, x)
        if not upper > 0.5:
            return math.log(upper) if upper > 0.0 else -math.inf
        return _log_complement(gammainc(a, x))
    if x < a or _is_series(a, x):
        return _log_complement(gammainc(a, x))
    if _is_uniform(a, x):
        return _log_uniform(a, x, 1.0)
    fraction = _fraction(a, x)
    return _log_prefactor(a, x) + math.log(fraction) if fraction > 0.0 else -math.inf
