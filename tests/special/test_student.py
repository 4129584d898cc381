"""Student's t against 50 digits: both tails, ν from 1e-2 to 1e5, value and slopes in ν and t."""

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

POINTS = [
    *((1e5, t) for t in (-37.0, -8.0, -1.4143, -1.4142, -0.5, -1e-3, 1.0, 6.0)),
    *((0.01, t) for t in (-1e100, -30.0, -0.2, -0.05, 0.5, 3.0)),
    *((3.0, t) for t in (-1e50, -2.0, -1.1, 1e-12, 0.7, 2.0)),
    (250.0, -20.0),
    (250.0, -1.0),
]


def exact(df, t):
    """F, ∂F/∂df, f and F(-|t|)."""
    low, by_df = oracle.lower_of_student(df, t), oracle.slope_of_student(df, t)
    density = oracle.student_density(df, t)
    return (low, by_df, density, low) if t < 0 else (1 - low, -by_df, density, low)


@pytest.fixture(scope="module")
def expected():
    return [exact(*map(mp.mpf, point)) for point in POINTS]


def test_distribution_and_partials(expected):
    for point, row, (value, by_df, by_t, _) in zip(
        POINTS, values_and_partials(special.stdtr, POINTS), expected, strict=True
    ):
        assert_relative(row, (value, by_df, by_t), 1e-12, point)


def test_logarithm_and_partials(expected):
    for point, row, (value, by_df, by_t, low) in zip(
        POINTS, values_and_partials(special.log_stdtr, POINTS), expected, strict=True
    ):
        logarithm = mp.log(value) if point[1] < 0 else mp.log1p(-low)
        assert_relative(row, (logarithm, by_df / value, by_t / value), 1e-12, point)


def test_logarithm_where_the_tail_underflows():
    for point in ((1e5, -60.0), (1e5, -500.0), (50.0, -1e30)):
        found = values_and_partials(special.log_stdtr, [point])[0]
        value, by_df, by_t, _ = exact(*map(mp.mpf, point))
        assert_relative(found, (mp.log(value), by_df / value, by_t / value), 1e-12, point)


@pytest.mark.parametrize("point", [(1e5, -3.0), (1e5, 0.4), (0.05, -4.0), (3.0, 0.0), (3.0, -1.2)], ids=str)
@pytest.mark.every(2)
def test_second_derivatives(point):
    found = fd.hessian(lambda v: special.stdtr(v[0], v[1]), np.array(point), backend="numpy")
    df, t = map(mp.mpf, point)
    sign = -1 if t < 0 else 1
    second = mp.mpf(0)
    if t != 0:
        by_df = oracle.slope(oracle.slope_of_student, (df, t), 0, "1e-11")
        second = -sign * by_df
    density_by_df = oracle.slope(oracle.student_density, (df, t), 0)
    by_t = -(df + 1) * t / (df + t * t) * oracle.student_density(df, t)
    assert_relative(
        [found[0][0], found[0][1], found[1][0], found[1][1]],
        [second, density_by_df, density_by_df, by_t],
        1e-9,
        point,
    )


def test_slopes_at_zero_have_no_kink():
    for backend in ("numpy", "numba"):
        gradient = fd.gradient(lambda v: special.stdtr(v[0], v[1]), np.array([2.0, 0.0]), backend=backend)
        np.testing.assert_allclose(gradient, [0.0, math.sqrt(2.0) / 4.0], rtol=1e-14)


def test_density_and_its_logarithm():
    for df, t in POINTS:
        exact_df, exact_t = mp.mpf(df), mp.mpf(t)
        density = oracle.student_density(exact_df, exact_t)
        by_df = oracle.slope(lambda u, t=exact_t: mp.log(oracle.student_density(u, t)), (exact_df,), 0)
        found = special.log_stdtr_slope(df, t)
        slope = fd.derivative(lambda u, t=t: special.log_stdtr_slope(u, t), df, backend="numpy")
        assert_relative([found, slope], [mp.log(density), by_df], 1e-12, (df, t))


QUANTILES = [
    (1e5, 1e-300),
    (1e5, 0.3),
    (1e5, 0.5 - 1e-9),
    (1e5, 1 - 1e-12),
    (193.0, 6.9e-160),
    (0.05, 0.3),
    (0.05, 1e-4),
    (0.1449, 1e-30),  # the square of the quantile overflows
    (3.0, 0.9),
    (3.0, 0.55),
]


def test_quantile_and_partials():
    for point, row in zip(QUANTILES, values_and_partials(special.stdtrit, QUANTILES), strict=True):
        df, p = map(mp.mpf, point)
        sign, low = (1, p) if p < 0.5 else (-1, 1 - p)
        t = sign * mp.mpf(float(row[0]))
        for _ in range(4):
            t -= (oracle.lower_of_student(df, t) - low) / oracle.student_density(df, t)
        density = oracle.student_density(df, t)
        by_df = -oracle.slope_of_student(df, t) / density
        assert_relative(row, (sign * t, sign * by_df, 1 / density), 1e-10, point)


@pytest.mark.slow
def test_second_derivatives_of_the_quantile():
    """tan(π (p - ½)) for one degree of freedom, and (2p - 1) / √(2p (1 - p)) for two."""
    p = 0.2
    twice = fd.derivative(
        lambda p: fd.derivative(lambda q: special.stdtrit(1.0, q), p, backend="numpy"), p, backend="numpy"
    )
    angle = math.pi * (p - 0.5)
    assert twice == pytest.approx(2.0 * math.pi**2 * math.tan(angle) / math.cos(angle) ** 2, rel=1e-11)
    hessian = fd.hessian(lambda v: special.stdtrit(v[0], v[1]), np.array([2.0, p]), backend="numpy")
    near = [
        fd.gradient(lambda v: special.stdtrit(v[0], v[1]), np.array([2.0 + h, p]), backend="numpy")
        for h in (-1e-5, 1e-5)
    ]
    np.testing.assert_allclose(hessian[0], (near[1] - near[0]) / 2e-5, rtol=1e-8)


def test_infinitely_many_degrees_are_normal():
    for t in (-30.0, -1.0, 0.0, 2.0):
        assert special.stdtr(math.inf, t) == pytest.approx(scipy.special.ndtr(t), rel=1e-13)
    assert special.stdtrit(math.inf, 1e-10) == pytest.approx(scipy.special.ndtri(1e-10), rel=1e-13)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_arguments():
    for df, t in itertools.product([*HOSTILE, 1e-5, -40.0, -0.5], repeat=2):
        found, expected = special.stdtr(df, t), float(scipy.special.stdtr(df, t))
        if not (0 < df < 1e-4 and t == 1e300):  # SciPy has 1; the tail falls off as t to the power -df
            assert found == pytest.approx(expected, rel=1e-12, nan_ok=True), (df, t)
        for name in ("log_stdtr", "stdtr_slope", "log_stdtr_slope", "stdtrit"):
            value = getattr(special, name)(df, t)
            assert math.isnan(value) == (
                math.isnan(expected) if name != "stdtrit" else not (df > 0 and 0 <= t <= 1)
            )


def check_by_pytorch(function, *values):
    torch = pytest.importorskip("torch")
    inputs = tuple(torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values)
    wrapped = fd.fwddiff(function).broadcast
    assert torch.autograd.gradcheck(wrapped, inputs)
    assert torch.autograd.gradgradcheck(wrapped, inputs)


@pytest.mark.parametrize(
    ("function", "values"),
    [(special.betainc, ([0.5, 7.0], [2.0, 0.8], [0.3, 0.9])), (special.stdtr, ([1.5, 30.0], [-2.5, 0.4]))],
)
@pytest.mark.few(function=["stdtr"])
def test_checks_of_pytorch_pass(function, values):
    check_by_pytorch(function, *values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "values"),
    [
        (special.betaincinv, ([0.5, 7.0], [2.0, 0.8], [0.3, 0.9])),
        (special.stdtrit, ([1.5, 30.0], [0.1, 0.7])),
    ],
)
def test_checks_of_pytorch_pass_for_quantiles(function, values):
    check_by_pytorch(function, *values)
