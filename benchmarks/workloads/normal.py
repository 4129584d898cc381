"""(e) Normal log likelihood of n data, two shared scalar parameters, through `.sum`: value and gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.harness.case import Case, Contestant
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


@fwddiff
def log_density(mean, deviation, x):
    z = (x - mean) / deviation
    return -0.5 * z * z - math.log(deviation) - HALF_LOG_2_PI


def torch_formula(mean, deviation, x):
    z = (x - mean) / deviation
    return (-0.5 * z * z).sum() - len(x) * (deviation.log() + HALF_LOG_2_PI)


def torch_distribution(mean, deviation, x):
    from torch.distributions import Normal

    return Normal(mean, deviation).log_prob(x).sum()


def jnp_formula(mean, deviation, x):
    from jax import numpy as jnp

    z = (x - mean) / deviation
    return (-0.5 * z * z).sum() - len(x) * (jnp.log(deviation) + HALF_LOG_2_PI)


FUNCTIONS = {
    "fwddiff": log_density.sum,
    "torch formula": torch_formula,
    "torch.distributions": torch_distribution,
    "jnp formula": jnp_formula,
}


def cases(quick: bool) -> Iterator[Case]:
    n = 1_000_000 if quick else 10_000_000
    data = np.random.default_rng(0).normal(0.3, 1.2, n)
    parameters = [np.array(0.25), np.array(1.25)]
    arrays = [*parameters, data]
    found = [
        Contestant(
            "kernel, value + partials", lambda: kernel(log_density.sum, arrays, "partials", (0, 1)), "kernel"
        ),
        Contestant("kernel, value", lambda: kernel(log_density.sum, arrays), "kernel", computes="value"),
        Contestant("numpy.sum", lambda: lambda: np.sum(data), "kernel", computes="sum"),
    ]
    found += in_hosts.gradients(FUNCTIONS, parameters, not quick, memory=not quick, constants=[data])
    note = "Kernels use all threads here, `numpy.sum` takes one."
    yield Case("e", "normal", f"n = {n:_}".replace("_", " "), found, note=note)
