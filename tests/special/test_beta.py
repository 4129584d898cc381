"""Incomplete beta functions and their kin against 50 digits, in both tails and in all parameters."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
import scipy.special

import fwddiff as fd
from fwddiff import special
from fwddiff.special._beta_tail import fraction, integral
from special import beta_oracle as oracle
from special.beta_oracle import HOSTILE, assert_relative, values_and_partials

# Parameters over the whole domain; x in the middle, in both tails and on both sides of where methods change.
POINTS = [
    (0.01, 0.01, 1e-100),
    (0.01, 0.01, 0.4),
    (0.01, 0.01, 1 - 1e-10),
    (0.01, 1e5, 1e-7),
    (0.01, 1e5, 4.9e-6),
    (0.01, 1e5, 5.1e-6),
    (0.01, 1e5, 1e-3),
    (1e5, 0.01, 1 - 2**-40),
    (1e5, 0.01, 0.99999),
    (1e5, 0.01, 0.999),
    (1e5, 1e5, 0.47),
    (1e5, 1e5, 0.4999),
    (1e5, 1e5, 0.5),
    (1e5, 1e5, 0.5001),
    (1e5, 1e5, 0.53),
    (1999.0, 3000.0, 0.4),
    (2000.0, 3000.0, 0.4),
    (2000.0, 3000.0, 0.41),
    (2000.0, 1e5, 0.015),
    (1e5, 2000.0, 0.98),
    (1.0, 1.0, 0.3),
    (2.0, 3.0, 0.4),
    (0.5, 40.0, 0.7),
    (40.0, 0.5, 0.02),
    (300.0, 7.0, 0.9),
    (12.5, 2.5, 1e-20),
]


@pytest.fixture(scope="module")
def exact():
    found = []
    for point in POINTS:
        a, b, x = map(mp.mpf, point)
        found.append((*oracle.slopes_of_tail(a, b, x, 1 - x), oracle.density(a, b, x)))
    return found


def test_lower_tail_and_all_partials(exact):
    found = values_and_partials(special.betainc, POINTS)
    for row, (low, _, a, b, x), point in zip(found, exact, POINTS, strict=True):
        assert_relative(row, (low, a, b, x), 2e-12, point)


def test_upper_tail_and_all_partials(exact):
    found = values_and_partials(special.betaincc, POINTS)
    for row, (_, up, a, b, x), point in zip(found, exact, POINTS, strict=True):
        assert_relative(row, (up, -a, -b, -x), 2e-12, point)


def test_logarithms_and_all_partials(exact):
    lower = values_and_partials(special.log_betainc, POINTS)
    upper = values_and_partials(special.log_betaincc, POINTS)
    for low_row, up_row, (low, up, a, b, x), point in zip(lower, upper, exact, POINTS, strict=True):
        log_low = mp.log(low) if low < up else mp.log1p(-up)
        log_up = mp.log(up) if up < low else mp.log1p(-low)
        assert_relative(low_row, (log_low, a / low, b / low, x / low), 2e-12, point)
        assert_relative(up_row, (log_up, -a / up, -b / up, -x / up), 2e-12, point)


def test_logarithms_where_the_tail_underflows():
    points = [(1e5, 1e5, 0.01), (300.0, 20.0, 1e-30), (3.0, 1e5, 0.2)]
    for point, row in zip(points[:2], values_and_partials(special.log_betainc, points[:2]), strict=True):
        a, b, x = map(mp.mpf, point)
        low, _, by_a, by_b = oracle.slopes_of_tail(a, b, x, 1 - x)
        assert_relative(
            row, (mp.log(low), by_a / low, by_b / low, oracle.density(a, b, x) / low), 1e-12, point
        )
    a, b, x = map(mp.mpf, points[2])
    up = oracle.slopes_of_tail(a, b, x, 1 - x)[1]
    assert_relative([special.log_betaincc(*points[2])], [mp.log(up)], 1e-13, points[2])


@pytest.mark.parametrize("point", [POINTS[k] for k in (1, 5, 17, 21, 22)], ids=str)
@pytest.mark.few(point=[(2.0, 3.0, 0.4), (0.5, 40.0, 0.7)])
def test_second_derivatives(point):
    hessian = fd.hessian(lambda v: special.betainc(v[0], v[1], v[2]), np.array(point), backend="numpy")
    a, b, x = at = tuple(map(mp.mpf, point))
    sign = oracle.smaller(a, b, x, 1 - x)[1]

    def part(a, b, x):
        return sign * (oracle.tail(a, b, x, 1 - x) if sign > 0 else oracle.tail(b, a, 1 - x, x))

    for i, j in itertools.combinations_with_replacement(range(3), 2):
        expected = oracle.slope(lambda *v, j=j: oracle.slope(part, v, j, "1e-11"), at, i, "1e-11")
        # Relative to what its terms are, which may cancel.
        scale = max(abs(expected), 1e-3 * abs(oracle.slope(part, at, i) / at[j]))
        assert abs(hessian[i, j] - expected) < 1e-9 * scale, (i, j)
        assert hessian[i, j] == pytest.approx(hessian[j, i], rel=1e-9, abs=float(1e-9 * scale))


@pytest.mark.parametrize("operator", [fd.gradient, pytest.param(fd.hessian, marks=pytest.mark.slow)])
def test_engines_agree(operator):
    point = np.array([3.5, 0.7, 0.2])

    def f(v):
        return special.betainc(v[0], v[1], v[2]) + special.betaln(v[0], v[1])

    compiled = operator(f, point, backend="numba")
    np.testing.assert_allclose(compiled, operator(f, point, backend="numpy"), rtol=1e-11)


def test_the_two_methods_agree_where_they_meet():
    """One cannot replace the other by chance: fraction and integral share no code."""
    for a, b, x in ((2000.0, 3000.0, 0.39), (2500.0, 1e5, 0.024), (5e4, 5e4, 0.5)):
        y = 1.0 - x
        one = fraction(1.0 / a, x, b * x, a * y - b * x)
        assert integral(a + b, x, y, b * x - a * y) == pytest.approx(one, rel=1e-13)


def test_parameters_far_above_the_domain():
    """A normal distribution: the fraction would need 10⁷ steps."""
    a = 1e14
    x = 0.5 - 0.5 / math.sqrt(2.0 * a)  # one standard deviation below the mean
    assert special.betainc(a, a, x) == pytest.approx(scipy.special.ndtr(-1.0), rel=1e-6)


def test_names_of_scipy_mean_these():
    point = np.array([2.0, 3.0, 0.4])
    found = fd.gradient(lambda v: scipy.special.betainc(v[0], v[1], v[2]), point, backend="numba")
    expected = fd.gradient(lambda v: special.betainc(v[0], v[1], v[2]), point, backend="numpy")
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_slope_at_the_ends():
    for a, b, x, expected in ((1.0, 3.0, 0.0, 3.0), (0.5, 1.0, 0.0, math.inf), (2.0, 1.0, 0.0, 0.0)):
        assert special.betainc_slope(a, b, x) == expected
        assert special.betainc_slope(b, a, 1.0 - x) == expected
    point = np.array([1.0, 3.0, 0.0])
    hessian = fd.hessian(lambda v: special.betainc(v[0], v[1], v[2]), point, backend="numpy")
    assert hessian[2, 2] == -6.0  # of 1 - (1 - x)³


@pytest.mark.parametrize(
    ("a", "b"), [(0.01, 1e5), (1e5, 0.01), (1e5, 1e5), (0.01, 0.01), (3.0, 0.3), (-1.5, 2.2)]
)
def test_complete_beta_function(a, b):
    def exact(a, b):
        return mp.beta(a, b)

    at = (mp.mpf(a), mp.mpf(b))
    expected = [exact(*at), oracle.slope(exact, at, 0), oracle.slope(exact, at, 1)]
    log_expected = [mp.log(abs(expected[0])), expected[1] / expected[0], expected[2] / expected[0]]
    for f, wanted in ((special.beta, expected), (special.betaln, log_expected)):
        value, pullback = fd.rrule(fd.fwddiff(f, engine="numpy"), a, b)
        found = [value, *(fd.unthunk(t) for t in pullback(1.0))]
        if abs(wanted[0]) > 1e-290:
            assert_relative(found, wanted, 2e-12 if abs(wanted[0]) > 1e-250 else 1e-10, (f, a, b))


@pytest.mark.parametrize("x", [-0.999, -0.301, -0.299, -1e-9, 1e-300, 1e-5, 0.299, 0.301, 50.0])
def test_log1pmx(x):
    exact = mp.log1p(mp.mpf(x)) - mp.mpf(x)
    found = special.log1pmx(x)
    assert found == pytest.approx(float(exact), rel=4e-15, abs=0.0)


@pytest.mark.parametrize("x", [1e-300, 1e-18, 1e-3, 0.5, 9.999, 10.0, 11.0, 1e5, 1e100])
def test_log_gammastar(x):
    def exact(x):
        return mp.loggamma(x) - (x - mp.mpf("0.5")) * mp.log(x) + x - mp.log(2 * mp.pi) / 2

    with mp.workdps(150 if x < 1e10 else 700):  # at 1e100, 300 digits cancel in each difference
        value, by_x = exact(mp.mpf(x)), oracle.slope(exact, (mp.mpf(x),), 0)
        second = oracle.slope(lambda u: oracle.slope(exact, (u,), 0), (mp.mpf(x),), 0)
    found = special.log_gammastar(x)
    assert abs(found - value) < 4e-15 * max(1.0, abs(value)) if x < 10.0 else abs(found / value - 1) < 1e-15
    assert_relative([fd.derivative(special.log_gammastar, x, backend="numpy")], [by_x], 1e-12, x)
    twice = fd.derivative(
        lambda u: fd.derivative(special.log_gammastar, u, backend="numpy"), x, backend="numpy"
    )
    assert_relative([twice], [second], 1e-11, x)


@pytest.mark.parametrize("name", ["betainc", "betaincc"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_arguments(name):
    ours, theirs = getattr(special, name), getattr(scipy.special, name)
    for point in itertools.product(HOSTILE, repeat=3):
        found, expected = ours(*point), float(theirs(*point))
        if math.isnan(expected) and min(point) > 0.0 and max(point) < math.inf and point[2] < 1.0:
            continue  # SciPy gives up where one parameter is huge
        assert found == pytest.approx(expected, rel=1e-11, abs=1e-280, nan_ok=True), point


@pytest.mark.parametrize(
    "name", ["log_betainc", "log_betaincc", "betainc_slope", "log_betainc_slope", "beta"]
)
def test_hostile_arguments_raise_nothing(name):
    function = getattr(special, name)
    count = len(special_arguments(name))
    for point in itertools.product(HOSTILE, repeat=count):
        found = function(*point)
        if any(math.isnan(p) for p in point):
            assert math.isnan(found), point


def special_arguments(name):
    from fwddiff._record import RECORDS

    return RECORDS[name].arguments


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_complete_beta_at_poles_is_scipys():
    finite = [p for p in HOSTILE if math.isfinite(p)] + [-2.0, -3.0, -0.5, 3.0]
    for a, b in itertools.product(finite, repeat=2):
        expected = float(scipy.special.beta(a, b))
        if math.isinf(expected):  # at poles the sign depends on the side
            assert math.isinf(special.beta(a, b))
            continue
        assert special.beta(a, b) == pytest.approx(expected, rel=1e-11, abs=1e-300, nan_ok=True), (a, b)
        expected = float(scipy.special.betaln(a, b))
        assert special.betaln(a, b) == pytest.approx(expected, rel=1e-11, abs=1e-13, nan_ok=True), (a, b)
