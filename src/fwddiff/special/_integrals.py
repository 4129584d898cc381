"""Integrals of elementary functions: exponential, Fresnel's, of sines; elliptic ones by the
arithmetic-geometric mean; Lambert's W.

Sources: DLMF 4.13 (W), 6 (exponential, sines), 7.2 (Fresnel), 19.8 (elliptic).
"""

import math

from fwddiff._record import from_scipy, means, record

_POSITIVE = (1e-3, 50.0)


@record("-exp(-x) / x", scipy="exp1", scipy_value="exp1", domain={"x": _POSITIVE}, oracle="expint(1, x)")
def exp1(x):
    """E₁(x) = ∫ exp(-t)/t dt from x to ∞; nan for x < 0."""
    return from_scipy("exp1", x)


@record("exp(x) / x", scipy="expi", scipy_value="expi", domain={"x": (-50.0, 50.0)}, oracle="ei(x)")
def expi(x):
    """Ei(x)."""
    return from_scipy("expi", x)


@record(
    "0",
    "where(n == 0, -y*(1 + 1 / x), -expn(n - 1, x))",
    scipy="expn",
    scipy_value="expn",
    whole=(0,),
    domain={"n": (0, 6), "x": _POSITIVE},
    oracle="expint(n, x)",
    choices="the order n is an integer, not differentiated",
)
def expn(n, x):
    """Eₙ(x) = ∫ exp(-x t)/tⁿ dt from 1 to ∞."""
    return from_scipy("expn", n, x)


@record("sin(pi*x*x / 2)", scipy_value="fresnel[0]", domain={"x": (-5.0, 5.0)}, oracle="fresnels(x)")
def fresnels(x):
    """S(x) = ∫ sin(π t²/2) dt from 0 to x."""
    return from_scipy("fresnel", x, result=0)


@record("cos(pi*x*x / 2)", scipy_value="fresnel[1]", domain={"x": (-5.0, 5.0)}, oracle="fresnelc(x)")
def fresnelc(x):
    """C(x) = ∫ cos(π t²/2) dt from 0 to x."""
    return from_scipy("fresnel", x, result=1)


@means("fresnel")
def fresnel(x):
    """(S, C)(x)."""
    return fresnels(x), fresnelc(x)


@record("sinc(x / pi)", scipy_value="sici[0]", domain={"x": (-50.0, 50.0)}, oracle="si(x)")
def sine_integral(x):
    """Si(x) = ∫ sin(t)/t dt from 0 to x."""
    return from_scipy("sici", x, result=0)


@record("cos(x) / x", scipy_value="sici[1]", domain={"x": _POSITIVE}, oracle="ci(x)")
def cosine_integral(x):
    """Ci(x) = γ + log x + ∫ (cos t - 1)/t dt from 0 to x."""
    return from_scipy("sici", x, result=1)


@means("sici")
def sici(x):
    """(Si, Ci)(x)."""
    return sine_integral(x), cosine_integral(x)


# --- elliptic integrals -------------------------------------------------------------------------------------
# The slopes in closed form are differences that vanish at m = 0: by the code, whose steps converge
# quadratically, derivatives a step behind.


def _ellipk(m):
    return ellipkm1(1.0 - m)


@record(
    None,
    scipy="ellipk",
    scipy_value="ellipk",
    code=_ellipk,
    domain={"m": (-50.0, 0.999)},
    oracle="ellipk(m)",
    choices="inf at m = 1; nan beyond",
)
def ellipk(m):
    """K(m) = ∫ (1 - m sin² t)^(-1/2) dt from 0 to π/2, of the parameter m = k²; π / (2 AGM(1, √(1 - m)))."""
    return from_scipy("ellipk", m)


def _ellipkm1(p):
    if not p > 0.0 or p == math.inf:
        return math.inf if p == 0.0 else 0.0 * p if p == math.inf else math.nan
    a, b = 1.0, math.sqrt(p)
    for _ in range(40):
        a, b, gap = 0.5 * (a + b), math.sqrt(a * b), abs(a - b)
        if gap < 1e-7 * a:
            break
    for _ in range(2):
        a, b = 0.5 * (a + b), math.sqrt(a * b)
    return 0.5 * math.pi / (0.5 * (a + b))


@record(
    None,
    scipy="ellipkm1",
    scipy_value="ellipkm1",
    code=_ellipkm1,
    domain={"p": (1e-10, 50.0)},
    oracle="ellipk(1 - p)",
)
def ellipkm1(p):
    """K(1 - p), exact for small p."""
    return from_scipy("ellipkm1", p)


def _ellipe(m):
    if m >= 1.0 or m != m:
        return 1.0 - math.sqrt(1.0 - m) if m == 1.0 else math.nan
    a, b, total, weight = 1.0, math.sqrt(1.0 - m), 1.0 - 0.5 * m, 0.5
    for k in range(45):
        c = 0.5 * (a - b)
        a, b = 0.5 * (a + b), math.sqrt(a * b)
        weight = 2.0 * weight
        total = total - weight * c * c
        if abs(c) < 1e-9 * a and k > 2:
            break
    return 0.5 * math.pi / (0.5 * (a + b)) * total


@record(
    None,
    scipy="ellipe",
    scipy_value="ellipe",
    code=_ellipe,
    domain={"m": (-50.0, 0.999)},
    oracle="ellipe(m)",
    choices="-inf at m = 1; nan beyond",
)
def ellipe(m):
    """E(m) = ∫ (1 - m sin² t)^(1/2) dt from 0 to π/2 (DLMF 19.8.6)."""
    return from_scipy("ellipe", m)


# --- Lambert's W --------------------------------------------------------------------------------------------


@record(
    "exp(-y) / (1 + y)",
    domain={"x": (-0.36, 1e6)},
    oracle="lambertw(x).real",
    choices="inf at -1/e; nan below",
)
def lambertw0(x):
    """The branch W₀ >= -1 of w exp(w) = x, by Halley's steps."""
    if not x >= -0.36787944117144233 or x == math.inf:
        return x if x == math.inf else (-1.0 if x == -0.36787944117144233 else math.nan)
    if x == 0.0:
        return x
    if x < -0.2:
        p = math.sqrt(2.0 * max(0.0, math.e * x + 1.0))
        w = -1.0 + p - p * p / 3.0 + 11.0 / 72.0 * p * p * p
    elif x < 3.0:
        w = math.log1p(x) * (1.0 - 0.25 * math.log1p(x))
    else:
        w = math.log(x) - math.log(math.log(x))
    return _halley(w, x)


@record(
    "exp(-y) / (1 + y)",
    domain={"x": (-0.36, -1e-6)},
    oracle="lambertw(x, -1).real",
    choices="-inf at -1/e; nan below and for x > 0",
)
def lambertwm1(x):
    """The branch W₋₁ <= -1 of w exp(w) = x, for -1/e <= x < 0."""
    if not (x >= -0.36787944117144233 and x < 0.0):
        return -math.inf if x == 0.0 else math.nan
    if x < -0.25:
        p = -math.sqrt(2.0 * max(0.0, math.e * x + 1.0))
        w = -1.0 + p - p * p / 3.0 + 11.0 / 72.0 * p * p * p
    else:
        w = math.log(-x) - math.log(-math.log(-x))
    return _halley(w, x)


def _halley(w, x):
    for _ in range(20):
        if w <= -745.0 or w == -1.0:
            break
        e = math.exp(w)
        f = w * e - x
        step = f / (e * (w + 1.0) - (w + 2.0) * f / (2.0 * w + 2.0))
        w = w - step
        if abs(step) <= 4e-16 * abs(w):
            break
    return w


@means("lambertw")
def lambertw(z, k=0):
    """The real branches k = 0 and k = -1, as floats; nan where W is complex, and for other k."""
    if k == 0:
        return lambertw0(z)
    return lambertwm1(z) if k == -1 else math.nan
