"""Whole gradients in each host: contestants made from one function per host, of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.harness.case import Contestant, Run

Function = Callable[..., Any]
Arrays = Sequence[np.ndarray]


def gradients(
    functions: Mapping[str, Function],
    arrays: Arrays,
    compiled: bool,
    cotangent: np.ndarray | None = None,
    memory: bool = False,
    constants: Arrays = (),
) -> list[Contestant]:
    """Contestants for the functions "fwddiff…" in each host that has a peer, and for the peers.

    The first word of a peer's name is its host: torch, jax or jnp, autograd. With `compiled` the first peer
    in PyTorch takes part through `torch.compile`, too. With a `cotangent` the functions return arrays, and
    value and pullback are computed; without, functions return scalars, and gradients are computed.
    `constants` are further arguments that nobody differentiates.
    """
    ours = {name: function for name, function in functions.items() if name.startswith("fwddiff")}
    found = []
    for host, (words, make) in HOSTS.items():
        peers = {name: function for name, function in functions.items() if name.split()[0] in words}
        if not peers:
            continue
        makers = [(f"{name} in {host}", function, make) for name, function in ours.items()]
        makers += [(name, function, make) for name, function in peers.items()]
        if compiled and host == "PyTorch":
            makers.append(("torch.compile", next(iter(peers.values())), in_torch_compiled))
        for name, function, made_by in makers:
            maker = _maker(made_by, function, arrays, cotangent, constants)
            found.append(Contestant(name, maker, f"in {host}", memory, computes="gradient"))
    return found


def _maker(make: Callable[..., Run], *arguments: Any) -> Callable[[], Run]:
    return lambda: make(*arguments)


def in_torch(
    function: Function, arrays: Arrays, cotangent: np.ndarray | None = None, constants: Arrays = ()
) -> Run:
    import torch

    tensors = [torch.from_numpy(np.array(array)).requires_grad_() for array in arrays]
    fixed = [torch.from_numpy(array) for array in constants]
    if cotangent is None:
        return lambda: torch.autograd.grad(function(*tensors, *fixed), tensors)
    given = torch.from_numpy(cotangent)

    def run() -> list[Any]:
        out = function(*tensors, *fixed)
        return [out, *torch.autograd.grad(out, tensors, given)]

    return run


def in_torch_compiled(function: Function, *arguments: Any) -> Run:
    import torch

    return in_torch(torch.compile(function), *arguments)


def in_jax(
    function: Function, arrays: Arrays, cotangent: np.ndarray | None = None, constants: Arrays = ()
) -> Run:
    import jax

    jax.config.update("jax_enable_x64", True)
    own, fixed = ([jax.numpy.asarray(array) for array in group] for group in (arrays, constants))
    if cotangent is None:
        gradient = jax.jit(jax.grad(function, tuple(range(len(own)))))
        return lambda: jax.block_until_ready(gradient(*own, *fixed))
    given = jax.numpy.asarray(cotangent)

    @jax.jit
    def value_and_pullback(given, own, fixed):
        out, pullback = jax.vjp(lambda *own: function(*own, *fixed), *own)
        return [out, *pullback(given)]

    return lambda: jax.block_until_ready(value_and_pullback(given, own, fixed))


def in_autograd(
    function: Function, arrays: Arrays, cotangent: np.ndarray | None = None, constants: Arrays = ()
) -> Run:
    import autograd

    if cotangent is None:
        gradient = autograd.grad(function, tuple(range(len(arrays))))
        return lambda: gradient(*arrays, *constants)

    value_and_pullback: Any = autograd.make_vjp(lambda own: function(*own, *constants))

    def run() -> list[Any]:
        pullback, out = value_and_pullback(tuple(arrays))
        return [out, *pullback(cotangent)]

    return run


HOSTS: dict[str, tuple[tuple[str, ...], Callable[..., Run]]] = {
    "PyTorch": (("torch", "torch.distributions"), in_torch),
    "JAX": (("jax", "jnp"), in_jax),
    "autograd": (("autograd",), in_autograd),
}
