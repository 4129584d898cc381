"""Tails of the beta distribution in 50 digits, by a continued fraction other than that of the library: DLMF
8.17.22; derivatives by central differences, whose error is far below double precision."""

import math

import mpmath as mp
import numpy as np

import fwddiff as fd

mp.mp.dps = 50

HOSTILE = [0.0, -0.0, math.inf, -math.inf, math.nan, -1.0, -1.5, 1e-300, 1e300, 0.5, 1.0, 2.0, 40.0]


def tail(a, b, x, y):
    """I_x(a, b) for y = 1 - x, by modified Lentz steps."""
    c, h, m = mp.mpf(1), 1 / (1 - (a + b) * x / (a + 1)), 1
    d = h
    while True:
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        factor = mp.mpf(1)
        for term in (even, odd):
            d, c = 1 / (1 + term * d), 1 + term / c
            factor = c * d
            h *= factor
        m += 1
        if abs(factor - 1) < mp.mpf(10) ** -45:
            break
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    return mp.exp(a * mp.log(x) + b * mp.log(y) - log_beta) * h / a


def smaller(a, b, x, y):
    """(I_x(a, b), 1) or (1 - I_x(a, b), -1): the one that is computed, and the sign of its slopes."""
    if x <= (a + 1) / (a + b + 2):
        return tail(a, b, x, y), 1
    return tail(b, a, y, x), -1


def lower(a, b, x):
    part, sign = smaller(a, b, x, 1 - x)
    return part if sign > 0 else 1 - part


def density(a, b, x):
    log_beta = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
    return mp.exp((a - 1) * mp.log(x) + (b - 1) * mp.log(1 - x) - log_beta)


def slope(f, at, k, h="1e-14"):
    """Of f in its k-th argument; relative steps."""
    step = at[k] * mp.mpf(h)
    near, far = list(at), list(at)
    near[k], far[k] = at[k] - step, at[k] + step
    return (f(*far) - f(*near)) / (2 * step)


def slopes_of_tail(a, b, x, y):
    """(I, 1 - I, ∂I/∂a, ∂I/∂b) from the smaller tail, so that all have all digits."""
    part, sign = smaller(a, b, x, y)
    partials = [
        sign * slope(lambda u, v: tail(u, v, x, y) if sign > 0 else tail(v, u, y, x), (a, b), k)
        for k in (0, 1)
    ]
    return (part, 1 - part, *partials) if sign > 0 else (1 - part, part, *partials)


def student_density(df, t):
    log_factor = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(mp.pi * df) / 2
    return mp.exp(log_factor - (df + 1) / 2 * mp.log1p(t * t / df))


def lower_of_student(df, t):
    x, y = df / (df + t * t), t * t / (df + t * t)
    part, sign = smaller(df / 2, mp.mpf(1) / 2, x, y)
    return (part if sign > 0 else 1 - part) / 2


def slope_of_student(df, t):
    """∂F(-|t|)/∂df."""
    x, y = df / (df + t * t), t * t / (df + t * t)
    sign = smaller(df / 2, mp.mpf(1) / 2, x, y)[1]

    def part(df):
        x, y = df / (df + t * t), t * t / (df + t * t)
        return tail(df / 2, mp.mpf(1) / 2, x, y) if sign > 0 else tail(mp.mpf(1) / 2, df / 2, y, x)

    return sign * slope(part, (df,), 0) / 2


def values_and_partials(f, points):
    """By the compiled engine, one call for all points: rows of value, partials."""
    columns = np.array(points).T.copy()
    value, pullback = fd.rrule(fd.fwddiff(f).broadcast, *columns)
    thunks = pullback(np.ones(len(points)))
    return np.stack([value, *(np.asarray(fd.unthunk(t)) for t in thunks)], axis=1)


def assert_relative(found, expected, tolerance, what):
    for one, exact in zip(found, expected, strict=True):
        if exact is not None and 1e-290 < abs(exact) < 1e300:
            assert abs(mp.mpf(float(one)) / exact - 1) < tolerance, (what, one, exact)
