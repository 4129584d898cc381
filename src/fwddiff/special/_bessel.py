"""Bessel functions: values of SciPy; slopes in the argument by recurrences, in the order by integrals.

Sources: DLMF 10.6, 10.29 (slopes), 10.9, 10.32 (integrals), 10.25, 10.40 (series), 10.47 (spherical).
The trapezoidal rule is exact to rounding here: Trefethen and Weideman, SIAM Review 56 (2014).
"""

import math

from fwddiff._record import from_scipy, means, record

_X = (-50.0, 50.0)
_POSITIVE = (1e-3, 50.0)
_ORDER = (0.0, 20.0)


def _is_moderate(v, x):
    """Where slopes in the order are found."""
    return 1e-100 < x < 1e5 and -1000.0 < v < 1000.0


@record("-j1(x)", scipy="j0", scipy_value="j0", domain={"x": _X}, oracle="besselj(0, x)")
def j0(x):
    """J₀(x)."""
    return from_scipy("j0", x)


@record("(j0(x) - jv(2, x)) / 2", scipy="j1", scipy_value="j1", domain={"x": _X}, oracle="besselj(1, x)")
def j1(x):
    """J₁(x)."""
    return from_scipy("j1", x)


@record("-y1(x)", scipy="y0", scipy_value="y0", domain={"x": _POSITIVE}, oracle="bessely(0, x)")
def y0(x):
    """Y₀(x); nan for x < 0."""
    return from_scipy("y0", x)


@record("y0(x) - y / x", scipy="y1", scipy_value="y1", domain={"x": _POSITIVE}, oracle="bessely(1, x)")
def y1(x):
    """Y₁(x); nan for x < 0."""
    return from_scipy("y1", x)


@record("i1(x)", scipy="i0", scipy_value="i0", domain={"x": _X}, oracle="besseli(0, x)")
def i0(x):
    """I₀(x)."""
    return from_scipy("i0", x)


@record("(i0(x) + iv(2, x)) / 2", scipy="i1", scipy_value="i1", domain={"x": _X}, oracle="besseli(1, x)")
def i1(x):
    """I₁(x)."""
    return from_scipy("i1", x)


@record("-k1(x)", scipy="k0", scipy_value="k0", domain={"x": _POSITIVE}, oracle="besselk(0, x)")
def k0(x):
    """K₀(x); nan for x < 0."""
    return from_scipy("k0", x)


@record("-k0(x) - y / x", scipy="k1", scipy_value="k1", domain={"x": _POSITIVE}, oracle="besselk(1, x)")
def k1(x):
    """K₁(x); nan for x < 0."""
    return from_scipy("k1", x)


# --- scaled -------------------------------------------------------------------------------------------------
# Slopes by recurrences lose log10(x) digits, because exp(x) K and exp(-x) I hardly change: by the code.


def _i0e(x):
    if not abs(x) < math.inf:
        return 0.0 * x if x == x else x
    return _scaled_i(0.0, abs(x)) if x != 0.0 else 1.0 - abs(x) + 0.75 * x * x


@record(
    None,
    scipy="i0e",
    scipy_value="i0e",
    code=_i0e,
    domain={"x": (-1e4, 1e4)},
    oracle="exp(-abs(x))*besseli(0, x)",
)
def i0e(x):
    """exp(-|x|) I₀(x)."""
    return from_scipy("i0e", x)


def _i1e(x):
    if not abs(x) < math.inf:
        return 0.0 * x if x == x else x
    if x == 0.0:
        return 0.5 * x - 0.5 * x * abs(x)
    return _scaled_i(1.0, x) if x > 0.0 else -_scaled_i(1.0, -x)


@record(
    None,
    scipy="i1e",
    scipy_value="i1e",
    code=_i1e,
    domain={"x": (-1e4, 1e4)},
    oracle="exp(-abs(x))*besseli(1, x)",
)
def i1e(x):
    """exp(-|x|) I₁(x)."""
    return from_scipy("i1e", x)


def _ive(v, x):
    if not _is_moderate(v, x):
        return math.nan * (v + x)
    if v < 0.0:  # I₋ᵥ = Iᵥ + (2/π) sin(πv) Kᵥ, DLMF 10.27.2
        return _scaled_i(-v, x) + 2.0 / math.pi * math.sin(-math.pi * v) * _scaled_k(-v, x) * math.exp(
            -2.0 * x
        )
    return _scaled_i(v, x)


@record(
    None,
    None,
    scipy="ive",
    scipy_value="ive",
    code=_ive,
    domain={"v": _ORDER, "x": (1e-3, 1e3)},
    oracle="exp(-abs(x))*besseli(v, x)",
    choices="nan in the order for x <= 0, and beyond 1000 or for x beyond 1e5",
)
def ive(v, x):
    """exp(-|x|) I_v(x), real order."""
    return from_scipy("ive", v, x)


def _iv(v, x):
    return ive(v, x) * math.exp(x) if x < 709.0 else math.nan * (v + x)


@record(
    None,
    "(iv(v - 1, x) + iv(v + 1, x)) / 2",
    scipy="iv",
    scipy_value="iv",
    code=_iv,
    domain={"v": _ORDER, "x": (1e-3, 100.0)},
    oracle="besseli(v, x)",
    choices="nan in the order for x <= 0, and beyond 1000 or for x beyond 1e5",
)
def iv(v, x):
    """I_v(x), real order."""
    return from_scipy("iv", v, x)


def _kve(v, x):
    if not _is_moderate(v, x):
        return math.nan * (v + x)
    return _scaled_k(abs(v), x) if v != 0.0 else _scaled_k(v, x)


@record(
    None,
    None,
    scipy="kve",
    scipy_value="kve",
    code=_kve,
    domain={"v": _ORDER, "x": (1e-3, 1e4)},
    oracle="exp(x)*besselk(v, x)",
    choices="nan in the order for x <= 0, and beyond 1000 or for x beyond 1e5",
)
def kve(v, x):
    """exp(x) K_v(x), real order."""
    return from_scipy("kve", v, x)


def _kv(v, x):
    return kve(v, x) * math.exp(-x) if x > 0.0 else math.nan * (v + x)


@record(
    None,
    "-(kv(v - 1, x) + kv(v + 1, x)) / 2",
    scipy="kv",
    scipy_value="kv",
    code=_kv,
    domain={"v": _ORDER, "x": (1e-3, 500.0)},
    oracle="besselk(v, x)",
    choices="nan in the order for x <= 0, and beyond 1000 or for x beyond 1e5",
)
def kv(v, x):
    """K_v(x), real order."""
    return from_scipy("kv", v, x)


def _scaled_k(v, x):
    """exp(x) ∫ exp(-x cosh t) cosh(v t) dt from 0 to ∞ (DLMF 10.32.9), by the trapezoidal rule.

    The step follows the width (x² + v²)^(-1/4) of the peak at sinh t = v / x, and the strip |Im t| < π/2 in
    which the integrand decays: with a step h the error is below exp(-π²/h + v (1 + log(2π / (v h)))) of the
    integral, 1e-17. Terms are relative to the largest.
    """
    width = math.sqrt(math.hypot(x, v))
    step = 0.4 / width if width > 2.2 else 0.18
    top = math.asinh(v / x)
    peak = v * top - x * (math.cosh(top) - 1.0)
    if peak > 700.0:
        return math.inf * (1.0 + v)
    total = 0.5 * math.exp(-peak)
    for k in range(1, 4000):
        t = k * step
        half = math.sinh(0.5 * t)
        fall = -2.0 * x * half * half - peak  # x (1 - cosh t)
        total = total + 0.5 * (math.exp(fall + v * t) + math.exp(fall - v * t))
        if t > top and fall + v * t < -46.0:
            break
    return total * step * math.exp(peak)


def _scaled_i(v, x):
    """exp(-x) I_v(x) for v >= 0 and x > 0: Hankel's expansion (DLMF 10.40.1) where its smallest term is below
    rounding, else the power series (10.25.2), which has no sign changes."""
    if x > 25.0 and x > 0.5 * v * v:
        total, term = 1.0, 1.0
        for k in range(1, 120):
            step = -(4.0 * v * v - (2.0 * k - 1.0) ** 2) / (8.0 * k * x)
            term = term * step
            total = total + term
            if abs(term) < 1e-18 * abs(total) and k > v:
                break
        return total / math.sqrt(2.0 * math.pi * x)
    # From the largest term outwards, so that nothing overflows.
    middle = math.floor(0.5 * (math.sqrt(v * v + x * x) - v))
    log_term = (
        (2.0 * middle + v) * math.log(0.5 * x) - x - math.lgamma(middle + 1.0) - math.lgamma(middle + v + 1.0)
    )
    if log_term < -745.0:
        return 0.0 * v
    quarter, total, term, k = 0.25 * x * x, 1.0, 1.0, middle
    for _ in range(2000):
        k += 1.0
        term = term * quarter / (k * (k + v))
        total = total + term
        if term < 1e-18 * total:
            break
    term, k = 1.0 + 0.0 * x, middle
    for _ in range(2000):
        if k < 0.5 or term < 1e-18 * total:
            break
        term = term * (k * (k + v)) / quarter
        total = total + term
        k -= 1.0
    return total * math.exp(log_term)


# --- J and Y of real order ----------------------------------------------------------------------------------


def _jv(v, x):
    """Schläfli's integral along a line through the saddle point (DLMF 10.9.6 shifted by α, cosh α = v / x,
    where v > x): the integrand is then no larger than the function."""
    if not _is_moderate(v, x):
        return math.nan * (v + x)
    shift = math.acosh(v / x) if v > x else 0.0
    rise, speed = x * math.sinh(shift), x * math.cosh(shift)
    scale = rise - v * shift
    if scale < -745.0:
        return 0.0 * v
    arc = 0.0
    panels = int(4.0 + 0.3 * (speed + abs(v)) + 2.0 * math.sqrt(rise))
    width = math.pi / panels
    for panel in range(panels):
        for node in range(16):
            angle = width * (panel + 0.5 + 0.5 * _node(node))
            half = math.sin(0.5 * angle)
            size = math.exp(-2.0 * rise * half * half)
            arc = arc + _weight(node) * size * math.cos(speed * math.sin(angle) - v * angle)
    arc = arc * 0.5 * width * math.exp(scale) / math.pi
    return arc - math.sin(math.pi * v) / math.pi * _tail(v, x, shift)


@record(
    None,
    "(jv(v - 1, x) - jv(v + 1, x)) / 2",
    scipy="jv jn",
    scipy_value="jv",
    code=_jv,
    domain={"v": _ORDER, "x": _POSITIVE},
    oracle="besselj(v, x)",
    choices="nan in the order for x <= 0, and beyond 1000 or for x beyond 1e5",
)
def jv(v, x):
    """J_v(x), real order."""
    return from_scipy("jv", v, x)


def _yv(v, x):
    """DLMF 10.9.7."""
    if not _is_moderate(v, x):
        return math.nan * (v + x)
    arc = 0.0
    panels = int(4.0 + 0.3 * (x + abs(v)))
    width = math.pi / panels
    for panel in range(panels):
        for node in range(16):
            angle = width * (panel + 0.5 + 0.5 * _node(node))
            arc = arc + _weight(node) * math.sin(x * math.sin(angle) - v * angle)
    up, down = _tail(-v, x, 0.0), _tail(v, x, 0.0)
    return (arc * 0.5 * width - up - math.cos(math.pi * v) * down) / math.pi


@record(
    None,
    "(yv(v - 1, x) - yv(v + 1, x)) / 2",
    scipy="yv yn",
    scipy_value="yv",
    code=_yv,
    domain={"v": _ORDER, "x": _POSITIVE},
    oracle="bessely(v, x)",
    choices="nan in the order for x <= 0, and beyond 1000 or for x beyond 1e5",
)
def yv(v, x):
    """Y_v(x), real order."""
    return from_scipy("yv", v, x)


def _tail(v, x, start):
    """∫ exp(-x sinh t - v t) dt from `start` to ∞, by panels of Gauss and Legendre's rule."""
    total = 0.0
    top = math.acosh(-v / x) if -v > x else 0.0
    spread = 1.0 / math.sqrt(math.sqrt(x * x + v * v) + 1.0)
    peak = -x * math.sinh(top) - v * top
    if start > 0.0:
        peak = -x * math.sinh(start) - v * start
    if peak > 709.0:
        return math.inf + 0.0 * v
    width = min(0.5, 2.0 * spread)
    for panel in range(2000):
        last = 0.0
        for node in range(16):
            t = start + width * (panel + 0.5 + 0.5 * _node(node))
            exponent = -x * math.sinh(t) - v * t - peak
            value = math.exp(exponent) if exponent > -745.0 else 0.0 * v
            last = last + _weight(node) * value
        total = total + last
        if start + width * panel > top and last < 1e-19 * total:
            break
    return total * 0.5 * width * math.exp(peak)


def _node(k):
    """Of Gauss and Legendre's rule with 16 nodes on (-1, 1)."""
    x = (
        0.09501250983763744, 0.2816035507792589, 0.45801677765722737, 0.6178762444026438,
        0.755404408355003, 0.8656312023878318, 0.9445750230732326, 0.9894009349916499,
    )[k if k < 8 else k - 8]  # fmt: skip
    return x if k < 8 else -x


def _weight(k):
    return (
        0.18945061045506845, 0.1826034150449236, 0.16915651939500262, 0.1495959888165768,
        0.12462897125553388, 0.0951585116824928, 0.062253523938647894, 0.027152459411754096,
    )[k if k < 8 else k - 8]  # fmt: skip


# --- spherical ----------------------------------------------------------------------------------------------


@record(
    "0",
    "where(n == 0, -spherical_yn(1, x), spherical_yn(n - 1, x) - (n + 1) / x*y)",
    scipy="spherical_yn",
    whole=(0,),
    domain={"n": (0, 6), "x": (0.1, 50.0)},
    oracle="sqrt(pi/(2*x))*bessely(n + 1/2, x)",
    choices="the order n is an integer, not differentiated",
)
def spherical_yn(n, x):
    """Spherical Bessel function of the second kind, by upward recurrence (DLMF 10.51.1), which is stable."""
    if n < 0 or x != x:
        return math.nan
    if x == 0.0:
        return -math.inf
    if abs(x) == math.inf:
        return 0.0
    before, value = math.sin(x) / x, -math.cos(x) / x
    for k in range(n):
        if abs(value) == math.inf:
            break
        before, value = value, (2.0 * k + 1.0) / x * value - before
    return value


# --- Airy ---------------------------------------------------------------------------------------------------


@record("airyaip(x)", scipy_value="airy[0]", domain={"x": (-20.0, 20.0)}, oracle="airyai(x)")
def airyai(x):
    """Ai(x)."""
    return from_scipy("airy", x, result=0)


@record("x*airyai(x)", scipy_value="airy[1]", domain={"x": (-20.0, 20.0)}, oracle="airyai(x, derivative=1)")
def airyaip(x):
    """Ai'(x)."""
    return from_scipy("airy", x, result=1)


@record("airybip(x)", scipy_value="airy[2]", domain={"x": (-20.0, 20.0)}, oracle="airybi(x)")
def airybi(x):
    """Bi(x)."""
    return from_scipy("airy", x, result=2)


@record("x*airybi(x)", scipy_value="airy[3]", domain={"x": (-20.0, 20.0)}, oracle="airybi(x, derivative=1)")
def airybip(x):
    """Bi'(x)."""
    return from_scipy("airy", x, result=3)


@means("airy")
def airy(x):
    """(Ai, Ai', Bi, Bi')(x)."""
    return airyai(x), airyaip(x), airybi(x), airybip(x)
