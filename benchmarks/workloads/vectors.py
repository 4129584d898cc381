"""(g) Gradients of functions of one vector, by chunks of partials: Rosenbrock's and Ackley's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

import fwddiff as fd
from benchmarks.harness.case import Case, Contestant, Run
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff


def rosenbrock(x):
    total = 0.0
    for k in range(len(x) - 1):
        total += 100 * (x[k + 1] - x[k] ** 2) ** 2 + (1 - x[k]) ** 2
    return total


def ackley(x):
    squares, cosines = 0.0, 0.0
    for k in range(len(x)):
        squares += x[k] ** 2
        cosines += math.cos(2 * math.pi * x[k])
    return ackley_from_means(squares / len(x), cosines / len(x), math)


def ackley_from_means(squares, cosines, numpy):
    return 20 + math.e - 20 * numpy.exp(-0.2 * numpy.sqrt(squares)) - numpy.exp(cosines)


def rosenbrock_of_arrays(x, numpy):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def ackley_of_arrays(x, numpy):
    return ackley_from_means((x**2).mean(), numpy.cos(2 * math.pi * x).mean(), numpy)


def rosenbrock_by_scan(x):
    import jax

    def add(carry, following):
        total, x = carry
        return (total + 100 * (following - x**2) ** 2 + (1 - x) ** 2, following), None

    return jax.lax.scan(add, (0.0, x[0]), x[1:])[0][0]


def ackley_by_scan(x):
    import jax
    from jax import numpy as jnp

    def add(carry, x):
        return (carry[0] + x**2, carry[1] + jnp.cos(2 * math.pi * x)), None

    squares, cosines = jax.lax.scan(add, (0.0, 0.0), x)[0]
    return ackley_from_means(squares / len(x), cosines / len(x), jnp)


FUNCTIONS: dict[str, tuple[Callable, Callable, Callable]] = {
    "Rosenbrock": (rosenbrock, rosenbrock_of_arrays, rosenbrock_by_scan),
    "Ackley": (ackley, ackley_of_arrays, ackley_by_scan),
}


def cases(quick: bool) -> Iterator[Case]:
    for name in FUNCTIONS:
        for n in (10, 100) if quick else (10, 100, 1000, 10_000):
            x = np.random.default_rng(0).uniform(-1, 1, n)
            note = "fwddiff's functions are loops over floats, its peers' are of arrays, but for the scan."
            yield Case("g", name, f"n = {n:_}".replace("_", " "), contestants(*FUNCTIONS[name], x), note=note)


def contestants(loop: Callable, of_arrays: Callable, by_scan: Callable, x: np.ndarray) -> list[Contestant]:
    def ours() -> Run:
        wrapped = fwddiff(loop)
        return lambda: fd.gradient(wrapped, x)

    def in_autograd() -> Run:
        from autograd import numpy

        return in_hosts.in_autograd(lambda x: of_arrays(x, numpy), [x])

    def in_jax() -> Run:
        from jax import numpy

        return in_hosts.in_jax(lambda x: of_arrays(x, numpy), [x])

    def in_torch() -> Run:
        import torch

        return in_hosts.in_torch(lambda x: of_arrays(x, torch), [x])

    def scanned() -> Run:
        return in_hosts.in_jax(by_scan, [x])

    makers = {"fwddiff": ours, "autograd": in_autograd, "jax.jit": in_jax}
    makers |= {"jax.jit, scan": scanned, "torch eager": in_torch}
    return [Contestant(name, make) for name, make in makers.items()]
