"""Values against `scipy.stats`, on a grid that has what is outside, at the ends and not finite."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats

from fwddiff import stats
from fwddiff.stats._scipy import NAMES, SCIPY

CASES = [
    ("norm", (0.3, 1.7)),
    ("cauchy", (0.3, 1.7)),
    ("logistic", (0.3, 1.7)),
    ("laplace", (0.3, 1.7)),
    ("gumbel_r", (0.3, 1.7)),
    ("expon", (0.3, 1.7)),
    ("uniform", (0.3, 1.7)),
    ("lognorm", (0.7, 0.3, 1.7)),
    ("weibull_min", (1.7, 0.3, 1.7)),
    ("weibull_min", (0.7, 0.3, 1.7)),
    ("weibull_min", (1.0, 0.3, 1.7)),
    ("fisk", (2.7, 0.3, 1.7)),
    ("pareto", (2.7, 0.3, 1.7)),
    ("genpareto", (0.2, 0.3, 1.7)),
    ("genpareto", (-0.2, 0.3, 1.7)),
    ("genpareto", (0.0, 0.3, 1.7)),
    ("genextreme", (0.2, 0.3, 1.7)),
    ("genextreme", (-0.2, 0.3, 1.7)),
    ("genextreme", (0.0, 0.3, 1.7)),
    ("truncnorm", (-1.0, 2.0, 0.3, 1.7)),
    ("truncnorm", (-5.0, -3.0, 0.3, 1.7)),
    ("skewnorm", (-0.5, 0.3, 1.7)),
    ("skewnorm", (0.0, 0.3, 1.7)),
    ("gamma", (2.5, 0.3, 1.7)),
    ("gamma", (0.5, 0.3, 1.7)),
    ("gamma", (1.0, 0.3, 1.7)),
    ("chi2", (2.5, 0.3, 1.7)),
    ("invgamma", (3.5, 0.3, 1.7)),
    ("beta", (2.5, 1.2, 0.3, 1.7)),
    ("beta", (0.5, 0.2, 0.3, 1.7)),
    ("beta", (1.0, 1.0, 0.3, 1.7)),
    ("t", (3.5, 0.3, 1.7)),
    ("vonmises", (2.5, 0.3, 1.0)),
    ("poisson", (3.5,)),
    ("poisson", (0.0,)),
    ("bernoulli", (0.3,)),
    ("binom", (12, 0.3)),
    ("binom", (12, 0.0)),
    ("binom", (12, 1.0)),
    ("nbinom", (3.5, 0.3)),
    ("nbinom", (3.5, 1.0)),
    ("betabinom", (12, 2.5, 0.7)),
    ("betabinom", (12, 0.5, 0.7)),
]
COUNTS = ("poisson", "bernoulli", "binom", "nbinom", "betabinom")
X = (-3.0, -1.0, 0.2, 0.3, 0.5, 0.9, 1.3, 2.0, 2.0001, 5.0, -math.inf, math.inf, math.nan)
K = (-1.0, 0, 1, 2, 3, 5, 11, 12, 13, 2.5, -math.inf, math.inf, math.nan)
Q = (0.0, 1e-8, 0.01, 0.2, 0.5, 0.7, 0.99, 1.0, -0.1, 1.1, math.nan)


def theirs(frozen, method, x):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(getattr(frozen, method)(x))


def is_left_out(name, method, x):
    """Where SciPy has nan for infinite values, or goes another way: see the docstring of `VonMises`."""
    if abs(x) == math.inf and method in ("pdf", "logpdf", "pmf", "logpmf"):
        return True
    if name != "vonmises":
        return False
    return (method in ("logcdf", "logsf") and not -2.8 < x < 3.4) or (
        method in ("ppf", "isf") and x in (0.0, 1.0)
    )


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=[f"{c[0]}{c[1]}" for c in CASES])
def test_functions_of_scipy(name, parameters):
    frozen = getattr(scipy.stats, name)(*parameters)
    for method, function in SCIPY[name].items():
        values = Q if method in ("ppf", "isf") else K if name in COUNTS else X
        for x in values:
            if is_left_out(name, method, x):
                continue
            found, expected = function(x, *parameters), theirs(frozen, method, x)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-300, nan_ok=True), (method, x)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=[f"{c[0]}{c[1]}" for c in CASES])
def test_moments_and_entropies_of_scipy(name, parameters):
    distribution, frozen = NAMES[name](*parameters), getattr(scipy.stats, name)(*parameters)
    for ours, method in (("mean", "mean"), ("variance", "var"), ("entropy", "entropy")):
        found = getattr(distribution, ours)()
        assert found == pytest.approx(float(getattr(frozen, method)()), rel=1e-8, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_distribution_of_ours_has_its_name(name):
    assert hasattr(scipy.stats, name)
    methods = {"cdf", "logcdf", "sf", "logsf", "ppf", "isf"}
    assert methods | ({"pmf", "logpmf"} if name in COUNTS else {"pdf", "logpdf"}) == set(SCIPY[name])


def test_locations_of_counts():
    assert SCIPY["poisson"]["logpmf"](5, 3.5, loc=2) == stats.Poisson(3.5).logpmf(3)
    assert SCIPY["binom"]["ppf"](0.3, 12, 0.3, 4.0) == scipy.stats.binom.ppf(0.3, 12, 0.3, 4)


def test_tails_and_quantiles_that_scipy_does_not_reach():
    """Von Mises and skew normal: against quadrature in 30 digits, and closed derivatives."""
    import mpmath as mp

    with mp.workdps(30):
        kappa, z = mp.mpf(80), mp.mpf("0.9")
        tail = mp.quad(lambda t: mp.exp(kappa * (mp.cos(t) - 1)), [z, z + 0.2, z + 0.5, mp.pi])
        whole = 2 * mp.pi * mp.besseli(0, kappa) * mp.exp(-kappa)
        assert stats.VonMises(80.0).logsf(0.9) == pytest.approx(float(mp.log(tail / whole)), rel=1e-12)

        for slant in (2.5, -2.5):
            density = lambda t: 2 * mp.npdf(t) * mp.ncdf(slant * t)  # noqa: E731, B023
            lower = mp.quad(density, [-14, -8, -7, -6.5, -6.3, -6.2, -6.1, -6.05, -6])
            assert stats.SkewNormal(slant).logcdf(-6.0) == pytest.approx(float(mp.log(lower)), rel=1e-12)
    for q in (1e-200, 0.2, 0.9):
        skew = stats.SkewNormal(3.0)
        assert skew.cdf(skew.quantile(q)) == pytest.approx(q, rel=1e-9)
        assert skew.sf(skew.isf(q)) == pytest.approx(q, rel=1e-9)
        circular = stats.VonMises(9.0)
        if q > 1e-5:
            assert circular.cdf(circular.quantile(q)) == pytest.approx(q, rel=1e-10)
