"""Minimax polynomials, as the coefficients of fwddiff's own elementary functions were found."""

import mpmath
from mpmath import mpf


def polynomial(function, weight, low, high, degree):
    """Coefficients (from the constant on) of the polynomial with the least largest |weight * error| on [low,
    high], and that error: Remez's exchange algorithm."""
    count = degree + 2
    points = _chebyshev(low, high, count)
    for _ in range(12):
        rows = mpmath.matrix(count, count)
        for i, x in enumerate(points):
            for j in range(degree + 1):
                rows[i, j] = x**j
            rows[i, degree + 1] = (-1) ** i / weight(x)
        solved = mpmath.lu_solve(rows, mpmath.matrix([function(x) for x in points]))
        found = list(solved)[: degree + 1]
        extremes = _extremes(lambda x, p=found: weight(x) * (function(x) - _value(p, x)), low, high, count)
        points, sizes = [x for x, _ in extremes], [abs(e) for _, e in extremes]
        if len(points) < count or max(sizes) < 1.001 * min(sizes):
            break
    return found, max(sizes)


def _value(coefficients, x):
    return mpmath.polyval(coefficients[::-1], x)


def _chebyshev(low, high, count):
    half = (high - low) / 2
    return [low + half - half * mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count)) for k in range(count)]


def _extremes(error, low, high, count):
    """The largest errors between changes of sign, of which there are `count`."""
    found = []
    for x in _chebyshev(low, high, 40 * count):
        e = error(x)
        if not found or (found[-1][1] > 0) != (e > 0):
            found.append((x, e))
        elif abs(e) > abs(found[-1][1]):
            found[-1] = (x, e)
    while len(found) > count:
        found.pop(0 if abs(found[0][1]) < abs(found[-1][1]) else -1)
    return found


def largest_error(coefficients, function, weight, low, high):
    """|weight * error| of any polynomial."""
    points = _chebyshev(low, high, 400)
    return max(abs(weight(x) * (function(x) - _value([mpf(c) for c in coefficients], x))) for x in points)
