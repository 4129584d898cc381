"""(a) Log density of an exponential model: the gradient of its sum with respect to n means and n data."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.harness.case import Case, Contestant, Run
from benchmarks.harness.compiled_c import function
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff


@fwddiff
def log_density(mean, x):
    return -math.log(mean) - x / mean


def torch_formula(mean, x):
    return (-mean.log() - x / mean).sum()


def torch_distribution(mean, x):
    from torch.distributions import Exponential

    return Exponential(1 / mean).log_prob(x).sum()


def jnp_formula(mean, x):
    from jax import numpy as jnp

    return (-jnp.log(mean) - x / mean).sum()


def autograd_formula(mean, x):
    from autograd import numpy as anp

    return (-anp.log(mean) - x / mean).sum()  # type: ignore[attr-defined] - made when it is imported


NOTE = "`fwddiff` is `log_density.broadcast(mean, x).sum()`, `fwddiff.sum` is `log_density.sum(mean, x)`."
OURS = {
    "fwddiff": lambda mean, x: log_density.broadcast(mean, x).sum(),
    "fwddiff.sum": log_density.sum,
}
PEERS = {
    "torch formula": torch_formula,
    "torch.distributions": torch_distribution,
    "jnp formula": jnp_formula,
    "autograd formula": autograd_formula,
}


def cases(quick: bool) -> Iterator[Case]:
    for n in (1_000,) if quick else (1_000, 1_000_000):
        random = np.random.default_rng(0)
        arrays = random.uniform(0.5, 2, n), random.uniform(0, 3, n)
        found = in_hosts.gradients(OURS | PEERS, arrays, compiled=not quick, memory=n > 1_000)
        yield Case("a", "exponential", f"n = {n:_}".replace("_", " "), [*kernels(arrays), *found], note=NOTE)


def kernels(arrays: in_hosts.Arrays) -> list[Contestant]:
    operation = log_density.broadcast
    return [
        Contestant(
            "kernel, value + partials",
            lambda: kernel(operation, arrays, "partials", (0, 1), threads=1),
            "kernel",
        ),
        Contestant("C", lambda: c_loop(arrays), "kernel"),
        Contestant("kernel, value", lambda: kernel(operation, arrays, threads=1), "kernel", computes="value"),
    ]


def c_loop(arrays: in_hosts.Arrays) -> Run:
    outputs = [np.empty_like(arrays[0]) for _ in range(3)]
    call = function("exponential", "exponential", len(arrays[0]), *arrays, *outputs)

    def run() -> list[np.ndarray]:
        call()
        return outputs

    return run
