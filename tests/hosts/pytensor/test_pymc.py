"""PyMC models with a log-likelihood by fwddiff, against the same models written natively."""

from __future__ import annotations

import math

import numpy as np
import pymc as pm
import pytest
from numpy.testing import assert_allclose

from fwddiff import fwddiff

from .comparison import random

DATA = np.random.default_rng(3).weibull(1.6, 60) * 2.0


@fwddiff
def log_density(shape, scale, t):
    z = t / scale
    return math.log(shape / scale) + (shape - 1) * math.log(z) - z**shape


def model(kind: str):
    with pm.Model() as made:
        shape = pm.HalfNormal("shape", 2.0)
        scale = pm.HalfNormal("scale", 3.0)
        if kind == "native":
            pm.Weibull("t", alpha=shape, beta=scale, observed=DATA)
        elif kind == "distribution":
            pm.CustomDist(
                "t",
                shape,
                scale,
                logp=lambda t, shape, scale: log_density.broadcast(shape, scale, t),
                observed=DATA,
            )
        else:
            pm.Potential("t", log_density.sum(shape, scale, DATA))
    return made


@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
@pytest.mark.parametrize("kind", ["distribution", "potential"])
def test_log_density_and_its_gradient(kind, mode):
    ours, native = model(kind), model("native")
    functions = [
        (
            m.compile_logp(mode=mode),
            m.compile_dlogp(mode=mode),
            m.compile_d2logp(mode=mode, negate_output=False),
        )
        for m in (ours, native)
    ]
    for seed in range(4):
        point = dict(zip(("shape_log__", "scale_log__"), random(2, low=-0.7, seed=seed), strict=True))
        for mine, theirs in zip(*functions, strict=True):
            assert_allclose(mine(point), theirs(point), rtol=1e-9)


@pytest.mark.parametrize("kind", ["distribution", "potential"])
def test_nuts_finds_the_same_posterior(kind):
    options = {"draws": 400, "tune": 400, "chains": 1, "cores": 1, "random_seed": 5, "progressbar": False}
    means = {}
    for name in (kind, "native"):
        with model(name):
            trace = pm.sample(**options, compute_convergence_checks=False)
        means[name] = [
            (float(trace.posterior[v].mean()), float(trace.posterior[v].std())) for v in ("shape", "scale")
        ]
    for (mean, deviation), (expected, _) in zip(means[kind], means["native"], strict=True):
        # 400 draws have at least 50 independent ones: six standard errors of a difference of means.
        assert abs(mean - expected) < 6 * math.sqrt(2 / 50) * deviation / 2
