"""Relatives of the gamma function and the zeta functions against mpmath, to second order."""

import math

import mpmath as mp
import numpy as np
import pytest

from fwddiff import special
from special.exact_partials import check, ours

CASES = {
    "rgamma": (mp.rgamma, [(-2.5,), (-0.7,), (-0.3,), (1e-9,), (0.7,), (30.0,), (165.0,)]),
    "loggamma": (mp.loggamma, [(1e-9,), (0.5,), (30.0,)]),
    "lgamma1p": (lambda a: mp.loggamma(1 + a), [(1e-12,), (-0.4,), (0.49,), (0.51,), (20.0,)]),
    "log_minus_digamma": (lambda a: mp.log(a) - mp.digamma(a), [(1e-3,), (2.0,), (9.99,), (10.0,), (1e4,)]),
    "riemann_zeta": (mp.zeta, [(-30.5,), (-2.5,), (-0.2,), (0.5,), (1.001,), (3.0,), (20.0,)]),
    "hurwitz_zeta": (mp.zeta, [(1.5, 0.2), (3.0, 1.0), (2.5, 40.0), (20.0, 0.7)]),
}


def _named(name):
    function = getattr(special, name)
    return (lambda x, q: function(x, q)) if name == "hurwitz_zeta" else (lambda x: function(x))


@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes(name):
    reference, points = CASES[name]
    check(_named(name), reference, points, first=2e-12, second=1e-10, digits=40)


def test_zeros_have_slopes():
    """At the poles of gamma and at the zeros of zeta."""
    for n in range(4):
        value, slope, _ = ours(_named("rgamma"), (-1.0 * n,), "numpy")
        assert value == 0.0
        np.testing.assert_allclose(slope, (-1) ** n * math.factorial(n), 1e-14)
    value, slope, _ = ours(_named("riemann_zeta"), (-2.0,), "numpy")
    assert value == 0.0
    np.testing.assert_allclose(slope, float(mp.diff(mp.zeta, -2)), 1e-13)


@pytest.mark.parametrize("name", ["rgamma", "loggamma", "gammasgn", "zeta"])
def test_hostile_arguments_have_scipys_values(name):
    scipy_special = pytest.importorskip("scipy.special")
    for x in (0.0, -0.0, math.inf, math.nan, -1.0, -1.5, -2.5, 1e-300, 1e300, 0.5, 1.0, 180.0, -170.5):
        found, expected = getattr(special, name)(x), float(getattr(scipy_special, name)(x))
        np.testing.assert_allclose(found, expected, 1e-12, 1e-300, err_msg=f"{name}({x})")
    for x, q in ((2.0, 3.0), (1.0, 2.0), (0.5, 2.0), (3.0, 0.0), (math.nan, 1.0), (2.0, math.nan)):
        np.testing.assert_allclose(special.zeta(x, q), float(scipy_special.zeta(x, q)), 1e-13)


def test_multigammaln():
    def reference(a):
        return sum((mp.loggamma(a - mp.mpf(j) / 2) for j in range(3)), mp.mpf(3) / 2 * mp.log(mp.pi))

    check(lambda a: special.multigammaln(a, 3), reference, [(1.2,), (40.0,)])
