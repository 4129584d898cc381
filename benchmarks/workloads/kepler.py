"""(d) Kepler's equation by Newton's method with early exit: a loop whose length depends on the element."""

# Warp writes types as calls, and fields that it fills in as optional.
# pyright: reportInvalidTypeForm=false, reportOptionalMemberAccess=false

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.harness.case import Case, Contestant, Run, Unavailable
from benchmarks.harness.compiled_c import function
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff

TOLERANCE = 1e-10
MOST_STEPS = 10  # that any element of the data needs, for those that cannot stop early


def newton_step(anomaly, mean, eccentricity, sin, cos):
    return (anomaly - eccentricity * sin(anomaly) - mean) / (1 - eccentricity * cos(anomaly))


@fwddiff
def solved(mean, eccentricity):
    anomaly, step = mean, 1.0
    while abs(step) > TOLERANCE:
        step = newton_step(anomaly, mean, eccentricity, math.sin, math.cos)
        anomaly -= step
    return anomaly


def torch_masked(mean, eccentricity):
    import torch

    anomaly, running = mean, torch.ones_like(mean, dtype=torch.bool)
    while running.any():
        step = newton_step(anomaly, mean, eccentricity, torch.sin, torch.cos)
        anomaly = torch.where(running, anomaly - step, anomaly)
        running = running & (step.abs() > TOLERANCE)
    return anomaly.sum()


def jax_fixed(mean, eccentricity):
    import jax
    from jax import numpy as jnp

    def improved(anomaly, _):
        return anomaly - newton_step(anomaly, mean, eccentricity, jnp.sin, jnp.cos), None

    return jax.lax.scan(improved, mean, None, length=MOST_STEPS)[0].sum()


def jax_checkpointed(mean, eccentricity):
    import jax

    return jax.checkpoint(jax_fixed)(mean, eccentricity)


def jax_while(mean, eccentricity):
    import jax
    from jax import numpy as jnp

    def improved(state):
        step = newton_step(state[0], mean, eccentricity, jnp.sin, jnp.cos)
        return state[0] - step, step

    def running(state):
        return jnp.any(abs(state[1]) > TOLERANCE)

    return jax.lax.while_loop(running, improved, (mean, jnp.ones_like(mean)))[0]


def jax_forward(mean, eccentricity):
    """A `while_loop`, pushed forward once per argument: what fwddiff does, written by hand in JAX."""
    import jax
    from jax import numpy as jnp

    @jax.custom_vjp
    def solve(mean, eccentricity):
        return jax_while(mean, eccentricity)

    def with_partials(*arguments):
        one, zero = jnp.ones_like(mean), jnp.zeros_like(mean)
        anomaly, by_mean = jax.jvp(jax_while, arguments, (one, zero))
        return anomaly, (by_mean, jax.jvp(jax_while, arguments, (zero, one))[1])

    solve.defvjp(with_partials, lambda partials, cotangent: tuple(cotangent * p for p in partials))
    return solve(mean, eccentricity).sum()


def jax_implicit(mean, eccentricity):
    """A `while_loop`, with the derivative of its solution written by hand."""
    import jax
    from jax import numpy as jnp

    solve = jax.custom_jvp(jax_while)

    @solve.defjvp
    def _(primals, tangents):
        anomaly = solve(*primals)
        slope = 1 / (1 - primals[1] * jnp.cos(anomaly))
        return anomaly, slope * (tangents[0] + jnp.sin(anomaly) * tangents[1])

    return solve(mean, eccentricity).sum()


FUNCTIONS = {
    "fwddiff": lambda mean, eccentricity: solved.broadcast(mean, eccentricity).sum(),
    "torch masked": torch_masked,
    "jax fixed steps": jax_fixed,
    "jax fixed steps, checkpoint": jax_checkpointed,
    "jax forward mode": jax_forward,
    "jax implicit": jax_implicit,
}


def cases(quick: bool) -> Iterator[Case]:
    n = 20_000 if quick else 1_000_000
    random = np.random.default_rng(0)
    arrays = random.uniform(0.1, 3, n), random.uniform(0, 0.7, n)
    found = [
        *kernels(arrays),
        *in_hosts.gradients(FUNCTIONS, arrays, compiled=False, memory=not quick),
        Contestant("Warp", lambda: in_warp(arrays), "in PyTorch", computes="gradient"),
    ]
    note = (
        f"`jax fixed steps` and Warp make {MOST_STEPS} steps for every element (Warp's reverse mode of loops "
        "of unknown length is wrong); `jax forward mode` and `jax implicit` have rules written by hand. "
        "`C, vectorised` lets 16 elements step together until the slowest has converged."
    )
    yield Case("d", "Kepler's equation", f"n = {n:_}".replace("_", " "), found, note=note)


def kernels(arrays: in_hosts.Arrays) -> list[Contestant]:
    operation = solved.broadcast
    return [
        Contestant(
            "kernel, value + partials",
            lambda: kernel(operation, arrays, "partials", (0, 1), threads=1),
            "kernel",
        ),
        Contestant("C", lambda: c_loop("kepler", arrays), "kernel"),
        Contestant("C, vectorised", lambda: c_loop("kepler_in_blocks", arrays), "kernel"),
        Contestant("kernel, value", lambda: kernel(operation, arrays, threads=1), "kernel", computes="value"),
    ]


def c_loop(name: str, arrays: in_hosts.Arrays) -> Run:
    outputs = [np.empty_like(arrays[0]) for _ in range(3)]
    call = function("kepler", name, len(arrays[0]), *arrays, *outputs)

    def run() -> list[np.ndarray]:
        call()
        return outputs

    return run


def in_warp(arrays: in_hosts.Arrays) -> Run:
    try:
        import warp
    except ImportError:
        raise Unavailable("the package warp-lang is not installed") from None
    warp.config.log_level = warp.LOG_ERROR
    newton = warp_kernel(warp)
    mean, eccentricity = (warp.array(a, dtype=warp.float64, device="cpu", requires_grad=True) for a in arrays)
    anomaly = warp.zeros_like(mean, requires_grad=True)
    cotangent = warp.ones_like(mean)

    def run() -> tuple[np.ndarray, np.ndarray]:
        mean.grad.zero_()
        eccentricity.grad.zero_()
        with warp.Tape() as tape:
            warp.launch(newton, len(arrays[0]), [mean, eccentricity], [anomaly], device="cpu")
        tape.backward(grads={anomaly: cotangent})
        return mean.grad.numpy(), eccentricity.grad.numpy()

    return run


def warp_kernel(warp):
    steps = warp.constant(MOST_STEPS)

    @warp.kernel
    def newton(
        mean: warp.array(dtype=warp.float64),
        eccentricity: warp.array(dtype=warp.float64),
        out: warp.array(dtype=warp.float64),
    ):
        k = warp.tid()
        e = eccentricity[k]
        x = mean[k]
        for _ in range(steps):
            x = x - (x - e * warp.sin(x) - mean[k]) / (warp.float64(1.0) - e * warp.cos(x))
        out[k] = x

    return newton
