"""Hypergeometric functions: values of SciPy; slopes in the argument by contiguous functions, in the
parameters by the power series run on dual numbers.

Where the series' terms are so much larger than its sum that fewer than seven digits are left, or it does not
converge, derivatives in the parameters are nan rather than wrong. Sources: DLMF 13.2, 13.3, 15.2, 15.5, 15.8.
"""

import math

from fwddiff._magnitude import magnitude
from fwddiff._record import from_scipy, record
from fwddiff.special._gamma import is_pole

_TERMS = 20000
_CANCELLED = 1e9  # largest term to sum


def _hyp0f1(b, x):
    if is_pole(b):
        return math.nan * (b + x)
    total, term, largest = 1.0 + 0.0 * b, 1.0, 1.0
    for k in range(_TERMS):
        term = term * x / ((b + k) * (k + 1.0))
        total = total + term
        largest = max(largest, magnitude(term))
        if (k > 2 and magnitude(term, total) <= 1e-17) or not abs(total) < math.inf:
            break
    return total if largest <= _CANCELLED * abs(total) else math.nan * total


@record(
    None,
    "hyp0f1(b + 1, x) / b",
    scipy="hyp0f1",
    scipy_value="hyp0f1",
    code=_hyp0f1,
    domain={"b": (0.1, 20.0), "x": (-5.0, 100.0)},
    oracle="hyp0f1(b, x)",
    choices="nan in b where its series cancels",
)
def hyp0f1(b, x):
    """₀F₁(; b; x)."""
    return from_scipy("hyp0f1", b, x)


def _hyp1f1(a, b, x):
    if x < 0.0:
        return math.exp(x) * _kummer(b - a, b, -x)
    return _kummer(a, b, x)


@record(
    None,
    None,
    "a / b*hyp1f1(a + 1, b + 1, x)",
    scipy="hyp1f1",
    scipy_value="hyp1f1",
    code=_hyp1f1,
    domain={"a": (0.1, 20.0), "b": (0.1, 20.0), "x": (-30.0, 30.0)},
    oracle="hyp1f1(a, b, x)",
    choices="nan in a and b where the series cancels",
)
def hyp1f1(a, b, x):
    """Kummer's M(a, b, x) = ₁F₁(a; b; x), for x < 0 as exp(x) M(b - a, b, -x)."""
    return from_scipy("hyp1f1", a, b, x)


def _kummer(a, b, x):
    if is_pole(b):
        return math.nan * (a + b + x)
    total, term, largest = 1.0 + 0.0 * (a + b), 1.0, 1.0
    for k in range(_TERMS):
        term = term * (a + k) / (b + k) * x / (k + 1.0)
        total = total + term
        largest = max(largest, magnitude(term))
        if (k > 2 and magnitude(term, total) <= 1e-17) or not abs(total) < math.inf:
            break
    return total if largest <= _CANCELLED * abs(total) else math.nan * total


def _hyp2f1(a, b, c, x):
    if x < 0.0:
        return math.exp(-a * math.log1p(-x)) * _gauss(a, c - b, c, x / (x - 1.0))
    return _gauss(a, b, c, x)


@record(
    None,
    None,
    None,
    "a*b / c*hyp2f1(a + 1, b + 1, c + 1, x)",
    scipy="hyp2f1",
    scipy_value="hyp2f1",
    code=_hyp2f1,
    domain={"a": (0.1, 5.0), "b": (0.1, 5.0), "c": (0.2, 10.0), "x": (-5.0, 0.9)},
    oracle="hyp2f1(a, b, c, x)",
    choices="nan in the parameters where the series cancels or does not converge, and for x >= 1",
)
def hyp2f1(a, b, c, x):
    """Gauss' ₂F₁(a, b; c; x), for x < 0 by Pfaff's transformation (DLMF 15.8.1)."""
    return from_scipy("hyp2f1", a, b, c, x)


def _gauss(a, b, c, x):
    if not x < 1.0 or is_pole(c):
        return math.nan * (a + b + c + x)
    total, term, largest = 1.0 + 0.0 * (a + b + c), 1.0, 1.0
    size = 1.0
    for k in range(_TERMS):
        term = term * (a + k) * (b + k) / (c + k) * x / (k + 1.0)
        total = total + term
        size = magnitude(term, total)
        largest = max(largest, magnitude(term))
        if (k > 2 and size <= 1e-17 * (1.0 - x)) or not abs(total) < math.inf:
            break
    settled = largest <= _CANCELLED * abs(total) and size <= 1e-14
    return total if settled else math.nan * total
