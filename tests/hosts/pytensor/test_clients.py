"""NumPyro's and PyMC's models of docs/clients.md: gradients against SciPy's distributions; what they lack."""

import math

import numpy as np
import pytest

from support.page import section

stats = pytest.importorskip("scipy.stats")


def differences(f, point, relative=1e-5):
    point = np.asarray(point)
    return [(f(*(point + h)) - f(*(point - h))) / (2 * h.sum()) for h in relative * np.diag(point)]


@pytest.fixture(scope="module")
def numpyro_model():
    pytest.importorskip("numpyro")
    return section("clients.md", "NumPyro")


def test_numpyro_gradient(numpyro_model):
    import jax

    x, density = np.asarray(numpyro_model["x"]), numpyro_model["log_density"]

    def by_scipy(df, mu, sigma):
        d = stats.t(df, mu, sigma)
        inside = (x > 0.0) & (x < 2.0)
        return d.logpdf(x[inside]).sum() + np.sum(x <= 0.0) * d.logcdf(0.0) + np.sum(x >= 2.0) * d.logsf(2.0)

    assert np.sum(x <= 0.0) > 10
    assert np.sum(x >= 2.0) > 10
    point = (4.5, 0.9, 0.6)
    value, gradient = jax.jit(jax.value_and_grad(lambda *p: density.sum(*p, 0.0, 2.0, x), (0, 1, 2)))(*point)
    assert value == pytest.approx(by_scipy(*point), rel=1e-12)
    np.testing.assert_allclose(gradient, differences(by_scipy, point), rtol=1e-6)


def test_numpyro_lacks_it(numpyro_model):
    import jax

    cdf = jax.grad(lambda df: numpyro_model["dist"].StudentT(df).cdf(-1.0))
    with pytest.raises(ValueError, match="Betainc gradient"):
        cdf(4.0)


def test_numpyro_samples(numpyro_model):
    posterior = {name: np.asarray(draws) for name, draws in numpyro_model["posterior"].items()}
    assert all(np.isfinite(draws).all() and draws.std() > 0 for draws in posterior.values())
    for name, true in (("mu", 1.0), ("sigma", 0.7)):  # 200 draws; the truth lies within five deviations
        assert abs(posterior[name].mean() - true) < 5 * posterior[name].std()


@pytest.fixture(scope="module")
def pymc_model():
    pytest.importorskip("pymc")
    return section("clients.md", "PyMC")


def test_pymc_gradient(pymc_model):
    n, k, at_most = (pymc_model[name] for name in ("n", "k", "at_most"))

    def by_scipy(logit_mean, log_size):
        mean, size = 1 / (1 + math.exp(-logit_mean)), math.exp(log_size)
        d = stats.betabinom(n, mean * size, (1 - mean) * size)
        priors = math.log(mean * (1 - mean)) + math.log(0.1) - 0.1 * size + log_size
        return np.where(at_most, d.logcdf(k), d.logpmf(k)).sum() + priors

    point = np.array([-1.3, 1.9])
    named = dict(zip(("mean_logodds__", "size_log__"), point, strict=True))
    model = pymc_model["model"]
    assert 10 < at_most.sum() < 190
    assert model.compile_logp()(named) == pytest.approx(by_scipy(*point), rel=1e-9)
    np.testing.assert_allclose(model.compile_dlogp()(named), differences(by_scipy, point), rtol=1e-5)


def test_pymc_lacks_it():
    pm = pytest.importorskip("pymc")
    with pytest.raises(TypeError, match="scalar"):
        pm.logcdf(pm.BetaBinomial.dist(alpha=2.0, beta=3.0, n=10), np.array([3, 4])).eval()
