"""Statistics, factorizations and constructors of arrays of duals, against NumPy's values and differences."""

import numpy as np
import pytest

import fwddiff as fd
from dual.differentiate import derivative, jacobian, numerical_jacobian
from fwddiff import dual, fwddiff

X = np.array([0.9, 2.3, 1.4, 0.3])
GAPS = np.array([0.9, np.nan, 1.4, 0.3])
ROWS = np.array([[0.9, 2.3, 1.4], [0.3, 1.7, 0.2]])


def matrix(x):
    return np.reshape(x, (2, 2))


def positive(x):
    return matrix(x) @ matrix(x).T + np.eye(2)


FUNCTIONS = {
    "ptp": np.ptp,
    "ptp of rows": lambda x: np.ptp(matrix(x), axis=1, keepdims=True),
    "median, even": np.median,
    "median, odd": lambda x: np.median(x[:3]),
    "median of columns": lambda x: np.median(matrix(x), axis=0),
    "quantile": lambda x: np.quantile(x, 0.3),
    "quantiles": lambda x: np.quantile(x, [0.1, 0.5, 1.0]),
    "quantiles of rows": lambda x: np.quantile(matrix(x), [0.25, 0.5], axis=1),
    "its level": lambda x: np.quantile(x, x[3]),
    "percentile": lambda x: np.percentile(x, 70),
    "average": np.average,
    "weighted": lambda x: np.average(x, weights=x**2),
    "weighted rows": lambda x: np.average(matrix(x), axis=1, weights=x[:2]),
    "average and weights": lambda x: np.stack(np.average(x, weights=x, returned=True)),
    "covariance": lambda x: np.cov(matrix(x)),
    "correlation": lambda x: np.corrcoef(x[:3], x[1:]),
    "trapezoid": np.trapezoid,
    "trapezoid, points": lambda x: np.trapezoid(x**2, x),
    "trapezoid, spacing": lambda x: np.trapezoid(matrix(x), dx=x[0], axis=0),
    "nansum": lambda x: np.nansum(x + 0 * GAPS),
    "nanmean": lambda x: np.nanmean(x * GAPS),
    "nanvar": lambda x: np.nanvar(x * GAPS, ddof=1),
    "nanstd": lambda x: np.nanstd(x * GAPS),
    "nanmax": lambda x: np.nanmax(x * GAPS),
    "nanmin": lambda x: np.nanmin(x * GAPS),
    "nanprod": lambda x: np.nanprod(x * GAPS),
    "nancumsum": lambda x: np.nancumsum(x * GAPS),
    "nancumprod": lambda x: np.nancumprod(x * GAPS),
    "linspace": lambda x: np.linspace(x[0], x[1], 5),
    "linspace without end": lambda x: np.linspace(x[0], x[1], 5, endpoint=False),
    "linspace of arrays": lambda x: np.linspace(x[:2], x[2:], 3, axis=1),
    "linspace and step": lambda x: np.linspace(x[0], x[1], 5, retstep=True)[1],
    "logspace": lambda x: np.logspace(x[0], x[1], 4),
    "vander": np.vander,
    "vander, increasing": lambda x: np.vander(x, 3, increasing=True),
    "polyval": lambda x: np.polyval(x, x[0]),
    "polyval of points": lambda x: np.polyval([1.0, 2.0, 3.0], x),
    "select": lambda x: np.select([x > 2, x > 1], [x**2, x**3], x),
    "append": lambda x: np.append(matrix(x), x[0]),
    "cumprod": lambda x: x.cumprod(),
    "slogdet": lambda x: np.linalg.slogdet(matrix(x))[1],
    "slogdet of a stack": lambda x: np.linalg.slogdet(np.stack([matrix(x), positive(x)])).logabsdet,
    "cholesky": lambda x: np.linalg.cholesky(positive(x)),
    "cholesky of the lower triangle": lambda x: np.linalg.cholesky(matrix(x) * x[0] + np.diag([9.0, 30.0])),
    "cholesky of a stack": lambda x: np.linalg.cholesky(np.stack([positive(x), positive(x**2)])),
    "matrix_power": lambda x: np.linalg.matrix_power(matrix(x), 3),
    "matrix_power, inverse": lambda x: np.linalg.matrix_power(matrix(x), -2),
    "multi_dot": lambda x: np.linalg.multi_dot([matrix(x), matrix(x).T, x[:2]]),
    "ravel by columns": lambda x: x.reshape(2, 2).ravel("F"),
    "flatten by columns": lambda x: x.reshape(2, 2).flatten("F"),
    "reshape by columns": lambda x: x.reshape((2, 2), order="F"),
    "methods": lambda x: x[x.argsort()].repeat(2).take([0, 3]) * matrix(x).diagonal() * x.conj()[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_slopes_to_second_order(name):
    f = FUNCTIONS[name]
    seeded = dual.strip(f(dual.make(X, list(np.eye(4)), 0)))
    np.testing.assert_allclose(seeded, f(X), rtol=4e-16 * 40)
    assert np.shape(seeded) == np.shape(f(X))
    np.testing.assert_allclose(jacobian(f, X), numerical_jacobian(f, X), rtol=1e-7, atol=1e-8)
    second = jacobian(lambda x: jacobian(f, x), X)
    np.testing.assert_allclose(second, numerical_jacobian(lambda x: jacobian(f, x), X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("f", "x"), [(np.median, [1.0, 2.0, 2.0, 2.0, 3.0]), (np.ptp, [1.0, 3.0, 1.0, 3.0])])
def test_at_ties_one_of_the_equal_elements_has_the_slope(f, x):
    slopes = jacobian(f, np.array(x))
    assert sorted(slopes) == ([0, 0, 0, 0, 1] if f is np.median else [-1, 0, 0, 1])
    shifted = jacobian(f, np.array(x) + 1)
    np.testing.assert_array_equal(slopes, shifted)


def test_between_equal_elements_slopes_of_both_add_up():
    for x in ([2.0, 2.0, 2.0, 5.0], [1.0, 2.0, 2.0, 5.0]):
        np.testing.assert_allclose(sum(jacobian(np.median, np.array(x))), 1.0)
        np.testing.assert_allclose(sum(jacobian(lambda v: np.quantile(v, 0.4), np.array(x))), 1.0)


def test_nan_and_what_is_left_of_it():
    assert np.isnan(dual.strip(np.median(dual.make(GAPS, [np.ones(4)], 0))))
    slopes = jacobian(np.nansum, GAPS)
    np.testing.assert_array_equal(slopes, [1.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(jacobian(np.nanmean, GAPS), [1 / 3, 0.0, 1 / 3, 1 / 3])


def test_singular_matrices_have_no_slope_and_others_of_a_stack_keep_theirs():
    stack = np.stack([np.ones((2, 2)), np.diag([2.0, 4.0])])
    slopes = jacobian(lambda a: np.linalg.slogdet(a)[1], stack).reshape(2, 2, 2, 2)
    assert np.isnan(slopes[0]).any()
    np.testing.assert_allclose(slopes[1, 1], np.diag([0.5, 0.25]))


def test_the_last_point_is_exact():
    stop = 0.1 + 0.2
    points = np.linspace(dual.make(0.7, [1.0], 0), stop, 7)
    np.testing.assert_array_equal(dual.strip(points), np.linspace(0.7, stop, 7))
    assert derivative(lambda x: np.linspace(x, stop, 7)[-1], 0.7) == 0.0


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.quantile(x, 0.5, method="lower"),
        lambda x: np.linalg.cholesky(positive(x), upper=True),
        lambda x: (1j * x[0]).real,
        lambda x: abs(x[0] * np.complex128(1j)),
    ],
)
def test_what_is_not_there_is_refused(f):
    with pytest.raises(fd.DerivativeError):
        jacobian(f, X)


@pytest.mark.parametrize("operator", [fd.gradient, pytest.param(fd.hessian, marks=pytest.mark.slow)])
def test_both_engines_agree_on_what_both_have(operator):
    def f(x):
        return np.median(x) * np.ptp(x) + np.average(x, weights=x**2) + np.trapezoid(x, x**2) + np.nanmax(x)

    both = [operator(fwddiff(f, engine=engine), X) for engine in ("numba", "numpy")]
    np.testing.assert_allclose(*both, rtol=1e-12, atol=1e-12)
