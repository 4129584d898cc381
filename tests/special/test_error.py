"""The error function's relatives against mpmath, to second order."""

import math

import mpmath as mp
import numpy as np
import pytest

from fwddiff import special
from special.exact_partials import check, ours


def _upper_tail(x):
    return mp.erfc(x / mp.sqrt(2)) / 2


REFERENCES = {
    "erfcx": (lambda x: mp.exp(x * x) * mp.erfc(x), [-20.0, -1.0, 0.3, 1.49, 1.51, 4.0, 30.0, 1e4]),
    "ndtr": (lambda x: _upper_tail(-x), [-37.0, -5.0, -1.01, -0.99, 0.2, 3.0]),
    "log_ndtr": (lambda x: mp.log(_upper_tail(-x)), [-1e5, -40.0, -2.2, -1.01, -0.99, 0.5, 6.0, 20.0]),
    "dawsn": (
        lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
        [-3.0, 1e-3, 0.5, 2.0, 5.0, 6.25, 6.35, 12.0],
    ),
    "erfinv": (mp.erfinv, [-0.999, -0.86, -0.84, 1e-9, 0.5, 0.9999]),
}
ROOTS = {
    "ndtri": (lambda y: _upper_tail(-y), [1e-300, 1e-20, 0.07, 0.08, 0.3, 0.92, 0.93, 1 - 1e-9]),
    "erfcinv": (mp.erfc, [1e-300, 1e-11, 0.05, 0.15, 0.7, 1.2, 1.9]),
    "ndtri_exp": (lambda y: mp.log(_upper_tail(-y)), [-1e6, -800.0, -700.0, -2.6, -2.5, -0.3, -0.01]),
}


def _named(name):
    function = getattr(special, name)
    return lambda x: function(x)


@pytest.mark.parametrize("name", REFERENCES)
def test_values_and_slopes(name):
    reference, points = REFERENCES[name]
    check(_named(name), reference, [(x,) for x in points], first=2e-13, second=1e-11, digits=100)


@pytest.mark.parametrize("name", ROOTS)
def test_inverses(name):
    tail, points = ROOTS[name]
    for p in points:
        y, slope, second = ours(_named(name), (p,), "numpy")
        with mp.workdps(60):
            root = mp.findroot(
                lambda y, p=p: tail(y) - mp.mpf(p) if p < 0 else mp.log(tail(y) / mp.mpf(p)), y
            )
            s1, s2 = mp.diff(tail, root), mp.diff(tail, root, 2)
            expected = [float(root), float(1 / s1), float(-s2 / s1**3)]
        np.testing.assert_allclose(y, expected[0], 2e-15, err_msg=f"{name}({p})")
        np.testing.assert_allclose([slope, second], expected[1:], 1e-12, err_msg=f"{name}({p})")


def test_iterated_integrals():
    for n in (1, 2, 3):
        for x in (-3.0, 0.2, 0.49, 0.51, 1.49, 1.51, 30.0):
            exact = (
                2
                / mp.sqrt(mp.pi)
                / mp.factorial(n)
                * mp.quad(lambda t, n=n, x=x: t**n * mp.exp(-t * t - 2 * x * t), [0, 1, 4, 12])
            )
            np.testing.assert_allclose(special.ierfcx(n, x), float(exact), 1e-13, err_msg=str((n, x)))


@pytest.mark.parametrize(
    "points",
    [
        [(0.3, 0.5), (2.0, 1.01), (-4.0, -0.3)],
        pytest.param([(2.0, 0.99), (9.0, 1.0), (1.0, 5.0)], marks=pytest.mark.slow),
    ],
    ids=["few", "others"],
)
def test_owens_t(points):
    def reference(h, a):
        return mp.quad(lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, a / 4, a]) / (2 * mp.pi)

    check(lambda h, a: special.owens_t(h, a), reference, points, second=1e-9, digits=30)
    assert special.owens_t(0.0, math.inf) == 0.25


HOSTILE = [0.0, -0.0, math.inf, -math.inf, math.nan, -1.5, 1e-300, 1e300, -1e300, 1.0, 2.0, 0.5, -40.0]


@pytest.mark.parametrize("name", [*REFERENCES, *ROOTS])
def test_hostile_arguments_have_scipys_values(name):
    scipy_special = pytest.importorskip("scipy.special")
    for x in HOSTILE:
        found, expected = getattr(special, name)(x), float(getattr(scipy_special, name)(x))
        np.testing.assert_allclose(found, expected, 1e-12, 1e-300, err_msg=f"{name}({x})")


def test_hostile_arguments_of_owens_t():
    scipy_special = pytest.importorskip("scipy.special")
    for h in HOSTILE:
        for a in HOSTILE:
            expected = float(scipy_special.owens_t(h, a))
            np.testing.assert_allclose(special.owens_t(h, a), expected, 1e-12, 1e-300, err_msg=str((h, a)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["erfcx", "log_ndtr"])
def test_the_compiled_engine(name):
    for x in (-2.0, 0.4, 3.0):
        function = _named(name)
        np.testing.assert_allclose(ours(function, (x,), "numba"), ours(function, (x,), "numpy"), 1e-13)
