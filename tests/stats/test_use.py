"""How distributions are made and used: checks, kernels, structs of arrays, hosts, SciPy's names."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
import scipy.stats
from scipy.stats import norm

import fwddiff as fd
from fwddiff import fwddiff, stats
from gradients import HOSTS, chosen_hosts
from test_catalogue import ENGINES


def logpdf(distribution, x):
    return distribution.logpdf(x)


# --- construction -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (
            stats.Normal,
            (0.0, -1.0),
            r"Normal\(loc=0.0, scale=-1.0\) is no distribution: Normal needs scale > 0",
        ),
        (stats.Normal, (np.zeros(2), np.array([1.0, -2.0])), r"scale=-2.0"),
        (stats.Gamma, (0.0,), "a > 0"),
        (stats.Binomial, (2.5, 0.5), "whole n"),
        (stats.Bernoulli, (1.5,), "0 <= p <= 1"),
        (stats.TruncatedNormal, (1.0, 1.0), "a < b"),
        (stats.Mixture, ((0.5, 0.6), (stats.Normal(), stats.Normal())), "add up to 1"),
        (stats.Truncated, (stats.Normal(0.0, -1.0), 0.0), "scale > 0"),
        (stats.VonMises, (-1.0,), "kappa >= 0"),
    ],
)
def test_validation(cls, arguments, message):
    with pytest.raises(fd.ArgumentError, match=message):
        cls(*arguments, validate=True)
    cls(*arguments)  # as in kernels


def test_valid_parameters_pass():
    assert stats.Normal(0.0, 1.0, validate=True) == stats.Normal(0.0, 1.0)
    stats.Mixture((0.4, 0.6), (stats.Normal(), stats.StudentT(3.0)), validate=True)
    stats.Normal(np.zeros((2, 1)), np.ones(3), validate=True)


def test_distributions_are_plain_frozen_dataclasses():
    d = stats.Gamma(2.0, scale=3.0)
    assert [field.name for field in dataclasses.fields(d)] == ["a", "loc", "scale"]
    assert dataclasses.replace(d, a=4.0) == stats.Gamma(4.0, 0.0, 3.0)
    assert pickle.loads(pickle.dumps(d)) == d
    with pytest.raises(dataclasses.FrozenInstanceError):
        d.a = 1.0


@pytest.mark.parametrize("engine", ENGINES)
def test_construction_with_a_check_inside_a_function(engine):
    def f(mu, sigma, x):
        return stats.Normal(mu, scale=sigma, validate=True).logpdf(x)

    gradient = fd.gradient(f, 0.5, 2.0, 1.5, backend=engine, argnum=(0, 1, 2))
    np.testing.assert_allclose(gradient, (0.25, -0.375, -0.25))


def test_a_constructor_broadcast():
    made = fwddiff(stats.Normal).broadcast(np.zeros(3), np.ones(3))
    assert isinstance(made, stats.Normal)
    np.testing.assert_array_equal(made.scale, np.ones(3))


def test_classes_of_users_with_a_post_init_are_still_refused():
    @dataclasses.dataclass(frozen=True)
    class Doubled:
        a: float

        def __post_init__(self):
            object.__setattr__(self, "a", 2 * self.a)

    with pytest.raises(fd.CompileError, match="__post_init__"):
        fd.derivative(lambda x: Doubled(x).a, 1.0, backend="numba")


# --- outside of support and parameters ----------------------------------------------------------------------

OUTSIDE = [
    (stats.Exponential(0.0, 2.0), -1.0),
    (stats.Uniform(), 1.5),
    (stats.LogNormal(0.5), -1.0),
    (stats.Weibull(1.5), -1.0),
    (stats.LogLogistic(1.5), -1.0),
    (stats.Pareto(1.5), 0.5),
    (stats.GeneralizedPareto(-0.5), 2.5),
    (stats.GeneralizedExtremeValue(0.5), 2.5),
    (stats.TruncatedNormal(-1.0, 1.0), 2.0),
    (stats.Gamma(1.5), -1.0),
    (stats.ChiSquared(1.5), -1.0),
    (stats.InverseGamma(1.5), 0.0),
    (stats.Beta(1.5, 2.5), 1.5),
    (stats.Normal(), math.inf),
]


@pytest.mark.parametrize(("distribution", "x"), OUTSIDE, ids=[type(d).__name__ for d, _ in OUTSIDE])
def test_outside_the_support(distribution, x):
    value, pullback = fd.rrule(fwddiff(logpdf, engine="numpy"), distribution, x)
    assert value == -math.inf
    of_parameters, of_x = (fd.unthunk(thunk) for thunk in pullback(1.0))
    assert [*dataclasses.astuple(of_parameters), of_x] == [0.0] * (len(dataclasses.fields(distribution)) + 1)
    assert type(distribution)(*[-2.0] * len(dataclasses.fields(distribution))).logpdf(x) != 0.0


def probabilities(d, x):
    return d.cdf(x), d.sf(x), d.logcdf(x), d.logsf(x)


@pytest.mark.parametrize(
    "distribution", [stats.Normal(), stats.LogNormal(0.5), stats.Pareto(1.5), stats.Gumbel()]
)
def test_probabilities_at_infinity_are_constants(distribution):
    """An open interval may be given by infinite ends: no nan of infinity times a density of 0."""
    wrapped = fwddiff(probabilities, engine="numpy")
    for x, expected in ((-math.inf, (0.0, 1.0, -math.inf, 0.0)), (math.inf, (1.0, 0.0, 0.0, -math.inf))):
        found, pullback = fd.rrule(wrapped, distribution, x)
        assert found == expected
        of_parameters, of_x = (fd.unthunk(thunk) for thunk in pullback((1.0, 1.0, 1.0, 1.0)))
        assert not any([*dataclasses.astuple(of_parameters), of_x])


@pytest.mark.parametrize("engine", ENGINES)
def test_open_and_closed_intervals_in_one_sum(engine):
    def within(mu, sigma, lower, upper):
        d = stats.Normal(mu, sigma)
        return d.cdf(upper) - d.cdf(lower)

    lower, upper = np.array([-math.inf, -1.0, 0.5]), np.array([0.3, 2.0, math.inf])
    wrapped = fwddiff(within, engine=engine)
    _, pullback = fd.rrule(wrapped.sum, 0.2, 1.5, lower, upper)
    by_mu, by_sigma, by_lower, by_upper = (fd.unthunk(thunk) for thunk in pullback(1.0))
    z, w = (lower[1:] - 0.2) / 1.5, (upper[:2] - 0.2) / 1.5
    low, high = norm.pdf(z) / 1.5, norm.pdf(w) / 1.5
    np.testing.assert_allclose(by_lower, [0.0, *-low], rtol=1e-12)
    np.testing.assert_allclose(by_upper, [*high, 0.0], rtol=1e-12)
    np.testing.assert_allclose(by_mu, low.sum() - high.sum(), rtol=1e-12)
    np.testing.assert_allclose(by_sigma, (low * z).sum() - (high * w).sum(), rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sum_over_values_inside_and_outside(engine):
    x = np.array([-1.0, 0.5, 2.0, -3.0])

    def total(a, scale, x):
        inside = stats.Gamma(a, scale=scale).logpdf(x)
        return max(inside, -1e3)

    for wrapped in (
        fwddiff(total, engine=engine),
        fwddiff(lambda a, s, x: stats.Gamma(a, 0.0, s).logpdf(x), engine=engine),
    ):
        _, pullback = fd.rrule(wrapped.sum, 2.5, 1.5, x)
        found = [fd.unthunk(thunk) for thunk in pullback(1.0)]
        kept = x[x > 0.0]
        import scipy.special

        np.testing.assert_allclose(
            found[0], np.sum(np.log(kept / 1.5) - scipy.special.digamma(2.5)), rtol=1e-12
        )
        np.testing.assert_allclose(found[1], np.sum(kept / 1.5**2 - 2.5 / 1.5), rtol=1e-12)
        np.testing.assert_allclose(found[2][x < 0.0], 0.0)


def test_invalid_parameters_give_nan():
    for distribution in (
        stats.Normal(0.0, -1.0),
        stats.Gamma(-1.0),
        stats.StudentT(0.0),
        stats.Beta(1.0, 0.0),
    ):
        for method in ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "quantile", "isf"):
            assert math.isnan(getattr(distribution, method)(0.5))
        assert math.isnan(distribution.mean())
        assert math.isnan(distribution.variance())
        assert math.isnan(distribution.entropy())
    for counts in (stats.Poisson(-1.0), stats.Binomial(3, 1.5), stats.NegativeBinomial(0.0, 0.5)):
        assert math.isnan(counts.logpmf(1.0))
        assert math.isnan(counts.quantile(0.5))
    mixture = stats.Mixture((-1.0, 0.5), (stats.Normal(), stats.Normal()))
    for method in ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"):
        assert math.isnan(getattr(mixture, method)(0.5))


def test_whole_numbers_have_no_derivative():
    for distribution in (stats.Poisson(2.5), stats.Binomial(5.0, 0.3), stats.BetaBinomial(5.0, 2.0, 3.0)):
        for method in ("logpmf", "cdf"):
            assert fd.derivative(getattr(distribution, method), 2.0, backend="numpy") == 0.0


# --- kernels, hosts -----------------------------------------------------------------------------------------


def student(d, x):
    return d.logpdf(x), d.logcdf(x), d.quantile(d.cdf(x))


def test_kernels_and_python_agree():
    d = stats.StudentT(np.array([3.0, 2.5]), np.array([0.1, 0.2]), np.array([1.5, 2.0]))
    x = np.array([0.3, -4.0])
    found = []
    for engine in ENGINES:
        values, pullback = fd.rrule(fwddiff(student, engine=engine).broadcast, d, x)
        of_d, of_x = (fd.unthunk(thunk) for thunk in pullback((np.ones(2), np.ones(2), np.ones(2))))
        found.append([*values, of_d.df, of_d.loc, of_d.scale, of_x])
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[0][2], x, rtol=1e-12)


@pytest.mark.parametrize("host", chosen_hosts())
def test_structs_of_arrays_in_every_host(host):
    g = fwddiff(logpdf).broadcast
    mu, sigma, x = np.array([0.1, 0.4]), np.array([1.0, 2.0]), np.array([1.0, -1.0])
    gradient = HOSTS[host][1](lambda mu, sigma, x: g(stats.Normal(mu, sigma), x), (mu, sigma, x))
    z = (x - mu) / sigma
    np.testing.assert_allclose(gradient[0], z / sigma, rtol=1e-12)
    np.testing.assert_allclose(gradient[1], (z * z - 1) / sigma, rtol=1e-12)
    np.testing.assert_allclose(gradient[2], -z / sigma, rtol=1e-12)


# --- distributions made of others ---------------------------------------------------------------------------


def mixed(w, mu, x):
    parts = (stats.Normal(mu, 1.0), stats.StudentT(4.0, 1.0, 2.0))
    return stats.Mixture((w, 1.0 - w), parts).logpdf(x)


@pytest.mark.parametrize("engine", ENGINES)
def test_mixture_of_two_classes(engine):
    """To second order, and at a weight of 0, where the slope in it is not 0."""
    mu, x = 0.5, 1.25
    first, second = norm.pdf(x, mu), scipy.stats.t.pdf(x, 4.0, 1.0, 2.0)
    for w in (0.3, 0.0):
        total = w * first + (1 - w) * second
        gradient = fd.gradient(mixed, w, mu, x, argnum=(0, 1), backend=engine)
        np.testing.assert_allclose(mixed(w, mu, x), np.log(total), rtol=1e-13)
        expected = (first - second) / total, w * first * (x - mu) / total
        np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)
        second_slope = fd.hessian(lambda w: mixed(w, mu, x), w, backend=engine)
        np.testing.assert_allclose(second_slope, -(expected[0] ** 2), rtol=1e-12)


def nested(w, mu, x):
    parts = (stats.Normal(mu, 1.0), stats.StudentT(4.0, 1.0, 2.0))
    inner = stats.Truncated(stats.Mixture((w, 1.0 - w), parts), -1.0, 3.0)
    return stats.Mixture((0.5, 0.5), (stats.Censored(inner, -0.5, 2.0), stats.Normal(mu, w))).logpdf(x)


@pytest.mark.slow
def test_distributions_inside_each_other():
    given = 0.3, 0.5, 0.6
    by_code = fd.gradient(nested, *given, argnum=(0, 1, 2), backend="numba")
    by_python = fd.gradient(nested, *given, argnum=(0, 1, 2), backend="numpy")
    np.testing.assert_allclose(by_code, by_python, rtol=1e-12)
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        difference = (nested(*(given + step)) - nested(*(given - step))) / 2e-6
        assert by_code[k] == pytest.approx(difference, rel=1e-7)


@pytest.mark.parametrize("host", HOSTS)
def test_a_struct_of_several_classes_in_hosts(host):
    """A struct of arrays of distributions of two classes, as an argument."""
    w, mu, x = (np.array(v) for v in ([0.3, 0.7], [0.5, -0.2], [1.25, 0.4]))
    g = fd.fwddiff(lambda d, x: d.logpdf(x)).broadcast

    def of(w, mu, x):
        return g(stats.Mixture((w, 1.0 - w), (stats.Normal(mu, 1.0), stats.StudentT(4.0, 1.0, 2.0))), x)

    first, second = norm.pdf(x, mu), scipy.stats.t.pdf(x, 4.0, 1.0, 2.0)
    total = w * first + (1 - w) * second
    gradient = HOSTS[host][1](of, (w, mu, x))
    np.testing.assert_allclose(gradient[0], (first - second) / total, rtol=1e-12)
    np.testing.assert_allclose(gradient[1], w * first * (x - mu) / total, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_mixture_of_one_class(engine):
    def two(w, mu, x):
        return stats.Mixture((w, 1.0 - w), (stats.Normal(mu, 1.0), stats.Normal(0.0, 2.0))).logpdf(x)

    first, second = norm.pdf(0.75), norm.pdf(1.25, 0.0, 2.0)
    total = 0.3 * first + 0.7 * second
    gradient = fd.gradient(two, 0.3, 0.5, 1.25, argnum=(0, 1), backend=engine)
    np.testing.assert_allclose(gradient, ((first - second) / total, 0.3 * first * 0.75 / total), rtol=1e-12)


def test_mixture_moments_and_quantile():
    d = stats.Mixture((0.3, 0.7), (stats.Normal(-2.0, 1.0), stats.Normal(3.0, 0.5)))
    assert d.mean() == pytest.approx(1.5)
    assert d.variance() == pytest.approx(0.3 * (1 + 3.5**2) + 0.7 * (0.25 + 1.5**2))
    for q in (1e-12, 0.2, 0.3, 0.9):
        assert d.cdf(d.quantile(q)) == pytest.approx(q, rel=1e-12)
    slope = fd.derivative(lambda q, d: d.quantile(q), 0.2, d, backend="numpy")
    assert slope == pytest.approx(1.0 / d.pdf(d.quantile(0.2)), rel=1e-10)
    assert d.logcdf(-60.0) == pytest.approx(math.log(0.3) + norm.logcdf(-58.0), rel=1e-12)
    assert d.logsf(-60.0) == pytest.approx(-0.3 * norm.cdf(-58.0), rel=1e-9)


def test_truncated_is_truncnorm_and_has_no_zeros():
    d, expected = (
        stats.Truncated(stats.Normal(0.5, 2.0), -1.0, 3.0),
        stats.TruncatedNormal(-0.75, 1.25, 0.5, 2.0),
    )
    for x in (-2.0, -0.9, 0.5, 2.9, 4.0):
        for method in ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"):
            assert getattr(d, method)(x) == pytest.approx(getattr(expected, method)(x), rel=1e-12), (
                method,
                x,
            )
    for q in (0.0, 0.3, 1.0):
        assert d.quantile(q) == pytest.approx(expected.quantile(q), rel=1e-12)
    zero_free = stats.Truncated(stats.Poisson(1.5), 0.0)
    assert zero_free.pmf(0.0) == 0.0
    assert sum(zero_free.pmf(k) for k in range(40)) == pytest.approx(1.0, rel=1e-14)


def test_truncated_below_the_support():
    """Between the lower bound and the support there is no probability: sf is 1, with slopes 0."""
    for x in (-0.5, 0.0):
        found, pullback = fd.rrule(
            fwddiff(lambda d, x: d.logsf(x), engine="numpy"), stats.Truncated(stats.Gamma(2.5), -1.0, 3.0), x
        )
        assert found == 0.0
        of_d, of_x = (fd.unthunk(thunk) for thunk in pullback(1.0))
        assert [*dataclasses.astuple(of_d.distribution), of_d.lower, of_d.upper, of_x] == [0.0] * 6
    assert stats.Truncated(stats.Gamma(2.5), -1.0, 3.0).sf(1.0) == pytest.approx(
        1.0 - scipy.stats.gamma.cdf(1.0, 2.5) / scipy.stats.gamma.cdf(3.0, 2.5), rel=1e-13
    )


def test_censored_observations():
    d = stats.Censored(stats.StudentT(4.0, 0.5, 2.0), -1.0, 3.0)
    inner = d.distribution
    assert d.logpdf(-1.0) == d.logpdf(-7.0) == inner.logcdf(-1.0)
    assert d.logpdf(3.0) == inner.logsf(3.0)
    assert d.logpdf(1.0) == inner.logpdf(1.0)
    assert (d.cdf(-1.1), d.cdf(3.0), d.quantile(0.001), d.quantile(0.999)) == (0.0, 1.0, -1.0, 3.0)
    counted = stats.Censored(stats.Poisson(2.0), upper=4.0)
    assert sum(counted.pmf(k) for k in range(5)) == pytest.approx(1.0, rel=1e-14)


def test_zero_inflated():
    d = stats.ZeroInflated(stats.Poisson(2.0), 0.25)
    assert d.pmf(0.0) == pytest.approx(0.25 + 0.75 * math.exp(-2.0), rel=1e-14)
    assert sum(d.pmf(k) for k in range(60)) == pytest.approx(1.0, rel=1e-14)
    assert d.cdf(1.0) == pytest.approx(d.pmf(0.0) + d.pmf(1.0), rel=1e-14)
    assert d.quantile(0.2) == 0.0
    k = np.arange(60.0)
    p = np.array([d.pmf(j) for j in k])
    assert d.mean() == pytest.approx(p @ k, rel=1e-12)
    assert d.variance() == pytest.approx(p @ (k - p @ k) ** 2, rel=1e-12)
    rain = stats.ZeroInflated(stats.Gamma(2.0), 0.25)
    assert rain.logpdf(0.0) == math.log(0.25)
    assert rain.quantile(0.9) == pytest.approx(stats.Gamma(2.0).quantile(0.65 / 0.75))


# --- SciPy's names ------------------------------------------------------------------------------------------


def named(x, mu, sigma):
    return scipy.stats.norm.logpdf(x, mu, scale=sigma) + norm.logcdf(x, loc=mu) * 2.0


def of_counts(mu, p):
    return scipy.stats.poisson.logpmf(3, mu) + scipy.stats.binom.logsf(2, 5, p)


@pytest.mark.parametrize("engine", ENGINES)
def test_functions_of_scipy_inside_functions(engine):
    x, mu, sigma = 0.7, 0.2, 1.5
    z = (x - mu) / sigma
    gradient = fd.gradient(named, x, mu, sigma, argnum=(0, 1, 2), backend=engine)
    hazard = np.exp(norm.logpdf(x - mu) - norm.logcdf(x - mu))
    np.testing.assert_allclose(
        gradient, (-z / sigma + 2 * hazard, z / sigma - 2 * hazard, (z * z - 1) / sigma), rtol=1e-12
    )
    gradient = fd.gradient(of_counts, 2.5, 0.3, argnum=(0, 1), backend=engine)
    rising = scipy.stats.beta.pdf(0.3, 3, 3) / scipy.stats.binom.sf(2, 5, 0.3)
    np.testing.assert_allclose(gradient, (3 / 2.5 - 1, rising), rtol=1e-12)


def test_functions_of_scipy_on_arrays_of_duals():
    x = np.array([0.3, 1.2])
    found = fd.gradient(lambda x: norm.logpdf(x, 0.5).sum(), x, backend="numpy")
    np.testing.assert_allclose(found, 0.5 - x)


def test_samples_are_differentiable_in_the_parameters():
    def draw(a, scale):
        return stats.Gamma(a, scale=scale).sample(0.3)

    gradient = fd.gradient(draw, 2.5, 1.5, argnum=(0, 1), backend="numpy")
    step = 1e-5
    by_a = (
        (scipy.stats.gamma.ppf(0.3, 2.5 + step) - scipy.stats.gamma.ppf(0.3, 2.5 - step)) / (2 * step) * 1.5
    )
    np.testing.assert_allclose(gradient, (by_a, scipy.stats.gamma.ppf(0.3, 2.5)), rtol=1e-8)
