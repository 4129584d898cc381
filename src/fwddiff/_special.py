"""Scalar functions that `math` lacks, in plain Python that Numba compiles unchanged; float64 inside.

Every function stands alone, because Numba cannot call a plain function from another one. In the error bounds,
which the tests hold against mpmath, eps = 2.2e-16. Sources: NIST DLMF (https://dlmf.nist.gov), and
J. M. Bernardo, Algorithm AS 103: Psi (Digamma) Function, Applied Statistics 25 (1976), for recurrence before
an asymptotic series.
"""

import math


def digamma(x):
    """ψ(x) = d log|Γ(x)| / dx; ∓inf at ±0, nan at the negative integers and -inf.

    Error below 6 eps (|ψ(x)| + |x ψ'(x)|). DLMF 5.5.2 (recurrence), 5.5.4 (reflection), 5.11.2 (large x).
    """
    z = 1.0 * x
    if z == 0.0:
        return -math.copysign(math.inf, z)
    total = 0.0
    if z < 0.0:
        if z == math.floor(z) if z > -4503599627370496.0 else True:
            return math.nan
        # The distance to the nearest pole is exact, and so is the pole's part of the sum.
        distance = z - math.floor(z + 0.5)
        total = -math.pi / math.tan(math.pi * distance)
        z = 1.0 - z
    while z < 8.0:
        total -= 1.0 / z
        z += 1.0
    w = 1.0 / z / z
    tail = 1.0 / 12 - w * (
        1.0 / 120
        - w
        * (
            1.0 / 252
            - w * (1.0 / 240 - w * (1.0 / 132 - w * (691.0 / 32760 - w * (1.0 / 12 - w * (3617.0 / 8160)))))
        )
    )
    return total + (math.log(z) - 0.5 / z - w * tail)


def polygamma(n, x):
    """ψ⁽ⁿ⁾(x), the n-th derivative of digamma; nan unless n is an integer >= 0.

    Error below 8 eps (|ψ⁽ⁿ⁾(x)| + |x ψ⁽ⁿ⁺¹⁾(x)|) for n <= 8. Poles: inf for odd n, nan for even (∓inf at ±0).

    (-1)ⁿ⁺¹ n! ζ(n + 1, x), DLMF 5.15.1 and 25.11; the Hurwitz zeta function as a sum over the terms around
    the pole nearest to zero plus Euler-Maclaurin tails (DLMF 25.11.43): one to the right, and for x < 0 the
    difference of two to the left. For n = 0 the integral in the tail is -log(q).
    """
    order = 1.0 * n
    z = 1.0 * x
    if not (order >= 0.0 and order == math.floor(order)) or z != z or z == -math.inf:
        return math.nan
    s = order + 1.0
    sign = -1.0 if order % 2.0 == 0.0 else 1.0
    if z <= 0.0 and (z <= -4503599627370496.0 or z == math.floor(z)):
        if sign > 0.0:
            return math.inf
        return -math.copysign(math.inf, z) if z == 0.0 else math.nan
    far = 12.0 + order
    starts = (z, 0.0, 0.0)
    weights = (1.0, 0.0, 0.0)
    total = 0.0
    if z < -far:
        left = z + math.floor(-z - far)
        starts = (left, -left + 1.0, 1.0 - z)
        weights = (1.0, sign, -sign)
    for part in range(3):
        q = starts[part]
        if weights[part] != 0.0:
            zeta = 0.0
            while q < far:
                power = 1.0 / q  # by products: ** raises in Python where it overflows
                for _ in range(int(order)):
                    power /= q
                zeta += power
                q += 1.0
            zeta += (-math.log(q) if s == 1.0 else q ** (1.0 - s) / (s - 1.0)) + 0.5 * q**-s
            term = s * q ** (-s - 1.0)
            w = 1.0 / q / q
            for j in range(1, 11):
                zeta += (
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
                )[j - 1] * term
                term *= (s + 2.0 * j - 1.0) * (s + 2.0 * j) * w
            total += weights[part] * zeta
    return sign * math.gamma(s) * total


def sinc(x):
    """sin(πx) / (πx), 1 at 0. Error below 4 eps: the distance to the nearest zero is exact."""
    z = 1.0 * x
    if not abs(z) < 4503599627370496.0:
        return z - z
    if abs(z) < 0.5:
        return math.sin(math.pi * z) / (math.pi * z) if z != 0.0 else 1.0
    nearest = math.floor(z + 0.5)
    return (1.0 if nearest % 2 == 0 else -1.0) * math.sin(math.pi * (z - nearest)) / (math.pi * z)


def spherical_jn(n, x):
    """Spherical Bessel function jₙ(x) of the first kind; nan unless n is an integer >= 0.

    Power series for x² < 4n + 6 (DLMF 10.53.1), else upward recurrence (10.51.1) from j₀ and j₁ (10.49.3).
    Error below 4 eps (|jₙ(x)| + |x jₙ'(x)|) for n <= 6.
    """
    order = 1.0 * n
    z = 1.0 * x
    if not (order >= 0.0 and order == math.floor(order)) or z != z:
        return math.nan
    if abs(z) == math.inf:
        return 0.0
    if z * z < 4.0 * order + 6.0:
        term = 1.0
        for k in range(1, int(order) + 1):
            term *= z / (2.0 * k + 1.0)
        total = term
        for k in range(1, 30):
            term *= -0.5 * z * z / (k * (2.0 * order + 2.0 * k + 1.0))
            total += term
        return total
    before, value = math.cos(z) / z, math.sin(z) / z
    for k in range(int(order)):
        before, value = value, (2.0 * k + 1.0) / z * value - before
    return value


def ieee_remainder(a, b):
    """a - b*k for the integer k nearest to a / b, the even one of two; exact; nan for b = 0 or infinite a."""
    size, divisor = abs(1.0 * a), abs(1.0 * b)
    if size == math.inf or divisor == 0.0 or size != size or divisor != divisor:
        return math.nan
    if divisor == math.inf:
        return 1.0 * a
    rest = size % divisor
    other = divisor - rest
    if rest > other:
        rest = -other
    elif rest == other:
        rest = rest - 2.0 * ((0.5 * (size - rest)) % divisor)
    return math.copysign(1.0, a) * rest


def heaviside(x, h):
    """0 for x < 0, h at 0, 1 for x > 0, nan for nan; exact."""
    if x == 0.0:
        return 1.0 * h
    return 1.0 if x > 0.0 else (0.0 if x < 0.0 else math.nan)
