"""(c) How the cost of value and partials grows with the number of arguments: tanh(x1) tanh(x2) …
(arXiv 1810.08297)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.harness.case import Case, Contestant
from benchmarks.harness.kernels import kernel
from benchmarks.workloads import in_hosts
from fwddiff import fwddiff


def products(t: Callable) -> list[Callable]:
    """t(a), t(a) t(b), … to ten arguments, for the tanh of one framework."""
    return [
        lambda a: t(a),
        lambda a, b: t(a) * t(b),
        lambda a, b, c: t(a) * t(b) * t(c),
        lambda a, b, c, d: t(a) * t(b) * t(c) * t(d),
        lambda a, b, c, d, e: t(a) * t(b) * t(c) * t(d) * t(e),
        lambda a, b, c, d, e, f: t(a) * t(b) * t(c) * t(d) * t(e) * t(f),
        lambda a, b, c, d, e, f, g: t(a) * t(b) * t(c) * t(d) * t(e) * t(f) * t(g),
        lambda a, b, c, d, e, f, g, h: t(a) * t(b) * t(c) * t(d) * t(e) * t(f) * t(g) * t(h),
        lambda a, b, c, d, e, f, g, h, i: t(a) * t(b) * t(c) * t(d) * t(e) * t(f) * t(g) * t(h) * t(i),
        lambda a, b, c, d, e, f, g, h, i, j: (
            t(a) * t(b) * t(c) * t(d) * t(e) * t(f) * t(g) * t(h) * t(i) * t(j)
        ),
    ]


def cases(quick: bool) -> Iterator[Case]:
    for arity in (1, 4, 10) if quick else range(1, 11):
        yield case(arity, 10_000 if quick else 100_000)


def case(arity: int, n: int) -> Case:
    arrays = list(np.random.default_rng(0).uniform(0.1, 2, (arity, n)))
    product = fwddiff(products(math.tanh)[arity - 1])
    found = [
        Contestant(
            "kernel, value + partials",
            lambda: kernel(product.broadcast, arrays, "partials", range(arity), threads=1),
            "kernel",
        ),
        Contestant(
            "kernel, value", lambda: kernel(product.broadcast, arrays, threads=1), "kernel", computes="value"
        ),
    ]
    functions = {
        "fwddiff": lambda *x: product.broadcast(*x).sum(),
        "torch formula": lambda *x: torch_product(*x).sum(),
        "jnp formula": lambda *x: jnp_product(*x).sum(),
    }
    found += in_hosts.gradients(functions, arrays, compiled=False)
    return Case("c", "product of tanh", f"arity {arity}, n = {n:_}".replace("_", " "), found)


def torch_product(*x):
    import torch

    return products(torch.tanh)[len(x) - 1](*x)


def jnp_product(*x):
    from jax import numpy as jnp

    return products(jnp.tanh)[len(x) - 1](*x)
