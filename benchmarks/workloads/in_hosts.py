"""Whole gradients in each host: contestants made from one function per host, of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.harness.case import Contestant, Run

Function = Callable[..., Any]
Arrays = Sequence[np.ndarray]


def gradients(
    functions: dict[str, Function],
    arrays: Arrays,
    compiled: bool,
    cotangent: np.ndarray | None = None,
    memory: bool = False,
) -> list[Contestant]:
    """Contestants for the function "fwddiff" in each host that has a peer, and for the peers: "torch …",
    "j…", "autograd …".

    With a `cotangent` the functions return arrays, and value and pullback are computed; without, scalars and
    gradients.
    """
    makers = {"torch": in_torch, "j": in_jax, "autograd": in_autograd}
    hosts = {"torch": "PyTorch", "j": "JAX", "autograd": "autograd"}
    found = []

    def add(name: str, function: Function, host: str, make: Callable[..., Run]) -> None:
        found.append(Contestant(name, lambda: make(function, arrays, cotangent), f"in {hosts[host]}", memory))

    for host, make in makers.items():
        peers = {name: function for name, function in functions.items() if name.startswith(host)}
        if peers:
            add(f"fwddiff in {hosts[host]}", functions["fwddiff"], host, make)
        for name, function in peers.items():
            add(name, function, host, make)
        if host == "torch" and compiled and peers:
            add("torch.compile", next(iter(peers.values())), host, in_torch_compiled)
    return found


def in_torch(function: Function, arrays: Arrays, cotangent: np.ndarray | None = None) -> Run:
    import torch

    tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
    if cotangent is None:
        return lambda: torch.autograd.grad(function(*tensors), tensors)
    given = torch.from_numpy(cotangent)

    def run() -> list[Any]:
        out = function(*tensors)
        return [out, *torch.autograd.grad(out, tensors, given)]

    return run


def in_torch_compiled(function: Function, arrays: Arrays, cotangent: np.ndarray | None = None) -> Run:
    import torch

    return in_torch(torch.compile(function), arrays, cotangent)


def in_jax(function: Function, arrays: Arrays, cotangent: np.ndarray | None = None) -> Run:
    import jax

    jax.config.update("jax_enable_x64", True)
    own = [jax.numpy.asarray(array) for array in arrays]
    if cotangent is None:
        gradient = jax.jit(jax.grad(function, tuple(range(len(arrays)))))
        return lambda: jax.block_until_ready(gradient(*own))
    given = jax.numpy.asarray(cotangent)

    @jax.jit
    def value_and_pullback(given, *own):
        out, pullback = jax.vjp(function, *own)
        return [out, *pullback(given)]

    return lambda: jax.block_until_ready(value_and_pullback(given, *own))


def in_autograd(function: Function, arrays: Arrays, cotangent: np.ndarray | None = None) -> Run:
    import autograd

    gradient = autograd.grad(function, tuple(range(len(arrays))))
    return lambda: gradient(*arrays)
