"""A maximum-likelihood fit by SciPy and, where it is installed, by iminuit; the likelihood again by SciPy."""

import numpy as np
import pytest

from support.page import section

stats = pytest.importorskip("scipy.stats")
optimize = pytest.importorskip("scipy.optimize")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def given():
    return section("clients.md", "iminuit")


def nll(p, x):
    fraction, mu, sigma, df, tau = p
    peak, background = stats.t(df, mu, sigma), stats.expon(0, tau)
    densities = [d.pdf(x) / (d.cdf(10.0) - d.cdf(0.0)) for d in (peak, background)]
    return -np.sum(np.log(fraction * densities[0] + (1 - fraction) * densities[1]))


def fit(given):
    start, bounds = list(given["start"].values()), list(given["limits"].values())
    return optimize.minimize(
        lambda p: given["value"](*p),
        start,
        jac=lambda p: given["gradient"](*p),
        bounds=bounds,
        method="L-BFGS-B",
        options={"ftol": 1e-12, "gtol": 1e-5},
    )


def test_value_and_gradient(given):
    point = np.array(list(given["start"].values()))
    assert given["value"](*point) == pytest.approx(nll(point, given["x"]), rel=1e-12)
    steps = 1e-5 * np.diag(point)
    differences = [(nll(point + h, given["x"]) - nll(point - h, given["x"])) / (2 * h.sum()) for h in steps]
    np.testing.assert_allclose(given["gradient"](*point), differences, rtol=1e-5)


def test_scipy_finds_the_minimum(given):
    found = fit(given)
    assert found.success
    for k in range(5):
        for sign in (-1, 1):
            moved = found.x * (1 + 0.02 * sign * np.eye(5)[k])
            assert nll(moved, given["x"]) > found.fun
    np.testing.assert_allclose(found.x[1:3], [4.0, 0.4], rtol=0.15)


def test_iminuit_finds_the_same(given):
    iminuit = pytest.importorskip("iminuit")
    made = iminuit.Minuit(given["value"], **given["start"], grad=given["gradient"], name=list(given["start"]))
    made.errordef = iminuit.Minuit.LIKELIHOOD
    for name, bounds in given["limits"].items():
        made.limits[name] = bounds
    made.migrad().hesse()
    assert made.valid
    assert made.ngrad > 0  # ours was asked
    np.testing.assert_allclose(list(made.values), fit(given).x, rtol=5e-3)
