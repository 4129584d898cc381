"""The breaker test: functions that each host cannot differentiate (it raises, or is wrong) until fwddiff
wraps them."""

import math

import numpy as np
import pytest

from catalogue import Exponential, kepler, log_density
from fwddiff import fwddiff
from gradients import HOSTS, chosen_hosts

MEAN, ECCENTRICITY = np.array([0.3, 1.0, 2.5]), np.array([0.1, 0.5, 0.3])


def closed_form():
    anomaly = np.array([kepler(m, e) for m, e in zip(MEAN, ECCENTRICITY, strict=True)])
    slope = 1 / (1 - ECCENTRICITY * np.cos(anomaly))
    return slope, np.sin(anomaly) * slope


@pytest.mark.parametrize("host", chosen_hosts())
def test_plain_python_breaks_the_host_and_fwddiff_mends_it(host):
    gradient = HOSTS[host][1]
    with pytest.raises(Exception) as broken:  # noqa: PT011 - each host has its own error, from TypeError to ValueError
        gradient(lambda m, e: np.vectorize(kepler)(m, e), (MEAN, ECCENTRICITY))
    assert "fwddiff" not in str(broken.value)
    for found, wanted in zip(
        gradient(fwddiff(kepler).broadcast, (MEAN, ECCENTRICITY)), closed_form(), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_jax_while_loop_raises_where_fwddiff_differentiates():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    jax.config.update("jax_enable_x64", True)

    def kepler_by_lax(mean, eccentricity):
        def step(state):
            anomaly, _ = state
            delta = (anomaly - eccentricity * jnp.sin(anomaly) - mean) / (1 - eccentricity * jnp.cos(anomaly))
            return anomaly - delta, delta

        return jax.lax.while_loop(lambda state: abs(state[1]) > 1e-13, step, (mean, 1.0))[0]

    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        jax.jit(jax.grad(kepler_by_lax))(1.0, 0.3)
    found = jax.jit(jax.grad(fwddiff(kepler)))(1.0, 0.3)
    anomaly = float(kepler_by_lax(1.0, 0.3))
    np.testing.assert_allclose(found, 1 / (1 - 0.3 * math.cos(anomaly)), rtol=1e-13)


@pytest.mark.parametrize("host", chosen_hosts())
def test_the_seed_example(host):
    """Structs of arrays between two fwddiff calls, n = 1000, equal to the closed form to 1e-9."""
    random = np.random.default_rng(1)
    thetas, data = random.uniform(0.5, 2, 1000), random.uniform(0, 3, 1000)

    def model(x, d):
        return fwddiff(log_density).broadcast(fwddiff(Exponential).broadcast(x), d)

    theta_bar, data_bar = HOSTS[host][1](model, (thetas, data))
    np.testing.assert_allclose(theta_bar, data / thetas**2 - 1 / thetas, rtol=1e-9)
    np.testing.assert_allclose(data_bar, -1 / thetas, rtol=1e-9)
