"""Graphs run by JAX: PyTensor's JAX linker, and PyMC's samplers that are written in JAX."""

from __future__ import annotations

import math

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph

from fwddiff import fwddiff

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.filterwarnings("ignore")

g = fwddiff(lambda mu, x: math.exp(-mu * x) * (x if x > 0.5 else 1.0))
whole = fwddiff(lambda v: v[0] * np.sum(v * v))
KINDS = {
    "elementwise": lambda mu, x: g.broadcast(mu, x).sum(),
    "sum": lambda mu, x: g.sum(mu, x),
    "whole": lambda mu, x: whole(x * mu),
}


@pytest.fixture(autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_to_second_order(kind):
    mu, x = pt.dscalar(), pt.dvector()
    y = KINDS[kind](mu, x)
    first = pt.grad(y, [mu, x])
    outputs = [y, *first, pt.grad(first[1].sum(), mu)]
    point = 0.7, np.array([0.3, 0.9, 1.4])
    ours = pytensor.function([mu, x], outputs, mode="JAX")(*point)
    theirs = pytensor.function([mu, x], outputs, mode="FAST_COMPILE")(*point)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-10)


def test_batches():
    x, xs = pt.dvector(), pt.dmatrix()
    y = vectorize_graph(whole(x), {x: xs})
    values = np.arange(6.0).reshape(2, 3)
    found = pytensor.function([xs], y, mode="JAX")(values)
    np.testing.assert_allclose(np.asarray(found), values[:, 0] * (values**2).sum(1))


def test_numpyro_samples():
    pymc = pytest.importorskip("pymc")
    pytest.importorskip("numpyro")
    data = np.random.default_rng(0).exponential(0.5, 200)
    logp = fwddiff(lambda rate, x: math.log(rate) - rate * x)
    with pymc.Model():
        rate = pymc.HalfNormal("rate", 5.0)
        pymc.Potential("likelihood", logp.sum(rate, data))
        trace = pymc.sample(200, tune=200, chains=1, nuts_sampler="numpyro", random_seed=1, progressbar=False)
    assert abs(float(trace.posterior["rate"].mean()) - 1 / data.mean()) < 0.1
