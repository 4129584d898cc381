"""Values, gradients and Hessians of densities and distribution functions against mpmath, tails included."""

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import stats
from fwddiff.stats._counts import Counts
from support.distributions import derivatives, oracle

# Shapes, and values: in both tails, about 40 deviations out where there are such, and in between. Location
# 0.3, scale 1.7, which leaves no special point where it would be by itself.
LOC, SCALE = 0.3, 1.7
POINTS = [
    ("Normal", (), (-68.0, 0.4, 68.0)),
    ("Cauchy", (), (-1e5, 0.4, 68.0)),
    ("Logistic", (), (-68.0, 0.3, 68.0)),
    ("Laplace", (), (-68.0, 0.4)),
    ("Gumbel", (), (-6.0, 0.4, 100.0)),
    ("Exponential", (), (0.3001, 68.0)),
    ("Uniform", (), (0.3001, 1.9)),
    ("LogNormal", (0.7,), (0.3001, 1.0, 680.0)),
    ("Weibull", (1.7,), (0.3001, 1.0, 30.0)),
    ("LogLogistic", (2.7,), (0.3001, 1.0, 680.0)),
    ("Pareto", (2.7,), (2.0001, 680.0)),
    ("GeneralizedPareto", (1e-7,), (0.3001, 30.0)),
    ("GeneralizedPareto", (-0.3,), (1.0, 5.9)),
    ("GeneralizedExtremeValue", (1e-7,), (-3.0, 30.0)),
    ("GeneralizedExtremeValue", (0.3,), (-4.0, 5.0)),
    ("TruncatedNormal", (-1.0, 2.0), (-1.3, 3.6)),
    ("TruncatedNormal", (20.0, 40.0), (34.4, 35.0)),
    ("Gamma", (2.5,), (8.0,)),
    ("Gamma", (1e4,), (17100.0,)),
    ("ChiSquared", (2.5,), (0.31,)),
    ("InverseGamma", (2.5,), (0.4, 68.0)),
    ("Beta", (2.5, 1.2), (0.31, 1.9)),
    ("StudentT", (3.5,), (-68.0, 0.4)),
    ("StudentT", (1e5,), (5.0,)),
    ("Poisson", (3.5,), (0.0, 3.0, 40.0)),
    ("Poisson", (1e4,), (10300.0,)),
    ("Bernoulli", (0.3,), (0.0,)),
    ("Binomial", (12.0, 0.3), (0.0, 3.0, 11.0)),
    ("NegativeBinomial", (3.5, 0.3), (0.0, 100.0)),
    ("NegativeBinomial", (0.01, 0.01), (3.0,)),
    ("BetaBinomial", (12.0, 2.5, 0.7), (0.0, 3.0, 11.0)),
]
# Their cdfs are special functions, whose second derivatives have tests of their own (`tests/special`).
SLOW = ("ChiSquared", "InverseGamma", "Beta", "StudentT", "NegativeBinomial", "Binomial")
METHODS = ("density", "logcdf", "logsf")


def of_parameters(cls, method, x, parameters, active):
    """The method as a function of an array of the active ones among the value and the parameters."""

    def function(v):
        given = [x, *parameters]
        for k, position in enumerate(active):
            given[position] = v[k]
        return getattr(cls(*given[1:]), method)(given[0])

    return function


def active_positions(name, arguments, counts):
    """Whole numbers are not differentiated."""
    whole = {"Binomial": (0, 1), "BetaBinomial": (0, 1)}.get(name, (0,)) if counts else ()
    return [k for k in range(len(arguments)) if k not in whole]


def assert_close(found, expected, tolerance, floor=0.0):
    """Relative to each number, and to the largest where others have cancelled; `floor`: rounding."""
    found, expected = np.asarray(found, float), np.asarray(expected)
    scale = np.maximum(np.abs(expected), 1e-3 * np.max(np.abs(expected)))
    assert np.all(np.abs(found - expected) <= tolerance * scale + floor + 1e-290), (found, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "shapes", "values"), POINTS, ids=[f"{p[0]}{p[1]}" for p in POINTS])
@pytest.mark.every(2)
def test_to_second_order(name, shapes, values, method):
    cls = getattr(stats, name)
    counts = issubclass(cls, Counts)
    if method == "density":
        method = "logpmf" if counts else "logpdf"
    parameters = shapes if counts else (*shapes, LOC, SCALE)
    for x in values:
        active = active_positions(name, (x, *parameters), counts)
        function = of_parameters(cls, method, x, parameters, active)
        point = np.array([(x, *parameters)[k] for k in active])
        second = name not in SLOW or method.startswith("logp")
        value, gradient, hessian = derivatives(oracle(name, method, counts), (x, *parameters), active, second)
        assert_close(getattr(cls(*parameters), method)(x), value, 1e-11)
        assert_close(fd.gradient(function, point, backend="numpy"), gradient, 1e-11)
        if second:
            assert_close(
                fd.hessian(function, point, backend="numpy"), hessian, 1e-10, 1e-14 * np.max(np.abs(gradient))
            )


@pytest.mark.parametrize(("name", "shapes", "values"), POINTS, ids=[f"{p[0]}{p[1]}" for p in POINTS])
@pytest.mark.every(2)
def test_probabilities_are_those_of_the_logarithms(name, shapes, values):
    cls = getattr(stats, name)
    counts = issubclass(cls, Counts)
    parameters = shapes if counts else (*shapes, LOC, SCALE)
    for x in values:
        active = active_positions(name, (x, *parameters), counts)
        point = np.array([(x, *parameters)[k] for k in active])
        pairs = [("cdf", "logcdf"), ("sf", "logsf"), ("pmf", "logpmf") if counts else ("pdf", "logpdf")]
        for plain, logarithm in pairs:
            value, slopes = fd.value_and_gradient(
                of_parameters(cls, plain, x, parameters, active), point, backend="numpy"
            )
            log_value, log_slopes = fd.value_and_gradient(
                of_parameters(cls, logarithm, x, parameters, active), point, backend="numpy"
            )
            assert_close(value, math.exp(log_value), 1e-11)
            assert_close(slopes, math.exp(log_value) * np.asarray(log_slopes), 1e-9)


@pytest.mark.parametrize(("name", "shapes", "values"), POINTS, ids=[f"{p[0]}{p[1]}" for p in POINTS])
@pytest.mark.every(2)
def test_quantiles_undo_cdfs_with_their_derivatives(name, shapes, values):
    """Of all parameters by the implicit function theorem: cdf(quantile(q)) is q, whatever they are."""
    cls = getattr(stats, name)
    if issubclass(cls, Counts):
        pytest.skip("quantiles of counts are steps")
    parameters = np.array([*shapes, LOC, SCALE])
    for x in values:
        lower = cls(*parameters).cdf(x) < 0.5
        there, back = ("cdf", "quantile") if lower else ("sf", "isf")
        q = getattr(cls(*parameters), there)(x)
        if q < 1e-300:
            continue
        np.testing.assert_allclose(getattr(cls(*parameters), back)(q), x, rtol=1e-9)

        def round_trip(v, there=there, back=back):
            return getattr(cls(*v[1:]), "log" + there)(getattr(cls(*v[1:]), back)(v[0]))

        gradient = fd.gradient(round_trip, np.array([q, *parameters]), backend="numpy")
        np.testing.assert_allclose(gradient[0] * q, 1.0, rtol=1e-8)
        forth = of_parameters(cls, "log" + there, x, tuple(parameters), range(1, 1 + len(parameters)))
        slopes = fd.gradient(forth, parameters, backend="numpy")
        np.testing.assert_allclose(gradient[1:], 0.0, atol=1e-8 * max(1.0, np.max(np.abs(slopes))))
