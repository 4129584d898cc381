"""(f) Lotka–Volterra by Runge–Kutta steps, 4 parameters per element: deep, so memory counts as time does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.harness.case import Case, Contestant, Run
from benchmarks.harness.compiled_c import function
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff

STEP = 0.01
START = 1.0, 0.5


def slopes(x, y, a, b, c, d):
    return x * (a - b * y), y * (c * x - d)


def advanced(x, y, a, b, c, d):
    """One classical Runge–Kutta step: plain arithmetic, of floats, tensors or arrays."""
    x1, y1 = slopes(x, y, a, b, c, d)
    x2, y2 = slopes(x + STEP / 2 * x1, y + STEP / 2 * y1, a, b, c, d)
    x3, y3 = slopes(x + STEP / 2 * x2, y + STEP / 2 * y2, a, b, c, d)
    x4, y4 = slopes(x + STEP * x3, y + STEP * y3, a, b, c, d)
    return x + STEP / 6 * (x1 + 2 * x2 + 2 * x3 + x4), y + STEP / 6 * (y1 + 2 * y2 + 2 * y3 + y4)


def integrator(steps: int) -> Callable:
    def prey(a, b, c, d):
        x, y = START
        for _ in range(steps):
            x, y = advanced(x, y, a, b, c, d)
        return x

    return prey


def integrator_by_scan(steps: int) -> Callable:
    def prey(*parameters):
        return scanned(starting(parameters), parameters, steps)[0].sum()

    return prey


def checkpointed(steps: int) -> Callable:
    """Keeps the state at the start of every block of about √steps steps, and repeats the steps of a block."""
    block = math.isqrt(steps)

    def prey(*parameters):
        import jax

        @jax.checkpoint
        def several(state, _):
            return scanned(state, parameters, block), None

        state = jax.lax.scan(several, starting(parameters), None, length=steps // block)[0]
        return scanned(state, parameters, steps % block)[0].sum()

    return prey


def starting(parameters):
    from jax import numpy as jnp

    return tuple(jnp.full_like(parameters[0], value) for value in START)


def scanned(state, parameters, steps: int):
    import jax

    return jax.lax.scan(lambda state, _: (advanced(*state, *parameters), None), state, None, length=steps)[0]


def cases(quick: bool) -> Iterator[Case]:
    n, steps = (500, 100) if quick else (10_000, 1000)
    arrays = list(np.random.default_rng(0).uniform(0.8, 1.2, (4, n)))
    prey = integrator(steps)
    wrapped = fwddiff(prey)
    functions = {
        "fwddiff": lambda *p: wrapped.broadcast(*p).sum(),
        "torch eager": lambda *p: prey(*p).sum(),
        "jax scan": integrator_by_scan(steps),
        "jax scan, checkpoint": checkpointed(steps),
    }
    found = [
        Contestant(
            "kernel, value + partials",
            lambda: kernel(wrapped.broadcast, arrays, "partials", range(4), threads=1),
            "kernel",
        ),
        Contestant("C", lambda: c_loop(arrays, steps), "kernel"),
        Contestant(
            "kernel, value", lambda: kernel(wrapped.broadcast, arrays, threads=1), "kernel", computes="value"
        ),
        *in_hosts.gradients(functions, arrays, compiled=False, memory=True),
        Contestant("the arrays alone", lambda: lambda: [np.ones(n) for _ in range(9)], "memory", memory=True),
    ]
    note = (
        "`the arrays alone` makes as many arrays as the inputs, the output and the partials are, and "
        "computes nothing. `torch.compile` is left out: it would unroll the loop. C has dual numbers "
        "written by hand, and integrates 8 elements side by side."
    )
    yield Case("f", "Lotka–Volterra", f"{steps} steps, n = {n:_}".replace("_", " "), found, note=note)


def c_loop(arrays: in_hosts.Arrays, steps: int) -> Run:
    outputs = [np.empty_like(arrays[0]) for _ in range(5)]
    call = function("lotka_volterra", "lotka_volterra", len(arrays[0]), steps, STEP, *arrays, *outputs)

    def run() -> list[np.ndarray]:
        call()
        return outputs

    return run
