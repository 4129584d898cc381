"""A regression by lifelines whose hazards are ours, against SciPy's gamma distribution."""

import numpy as np
import pytest

from support.page import section

pytest.importorskip("lifelines")
gamma = pytest.importorskip("scipy.stats").gamma

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fitted():
    return section("clients.md", "lifelines")


def log_likelihood(parameters, data):
    """By SciPy; the parameters in the order of lifelines' table."""
    shape = np.exp(parameters[0] + parameters[1] * data["fin"])
    scale = np.exp(
        parameters[2]
        + parameters[3] * data["fin"]
        + parameters[4] * data["age"]
        + parameters[5] * data["prio"]
    )
    t = data["week"]
    return np.sum(np.where(data["arrest"], gamma.logpdf(t, shape, 0, scale), gamma.logsf(t, shape, 0, scale)))


def test_the_fit_is_the_maximum(fitted):
    data, found = fitted["load_rossi"](), fitted["fitter"].params_.to_numpy()
    assert fitted["fitter"].log_likelihood_ == pytest.approx(log_likelihood(found, data), rel=1e-9)
    for k, deviation in enumerate(fitted["fitter"].standard_errors_):
        for sign in (-1, 1):
            step = 0.1 * sign * deviation * np.eye(6)[k]
            # Of a parabola: down by 0.005 or more, as the parameters are correlated, and a slope of zero.
            assert log_likelihood(found, data) - log_likelihood(found + step, data) > 0.004


def test_standard_errors_are_those_of_the_hessian(fitted):
    data, found = fitted["load_rossi"](), fitted["fitter"].params_.to_numpy()
    steps = 1e-3 * np.diag(fitted["fitter"].standard_errors_) * 30

    def at(step):
        return log_likelihood(found + step, data)

    hessian = [
        [(at(a + b) - at(a - b) - at(b - a) + at(-a - b)) / (4 * a.sum() * b.sum()) for a in steps]
        for b in steps
    ]
    expected = np.sqrt(np.diag(np.linalg.inv(-np.array(hessian))))
    np.testing.assert_allclose(fitted["fitter"].standard_errors_, expected, rtol=2e-3)
