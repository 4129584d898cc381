"""Beta functions: complete, incomplete, their logarithms. DLMF 5.12 and 8.17; `_beta_tail` has the method."""

import math

from fwddiff._record import record
from fwddiff.special._beta_tail import is_upper, log_gammastar, log_power, ratio
from fwddiff.special._gamma import is_pole

_PARAMETERS = {"a": (1e-2, 1e5), "b": (1e-2, 1e5)}
_DOMAIN = {**_PARAMETERS, "x": (0.0, 1.0)}


def _times_log1p(a: float, b: float) -> float:
    """a log(1 + b/a), a and b > 0."""
    return a * math.log1p(b / a) if b < 1e100 * a else a * (math.log(b) - math.log(a))


def log_beta(a: float, b: float) -> float:
    """log B(a, b) for a and b > 0."""
    n = a + b
    small, large = (a, b) if a < b else (b, a)
    factor = 0.5 * (math.log(2.0 * math.pi) - math.log(small) + math.log1p(small / large))
    rest = log_gammastar(a) + log_gammastar(b) - log_gammastar(n)
    return factor + rest - _times_log1p(a, b) - _times_log1p(b, a)


def _sign_of_gamma(x: float) -> float:
    return -1.0 if x < 0.0 and math.floor(x) % 2.0 != 0.0 else 1.0


@record(None, None, scipy="betaln", domain=_PARAMETERS, oracle="log(beta(a, b))")
def betaln(a: float, b: float) -> float:
    """log|B(a, b)|; all digits where one argument is far above the other."""
    if abs(a) == math.inf or abs(b) == math.inf:
        return -math.inf if a > 0.0 and b > 0.0 and a != b else math.nan
    if a != a or b != b:
        return math.nan
    small, large = (a, b) if a < b else (b, a)
    shift = 0.0
    if small <= 0.0:
        if is_pole(small):
            # Γ(a) / Γ(a + b) has a limit where both are poles: the sum of b terms, reflected.
            if not (large > 0.0 and large == math.floor(large) and small + large <= 0.0):
                return math.inf
            if small <= -4503599627370496.0:
                return math.inf
            small = 1.0 - small - large
        elif is_pole(large):
            return math.inf
        elif is_pole(a + b):
            return -math.inf
        elif large > 10.0 and small > -1000.0:
            # The logarithms of Γ would cancel: B(a, b) = B(a + 1, b) (a + b) / a, DLMF 5.5.1.
            while small < 0.0:
                shift += math.log(abs((small + large) / small))
                small += 1.0
        else:
            return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    # One call, because what is differentiated is put in the place of each.
    return log_beta(small, large) + shift


@record(None, None, scipy="beta", domain=_PARAMETERS, oracle="beta(a, b)")
def beta(a: float, b: float) -> float:
    """B(a, b) = Γ(a) Γ(b) / Γ(a + b), DLMF 5.12.1; inf at the poles."""
    size = betaln(a, b)
    if size > 709.7:
        return math.inf
    small, large = (a, b) if a < b else (b, a)
    if not abs(size) < math.inf:
        return 0.0 if size < 0.0 else size
    if is_pole(small):
        return (-1.0 if large % 2.0 != 0.0 else 1.0) * math.exp(size)
    return _sign_of_gamma(a) * _sign_of_gamma(b) * _sign_of_gamma(a + b) * math.exp(size)


def _is_inside(a: float, b: float, x: float) -> bool:
    return a > 1e-290 and b > 1e-290 and a + b < math.inf and x > 0.0 and x < 1.0


def _at_zero(a: float, b: float, x: float) -> float:
    """I₀(a, b) = 0, with the slope in x: infinite for a < 1 (as that of a root), b for a = 1, else 0."""
    if a == 1.0:
        return 1.0 - (1.0 - x) ** b
    return math.sqrt(x) if a < 1.0 else 0.0 * x


def _at_limit(a: float, b: float, x: float) -> float:
    """I_x(a, b) where a, b or x is at a bound; nan outside."""
    if not (a >= 0.0 and b >= 0.0 and x >= 0.0 and x <= 1.0) or (a == b and (a == 0.0 or a == math.inf)):
        return math.nan
    if x == 0.0:
        return _at_zero(a, b, x)
    if x == 1.0:
        return 1.0 - _at_zero(b, a, 1.0 - x)
    if a <= 1e-290 and b <= 1e-290:
        return b / (a + b)
    if a <= 1e-290 or b == math.inf:
        return 1.0
    if b <= 1e-290 or a == math.inf:
        return 0.0
    return 0.5 if x == 0.5 else 1.0 if x > 0.5 else 0.0


def tail(a: float, b: float, x: float, y: float, bx: float, ay: float) -> float:
    """The smaller of I_x(a, b) and its complement, roughly; see `is_upper`."""
    if is_upper(x, y, bx, ay):
        a, b, x, y, bx, ay = b, a, y, x, ay, bx
    return math.exp(log_power(a, b, x, y, bx - ay)) * ratio(a, b, x, y, bx, ay)


def log_tail(a: float, b: float, x: float, y: float, bx: float, ay: float) -> float:
    """log(tail(…))."""
    if is_upper(x, y, bx, ay):
        a, b, x, y, bx, ay = b, a, y, x, ay, bx
    return log_power(a, b, x, y, bx - ay) + math.log(ratio(a, b, x, y, bx, ay))


@record(
    None, None, "betainc_slope(a, b, x)", scipy="betainc", domain=_DOMAIN, oracle="betainc(a, b, 0, x, True)"
)
def betainc(a: float, b: float, x: float) -> float:
    """I_x(a, b), the regularised incomplete beta function, DLMF 8.17.2; nan unless a, b >= 0 and 0 <= x <= 1.

    Both tails keep their relative accuracy; where a is below 1e-3 and I_x(a, b) near 1,
    1 - I_x(a, b) has a relative error of about eps / a. At a or b = 0 the limits, with slopes 0.
    """
    if not _is_inside(a, b, x):
        return _at_limit(a, b, x)
    y = 1.0 - x
    part = tail(a, b, x, y, b * x, a * y)
    return 1.0 - part if is_upper(x, y, b * x, a * y) else part


@record(
    None,
    None,
    "-betainc_slope(a, b, x)",
    scipy="betaincc",
    domain=_DOMAIN,
    oracle="betainc(a, b, x, 1, True)",
)
def betaincc(a: float, b: float, x: float) -> float:
    """1 - I_x(a, b), also where that is tiny; see `betainc`."""
    if not _is_inside(a, b, x):
        return 1.0 - _at_limit(a, b, x)
    y = 1.0 - x
    part = tail(a, b, x, y, b * x, a * y)
    return part if is_upper(x, y, b * x, a * y) else 1.0 - part


def log_lower(a: float, b: float, x: float, y: float) -> float:
    """log I_x(a, b) for y = 1 - x."""
    part = log_tail(a, b, x, y, b * x, a * y)
    return log_of_rest(part) if is_upper(x, y, b * x, a * y) else part


@record(None, None, None, domain=_DOMAIN, oracle="log(betainc(a, b, 0, x, True))")
def log_betainc(a: float, b: float, x: float) -> float:
    """log I_x(a, b), finite where I_x(a, b) underflows."""
    if not _is_inside(a, b, x):
        return log_or_infinite(_at_limit(a, b, x))
    return log_lower(a, b, x, 1.0 - x)


@record(None, None, None, domain=_DOMAIN, oracle="log(betainc(a, b, x, 1, True))")
def log_betaincc(a: float, b: float, x: float) -> float:
    """log(1 - I_x(a, b)), finite where that underflows."""
    if not _is_inside(a, b, x):
        return log_or_infinite(1.0 - _at_limit(a, b, x))
    return log_lower(b, a, 1.0 - x, x)


def log_or_infinite(p: float) -> float:
    """log(p) for a probability, -inf for 0."""
    return -math.inf if p == 0.0 else math.log(p)


def log_of_rest(logarithm: float) -> float:
    """log(1 - exp(logarithm))."""
    part = math.exp(logarithm)
    return math.log1p(-part) if part < 1.0 else -math.inf


# At the ends the limit decides; elsewhere both sides of `where` are the same.
_FIRST = "where(x == 0, where(a == 1, 0, (a - 1) / x), (a - 1) / x)"
_SECOND = "where(x == 1, where(b == 1, 0, (b - 1) / (1 - x)), (b - 1) / (1 - x))"


@record(
    None,
    None,
    f"where(y == 0, 0, y*({_FIRST} - {_SECOND}))",
    domain=_DOMAIN,
    oracle="x**(a - 1)*(1 - x)**(b - 1) / beta(a, b)",
)
def betainc_slope(a: float, b: float, x: float) -> float:
    """The slope of I_x(a, b) in x: the beta density xᵃ⁻¹ (1 - x)ᵇ⁻¹ / B(a, b); nan outside [0, 1]."""
    if not _is_inside(a, b, x):
        return _density_at_limit(a, b, x)
    y = 1.0 - x
    logarithm = log_power(a, b, x, y, b * x - a * y)
    if logarithm < -600.0:
        return math.exp(min(709.7, logarithm - math.log(x) - math.log(y)))
    return math.exp(logarithm) / x / y


def _density_at_limit(a: float, b: float, x: float) -> float:
    if not (a >= 0.0 and b >= 0.0 and x >= 0.0 and x <= 1.0) or (a == b and (a == 0.0 or a == math.inf)):
        return math.nan
    if a <= 1e-290 or b <= 1e-290 or a + b == math.inf or (x > 0.0 and x < 1.0):
        return 0.0
    here, other = (a, b) if x == 0.0 else (b, a)
    return math.inf if here < 1.0 else other if here == 1.0 else 0.0


@record(
    None,
    None,
    f"{_FIRST} - {_SECOND}",
    domain=_DOMAIN,
    oracle="(a - 1)*log(x) + (b - 1)*log1p(-x) - log(beta(a, b))",
)
def log_betainc_slope(a: float, b: float, x: float) -> float:
    """log of the beta density; -inf where it is 0, nan outside [0, 1]."""
    if not _is_inside(a, b, x):
        density = _density_at_limit(a, b, x)
        return density if density == math.inf else log_or_infinite(density)
    y = 1.0 - x
    return log_power(a, b, x, y, b * x - a * y) - math.log(x) - math.log1p(-x)
