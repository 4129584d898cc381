"""Inverses of the incomplete beta function against 50 digits; slopes by the implicit function theorem."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
import scipy.special

import fwddiff as fd
from fwddiff import special
from special import beta_oracle as oracle
from special.beta_oracle import HOSTILE, assert_relative, values_and_partials

# a, b, p; the root near 0, near 1, in the middle, and for the smallest probabilities.
POINTS = [
    (2.0, 3.0, 0.3),
    (2.0, 3.0, 0.5),
    (2.0, 3.0, 1 - 1e-12),
    (0.01, 1e5, 0.3),
    (0.01, 1e5, 1 - 1e-6),
    (1e5, 0.01, 0.9),
    (1e5, 1e5, 1e-250),
    (1e5, 1e5, 0.4),
    (3000.0, 2000.0, 0.7),
    (1.628, 0.1901, 4.645e-230),
    (1.131e4, 0.02608, 1 - 1e-5),
    (0.3, 0.4, 1e-20),
]


# Where x or 1 - x is below 1e-308.
BELOW_ALL_NUMBERS = {"betaincinv": (), "betainccinv": (POINTS[4], POINTS[9])}


def root(a, b, p, q):
    """x and 1 - x for I_x(a, b) = p = 1 - q, by Newton's iteration from the library's value."""
    a, b = mp.mpf(a), mp.mpf(b)
    x = mp.mpf(special.betaincinv(float(a), float(b), float(p)))
    y = mp.mpf(special.betaincinv(float(b), float(a), float(q)))
    s = mp.log(x) - mp.log(y)
    for _ in range(20):
        x, y = 1 / (1 + mp.exp(-s)), 1 / (1 + mp.exp(s))
        low, up, _, _ = oracle.slopes_of_tail(a, b, x, y)
        power = mp.exp(a * mp.log(x) + b * mp.log(y) - mp.log(mp.beta(a, b)))
        step = (mp.log(low / p) * low if p < q else -mp.log(up / q) * up) / power
        s -= step
        if abs(step) < mp.mpf(10) ** -30:
            return x, y, power / (x * y)
    raise AssertionError("the oracle has not converged")


@pytest.mark.parametrize("name", ["betaincinv", "betainccinv"])
@pytest.mark.few(name=["betainccinv"])
def test_inverse_and_all_partials(name):
    for point, row in zip(POINTS, values_and_partials(getattr(special, name), POINTS), strict=True):
        a, b, p = map(mp.mpf, point)
        sign = 1 if name == "betaincinv" else -1
        if point in BELOW_ALL_NUMBERS[name]:
            assert row[0] in (0.0, 1.0)
            continue
        x, y, density = root(a, b, *((p, 1 - p) if sign > 0 else (1 - p, p)))
        _, _, by_a, by_b = oracle.slopes_of_tail(a, b, x, y)
        assert_relative(row, (x, -by_a / density, -by_b / density, sign / density), 1e-10, point)


@pytest.mark.slow
@pytest.mark.parametrize("point", [(2.0, 3.0, 0.3), (0.3, 40.0, 0.9), (60.0, 30.0, 0.1)], ids=str)
def test_second_derivatives_of_the_inverse(point):
    """I(a, b, x(a, b, p)) = p to second order, with the derivatives of I from the oracle's differences."""
    found = np.asarray(
        fd.hessian(lambda v: special.betaincinv(v[0], v[1], v[2]), np.array(point), backend="numpy")
    )
    first = np.asarray(
        fd.gradient(lambda v: special.betaincinv(v[0], v[1], v[2]), np.array(point), backend="numpy")
    )
    a, b, p = map(mp.mpf, point)
    x = root(a, b, p, 1 - p)[0]
    at = (a, b, x)
    sign = oracle.smaller(a, b, x, 1 - x)[1]

    def part(a, b, x):
        return sign * (oracle.tail(a, b, x, 1 - x) if sign > 0 else oracle.tail(b, a, 1 - x, x))

    gradient = [oracle.slope(part, at, k) for k in range(3)]
    second = [
        [oracle.slope(lambda *v, j=j: oracle.slope(part, v, j, "1e-11"), at, i, "1e-11") for j in range(3)]
        for i in range(3)
    ]
    way = np.array([[1, 0, float(first[0])], [0, 1, float(first[1])], [0, 0, float(first[2])]])
    outer = way @ np.array(second, dtype=float) @ way.T
    expected = -outer / float(gradient[2])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max() * 1e-3)


@pytest.mark.slow
def test_third_derivative_of_the_inverse():
    """x = p^(1/a) for b = 1."""

    def f(p):
        return special.betaincinv(2.5, 1.0, p)

    for _ in range(3):
        f = (lambda g: lambda p: fd.derivative(g, p, backend="numpy"))(f)
    power = 1 / 2.5
    assert f(0.3) == pytest.approx(power * (power - 1) * (power - 2) * 0.3 ** (power - 3), rel=1e-9)


def test_ends_and_their_slopes():
    for a, b, slope in ((1.0, 4.0, 0.25), (0.5, 4.0, 0.0), (2.0, 4.0, math.inf)):
        assert special.betaincinv(a, b, 0.0) == 0.0
        assert special.betaincinv(b, a, 1.0) == 1.0
        assert fd.derivative(lambda p, a=a, b=b: special.betaincinv(a, b, p), 0.0, backend="numpy") == slope
        assert fd.derivative(lambda p, a=a, b=b: special.betaincinv(b, a, p), 1.0, backend="numpy") == slope


@pytest.mark.parametrize(
    ("a", "b", "x"), [(2.0, 3.0, 0.4), (0.02, 50.0, 1e-5), (50.0, 2000.0, 0.02), (0.3, 0.2, 0.9)]
)
def test_parameters_from_probabilities(a, b, x):
    """btdtria and btdtrib take a and b back; slopes by the implicit function theorem."""
    p = special.betainc(a, b, x)
    _, _, by_a, by_b = oracle.slopes_of_tail(mp.mpf(a), mp.mpf(b), mp.mpf(x), 1 - mp.mpf(x))
    by_x = oracle.density(mp.mpf(a), mp.mpf(b), mp.mpf(x))
    value, pullback = fd.rrule(fd.fwddiff(special.btdtria, engine="numpy"), p, b, x)
    found = [value, *(fd.unthunk(t) for t in pullback(1.0))]
    assert_relative(found, (mp.mpf(a), 1 / by_a, -by_b / by_a, -by_x / by_a), 1e-10, (a, b, x))
    value, pullback = fd.rrule(fd.fwddiff(special.btdtrib, engine="numpy"), a, p, x)
    found = [value, *(fd.unthunk(t) for t in pullback(1.0))]
    assert_relative(found, (mp.mpf(b), -by_a / by_b, 1 / by_b, -by_x / by_b), 1e-10, (a, b, x))


@pytest.mark.slow
def test_second_derivative_of_a_parameter():
    """a = log p / log x for b = 1."""
    found = fd.hessian(lambda v: special.btdtria(v[0], 1.0, v[1]), np.array([0.3, 0.7]), backend="numpy")
    p, x = 0.3, 0.7
    lp, lx = math.log(p), math.log(x)
    mixed = -1 / (p * x * lx**2)
    by_x = lp / (x * lx) ** 2 * (1 + 2 / lx)
    np.testing.assert_allclose(found, [[-1 / (p * p * lx), mixed], [mixed, by_x]], rtol=1e-9)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_arguments():
    for name in ("betaincinv", "betainccinv", "btdtria", "btdtrib"):
        function = getattr(special, name)
        for point in itertools.product(HOSTILE, repeat=3):
            found = function(*point)
            if any(math.isnan(p) for p in point):
                assert math.isnan(found), (name, point)
    for a, b, p in itertools.product(
        (-1.0, 0.0, 0.5, 2.0, 40.0), (-1.5, 0.5, 1.0, 40.0), (-1.0, 0.0, 0.5, 1.0, 2.0)
    ):
        expected = float(scipy.special.betaincinv(a, b, p))
        assert special.betaincinv(a, b, p) == pytest.approx(expected, rel=1e-12, nan_ok=True) or a <= 0.0, (
            a,
            b,
            p,
        )
