"""Value, gradient and Hessian of a function, by an engine of ours and by mpmath's differences."""

import itertools

import mpmath
import numpy as np

import fwddiff as fd


def _orders(count):
    single = [tuple(int(i == k) for i in range(count)) for k in range(count)]
    pairs = itertools.combinations_with_replacement(range(count), 2)
    return [
        (0,) * count,
        *single,
        *(tuple(map(sum, zip(single[i], single[j], strict=True))) for i, j in pairs),
    ]


def ours(function, point, backend):
    """Value, first and second partials, flat."""
    where = tuple(range(len(point)))
    value = function(*point)
    gradient = np.ravel(fd.gradient(function, *point, argnum=where, backend=backend))
    hessian = np.reshape(fd.hessian(function, *point, argnum=where, backend=backend), (len(point),) * 2)
    return np.array([value, *gradient, *hessian[np.triu_indices(len(point))]])


def exact(function, point, digits=50):
    """The same of a function of mpmath's; steps are relative to the point."""
    with mpmath.workdps(digits):
        at = tuple(map(mpmath.mpf, point))
        size = [abs(x) or mpmath.mpf(1) for x in at]

        def scaled(*t):
            return function(*(x + s * d for x, s, d in zip(at, size, t, strict=True)))

        found = [function(*at)]
        for orders in _orders(len(point))[1:]:
            unit = mpmath.fprod(s**n for s, n in zip(size, orders, strict=True))
            found.append(mpmath.diff(scaled, (0,) * len(point), orders) / unit)
        return np.array([float(mpmath.re(x)) for x in found])


def check(function, reference, points, backend="numpy", first=1e-12, second=1e-10, digits=50):
    """Value and gradient to `first`, second partials to `second`, all relative."""
    for point in points:
        count = 1 + len(point)
        found, expected = ours(function, point, backend), exact(reference, point, digits)
        np.testing.assert_allclose(found[:count], expected[:count], first, 1e-290, err_msg=str(point))
        np.testing.assert_allclose(found[count:], expected[count:], second, 1e-280, err_msg=str(point))
