"""A program's value, gradient and Hessian-vector product in every engine and host, as users write it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from programs.oracle import Expected, flatten, is_float, unflatten, weights


def with_floats(arguments: tuple, values: Sequence[Any]) -> tuple:
    leaves, spec = flatten(arguments)
    fresh = iter(values)
    return unflatten(spec, [next(fresh) if is_float(leaf) else leaf for leaf in leaves])


def float_leaves(arguments: tuple) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in flatten(arguments)[0] if is_float(leaf)]


def by_engine(wrapped: Any, arguments: tuple, directions: Sequence[np.ndarray]) -> Expected:
    """Without a host: the rule, its pullback, and the pushforward of its pullback."""
    call = wrapped.broadcast.prepare(*arguments)
    rule, inputs = (
        call.rule,
        [np.asarray(x, s.dtype) for x, s in zip(call.inputs, call.rule.inputs, strict=True)],
    )
    count = len(flatten(arguments)[0])
    active = tuple(i for i, k in enumerate(call.dynamic) if rule.inputs[i].differentiable and k < count)
    outputs = rule(inputs)
    floats = [y for y, slot in zip(outputs, rule.outputs, strict=True) if slot.differentiable]
    cotangents = [np.full(y.shape, w, y.dtype) for y, w in zip(floats, weights(len(floats)), strict=True)]
    pullback = rule.pullback(active)
    gradient = pullback([*inputs, *cotangents])
    tangents = [d.astype(rule.inputs[i].dtype) for d, i in zip(directions, active, strict=True)]
    product = pullback.pushforward(active)([*inputs, *cotangents, *tangents])
    return Expected(list(floats), list(gradient), list(product))


def by_torch(wrapped: Any, arguments: tuple, directions: Sequence[np.ndarray]) -> Expected:
    import torch

    leaves = [torch.tensor(value, requires_grad=True) for value in float_leaves(arguments)]
    result = flatten(wrapped.broadcast(*with_floats(arguments, leaves)))[0]
    floats = [y for y in result if isinstance(y, torch.Tensor) and y.is_floating_point()]
    total = sum((w * torch.ones_like(y) * y).sum() for w, y in zip(weights(len(floats)), floats, strict=True))
    gradient = torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True)
    moved = sum((g * torch.tensor(d).to(g.dtype)).sum() for g, d in zip(gradient, directions, strict=True))
    if not moved.requires_grad:
        product = [torch.zeros_like(leaf) for leaf in leaves]
    else:
        product = torch.autograd.grad(moved, leaves, allow_unused=True, materialize_grads=True)
    return Expected(*([a.detach().numpy() for a in part] for part in (floats, gradient, product)))


def by_jax(wrapped: Any, arguments: tuple, directions: Sequence[np.ndarray]) -> Expected:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def floats(values):
        result = flatten(wrapped.broadcast(*with_floats(arguments, values)))[0]
        return [y for y in result if jnp.issubdtype(jnp.asarray(y).dtype, jnp.floating)]

    def total(values):
        found = floats(values)
        return sum(jnp.sum(w * y) for w, y in zip(weights(len(found)), found, strict=True))

    def moved(values):
        return sum(jnp.sum(g * d) for g, d in zip(jax.grad(total)(values), directions, strict=True))

    @jax.jit
    def everything(values):
        return floats(values), jax.grad(total)(values), jax.grad(moved)(values)

    found = everything([jnp.asarray(value) for value in float_leaves(arguments)])
    return Expected(*([np.asarray(a) for a in part] for part in found))


def by_autograd(wrapped: Any, arguments: tuple, directions: Sequence[np.ndarray]) -> Expected:
    import autograd
    import autograd.numpy as anp
    from autograd.tracer import getval

    def floats(values):
        result = flatten(wrapped.broadcast(*with_floats(arguments, list(values))))[0]
        return [y for y in result if np.asarray(getval(y)).dtype.kind == "f"]

    def total(*values):
        found = floats(values)
        return sum(anp.sum(w * y) for w, y in zip(weights(len(found)), found, strict=True))

    values = float_leaves(arguments)
    every = tuple(range(len(values)))
    gradient = autograd.grad(total, every)

    def moved(*values):
        return sum(anp.sum(g * d) for g, d in zip(gradient(*values), directions, strict=True))

    product = autograd.grad(moved, every)(*values)
    return Expected(
        *([np.asarray(getval(a)) for a in part] for part in (floats(values), gradient(*values), product))
    )


ENGINES = ("numba", "numpy")
HOSTS: dict[str, Callable] = {"torch": by_torch, "jax": by_jax, "autograd": by_autograd}


def ways() -> dict[str, Callable]:
    """Name → `(wrapped by engine, arguments, directions) → Expected`, of all that is installed."""
    found = {f"{engine}": (engine, by_engine) for engine in ENGINES}
    found |= {host: ("numba", way) for host, way in HOSTS.items() if importlib.util.find_spec(host)}
    return found
