"""Binomial, negative binomial and F distributions, binomial coefficients, rising factorials."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
import scipy.special
import scipy.stats

import fwddiff as fd
from fwddiff import special
from special import beta_oracle as oracle
from special.beta_oracle import HOSTILE, assert_relative, values_and_partials

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
COUNTS = ("bdtr", "bdtrc", "nbdtr", "nbdtrc")


@pytest.mark.parametrize("name", COUNTS)
def test_values_of_counts_are_scipys(name):
    counts = (-1.0, 0.0, 1.0, 2.7, 7.0)
    for k, n, p in itertools.product(
        counts, (0.0, 1.0, 5.0, 7.0, 60.0), (-0.1, 0.0, 0.3, 0.999, 1.0, math.nan)
    ):
        expected = float(getattr(scipy.special, name)(k, n, p))
        assert getattr(special, name)(k, n, p) == pytest.approx(expected, rel=1e-12, nan_ok=True), (k, n, p)


@pytest.mark.parametrize("backend", [pytest.param("numba", marks=pytest.mark.slow), "numpy"])
def test_slopes_of_counts(backend):
    """Binomial: -n C(n-1, k) pᵏ (1 - p)ⁿ⁻¹⁻ᵏ; negative binomial: a beta density."""
    k, n, p = 3.0, 9.0, 0.2
    mass = n * scipy.stats.binom.pmf(k, n - 1, p)
    density = scipy.stats.beta.pdf(p, n, k + 1)
    for name, expected in (("bdtr", -mass), ("bdtrc", mass), ("nbdtr", density), ("nbdtrc", -density)):
        function = getattr(special, name)
        found = fd.gradient(lambda v, f=function: f(k, v[0], v[1]), np.array([n, p]), backend=backend)
        np.testing.assert_allclose(found, [0.0, expected], rtol=1e-12)
        assert getattr(special, name)(n if name.startswith("b") else k, n, p) >= 0.0
    assert fd.derivative(lambda p: special.bdtr(9.0, 9.0, p), 0.2, backend="numpy") == 0.0
    for name, inverse, slope in (("bdtr", "bdtri", -1 / mass), ("nbdtr", "nbdtri", 1 / density)):
        value = getattr(special, name)(k, n, p)
        assert getattr(special, inverse)(k, n, value) == pytest.approx(p, rel=1e-13)
        back = getattr(special, inverse)
        found = fd.derivative(lambda v, f=back: f(k, n, v), value, backend="numpy")
        assert found == pytest.approx(slope, rel=1e-12)


F_POINTS = [
    (2.0, 5.0, 0.3),
    (0.02, 1e5, 1e-8),
    (1e5, 0.5, 0.4),
    (555.0, 3.8, 2.05),
    (1e5, 2e4, 1.01),
    (3.0, 1e5, 9.0),
]


def parts_of_f(m, n, f):
    return m / 2, n / 2, m * f / (m * f + n), n / (m * f + n)


def slopes_of_f(m, n, f):
    """F, its complement, slopes in m, n and f."""
    low, up, _, _ = oracle.slopes_of_tail(*parts_of_f(m, n, f))
    sign = oracle.smaller(*parts_of_f(m, n, f))[1]

    def part(m, n):
        a, b, x, y = parts_of_f(m, n, f)
        return sign * (oracle.tail(a, b, x, y) if sign > 0 else oracle.tail(b, a, y, x))

    a, b, x, y = parts_of_f(m, n, f)
    density = mp.exp(a * mp.log(x) + b * mp.log(y)) / mp.beta(a, b) / f
    return low, up, oracle.slope(part, (m, n), 0), oracle.slope(part, (m, n), 1), density


def test_f_and_all_partials():
    exact = [slopes_of_f(*map(mp.mpf, point)) for point in F_POINTS]
    for name, k, sign in (("fdtr", 0, 1), ("fdtrc", 1, -1)):
        rows = values_and_partials(getattr(special, name), F_POINTS)
        for point, row, found in zip(F_POINTS, rows, exact, strict=True):
            assert_relative(row, (found[k], *(sign * s for s in found[2:])), 1e-10, point)


@pytest.mark.slow
def test_quantile_of_f_and_all_partials():
    points = [(m, n, special.fdtr(m, n, f)) for m, n, f in F_POINTS[:4]]
    rows = values_and_partials(special.fdtri, points)
    for (m, n, f), point, row in zip(F_POINTS[:4], points, rows, strict=True):
        low, _, _, _, density = slopes_of_f(*map(mp.mpf, (m, n, f)))
        # p is rounded: the root moves by its error over the density.
        moved = f + float((mp.mpf(point[2]) - low) / density)
        assert row[0] == pytest.approx(moved, rel=1e-12)
        _, _, by_m, by_n, density = slopes_of_f(*map(mp.mpf, (m, n, float(row[0]))))
        assert_relative(row[1:], (-by_m / density, -by_n / density, 1 / density), 1e-9, point)


@pytest.mark.parametrize("name", ["fdtr", "fdtrc", "fdtri", "fdtr_slope", "bdtri", "nbdtri", *COUNTS])
def test_hostile_arguments_raise_nothing(name):
    function = getattr(special, name)
    for point in itertools.product(HOSTILE, repeat=3):
        found = function(*point)
        if any(math.isnan(p) for p in point) and not (name == "bdtrc" and point[0] < 0.0):
            assert math.isnan(found), point


BINOMIAL = [(5.0, 2.0), (5.5, 2.5), (5.0, -1.0), (5.0, 6.0), (5.0, 5.5), (5.5, -1.5), (5.5, 7.2), (-1.5, 2.0)]
BINOMIAL += [
    (-1.5, -1.2),
    (-1.5, 0.3),
    (-3.5, -5.5),
    (-3.5, -1.2),
    (-0.5, -0.5),
    (1e5, 3.5),
    (1000.0, 500.5),
    (1e10, 5.0),
]


def exact_binomial(n, k):
    return mp.gamma(n + 1) * mp.rgamma(k + 1) * mp.rgamma(n - k + 1)


def exact_poch(z, m):
    return mp.gamma(z + m) * mp.rgamma(z)


POCH = [
    (2.0, 3.0),
    (2.5, -1.2),
    (-2.5, 1.2),
    (-3.0, 4.5),
    (1e5, 0.5),
    (1e5, 40.0),
    (0.5, -0.7),
    (1.5, -4.0),
    (1e-3, 0.5),
]
POCH += [(-2.5, 5.2), (-7.3, 2.0), (100.0, 100.0), (5.0, -20.5), (1e10, 0.5)]


@pytest.mark.parametrize(
    ("name", "exact", "points"), [("binom", exact_binomial, BINOMIAL), ("poch", exact_poch, POCH)]
)
@pytest.mark.few(name=["poch"])
def test_ratios_of_gamma_functions_and_partials(name, exact, points):
    for point, row in zip(points, values_and_partials(getattr(special, name), points), strict=True):
        at = tuple(map(mp.mpf, point))
        step = mp.mpf(10) ** -18
        partials = [
            (exact(at[0] + step, at[1]) - exact(at[0] - step, at[1])) / (2 * step),
            (exact(at[0], at[1] + step) - exact(at[0], at[1] - step)) / (2 * step),
        ]
        expected = [exact(*at), *partials]
        for one, true in zip(row, expected, strict=True):
            scale = max(abs(true), 1e-3 * abs(expected[0]))
            assert abs(one - true) <= 1e-11 * scale + 1e-25, (point, one, true)


@pytest.mark.parametrize("name", ["binom", "poch", "comb"])
def test_ratios_of_gamma_functions_are_scipys(name):
    finite = (0.0, -0.0, -1.0, -2.0, -3.0, -1.5, -2.5, 0.5, 1.0, 2.0, 3.7, 40.0)
    for one, two in itertools.product(finite, repeat=2):
        found, expected = getattr(special, name)(one, two), float(getattr(scipy.special, name)(one, two))
        assert found == pytest.approx(expected, rel=1e-11, abs=1e-15, nan_ok=True), (one, two)
    for one, two in itertools.product(HOSTILE, repeat=2):
        getattr(special, name)(one, two)


def test_rising_factorial_at_poles_is_a_polynomial_in_z():
    """(z)₃ = z (z + 1) (z + 2)."""
    for z, slope in ((-2.0, 2.0), (-1.0, -1.0), (0.0, 2.0), (-5.0, 47.0)):
        assert fd.derivative(lambda z: special.poch(z, 3.0), z, backend="numpy") == pytest.approx(
            slope, rel=1e-13
        )
