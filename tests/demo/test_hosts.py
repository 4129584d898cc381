"""The gradients of the demo, with and without fwddiff, against central differences of SciPy's density."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import weibull_min

from fwddiff.demo.fit import fit, lifelines_fit, median_times
from fwddiff.demo.hosts import HOSTS
from fwddiff.demo.survival import Scaling, rossi

DATA, NAMES = rossi()
SCALING = Scaling.of(DATA)
SCALED = SCALING.apply(DATA)
PARAMETERS = np.array([0.1, -0.2, 0.05, 0.0, 0.3, -0.1, 0.2, 4.1, 0.2])


def loss(parameters: np.ndarray) -> float:
    weibull = weibull_min(np.exp(parameters[-1]), scale=np.exp(SCALED.covariates @ parameters[:-1]))
    return -np.sum(np.where(SCALED.event, weibull.logpdf(SCALED.time), weibull.logsf(SCALED.time)))


def central_differences(parameters: np.ndarray, step: float = 1e-5) -> np.ndarray:
    steps = step * np.eye(len(parameters))
    return np.array([(loss(parameters + h) - loss(parameters - h)) / (2 * step) for h in steps])


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.module)
@pytest.mark.parametrize("which", ["with_fwddiff", "without"])
def test_value_and_gradient(host, which):
    value, gradient = getattr(host.pair(SCALED), which)(PARAMETERS)
    assert value == pytest.approx(loss(PARAMETERS), rel=1e-12)
    np.testing.assert_allclose(gradient, central_differences(PARAMETERS), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.module)
def test_fit_agrees_with_lifelines_to_four_digits(host):
    parameters, value = fit(host.pair(SCALED).with_fwddiff, SCALING)
    np.testing.assert_allclose(parameters, lifelines_fit(NAMES), rtol=5e-5)
    assert value == pytest.approx(679.9165639, abs=1e-6)


def test_a_wrong_gradient_does_not_pass_for_a_fit():
    def wrong(parameters):
        return float(parameters @ parameters), -parameters

    with pytest.raises(RuntimeError, match="stopped with a gradient"):
        fit(wrong, SCALING)


def test_median_times_take_turns():
    order = []
    times = median_times([lambda: order.append("a"), lambda: order.append("b")], rounds=3, round_seconds=0.0)
    assert "".join(order) == "aa" + "bb" + "ab" * 3
    assert all(seconds > 0 for seconds in times)
