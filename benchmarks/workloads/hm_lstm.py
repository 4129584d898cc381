"""(b) Update of the memory of an HM-LSTM cell, float32: controls, one a row, choose between three cases
(arXiv 1810.08297)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.harness.case import Case, Contestant, Run
from benchmarks.harness.compiled_c import function
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff

ACTIVE = (0, 1, 2, 3)  # the arrays c, f, i, g; nobody differentiates the controls


def logistic(x):
    return 1 / (1 + math.exp(-x))


@fwddiff
def update(c, f, i, g, z, z_below):
    written = logistic(i) * math.tanh(g)  # once, as all contestants do: kernels keep the calls of a branch
    if z == 1:  # flush
        return written
    if z_below == 1:  # update
        return logistic(f) * c + written
    return c  # copy


def torch_update(c, f, i, g, z, z_below):
    import torch

    written = torch.sigmoid(i) * torch.tanh(g)
    return torch.where(z == 1, written, torch.where(z_below == 1, torch.sigmoid(f) * c + written, c))


def jnp_update(c, f, i, g, z, z_below):
    import jax
    from jax import numpy as jnp

    written = jax.nn.sigmoid(i) * jnp.tanh(g)
    return jnp.where(z == 1, written, jnp.where(z_below == 1, jax.nn.sigmoid(f) * c + written, c))


FUNCTIONS = {"fwddiff": update.broadcast, "torch eager": torch_update, "jnp formula": jnp_update}


def cases(quick: bool) -> Iterator[Case]:
    for size in (512,) if quick else (512, 1024, 2048):
        for controls in ("random", "uniform"):
            yield case(size, controls, quick)


def case(size: int, controls: str, quick: bool) -> Case:
    random = np.random.default_rng(0)
    state = [random.standard_normal((size, size), np.float32) for _ in ACTIVE]
    rows = [random.integers(0, 2, size) if controls == "random" else np.full(size, k) for k in (0, 1)]
    fixed = [row.astype(np.float32) for row in rows]
    cotangent = random.standard_normal((size, size), np.float32)
    found = kernels([*state, *fixed], cotangent)
    found += in_hosts.gradients(
        FUNCTIONS, state, not quick, cotangent, memory=size == 2048 and controls == "random", constants=fixed
    )
    note = "Hosts compute the value and the pullback of one cotangent; `kernel, pullback` and C the latter."
    return Case("b", "HM-LSTM cell", f"{size}², {controls}", found, 1e-4, note)


def kernels(arrays: Sequence[np.ndarray], cotangent: np.ndarray) -> list[Contestant]:
    operation = update.broadcast
    return [
        Contestant(
            "kernel, pullback",
            lambda: kernel(operation, arrays, "pullback", ACTIVE, [cotangent], threads=1),
            "kernel",
        ),
        Contestant("C", lambda: c_loop(arrays, cotangent), "kernel"),
        Contestant(
            "kernel, value + partials",
            lambda: kernel(operation, arrays, "partials", ACTIVE, threads=1),
            "kernel",
            computes="value + partials",
        ),
        Contestant("kernel, value", lambda: kernel(operation, arrays, threads=1), "kernel", computes="value"),
    ]


def c_loop(arrays: Sequence[np.ndarray], cotangent: np.ndarray) -> Run:
    outputs = [np.empty_like(cotangent) for _ in ACTIVE]
    call = function("hm_lstm", "hm_lstm", *cotangent.shape, *arrays, cotangent, *outputs)

    def run() -> list[np.ndarray]:
        call()
        return outputs

    return run
