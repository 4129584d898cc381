"""Calls by public functions of JAX alone, for a JAX whose internals are not those that `internals` knows.

A call is `jax.pure_callback`, its derivative `jax.custom_jvp`: all transformations work, to any order. It is
slower than the primitive (Python runs in compiled programs, and every tangent needs all partials).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from fwddiff._rule import Rule, Shape, Slot
from fwddiff.hosts.jax.operation import Operation, evaluated_outside, in_python, jax_dtype, static_shapes


def call(operation: Operation, arrays: Sequence[Any]) -> list[Any]:
    """The call on arrays or tracers. A function that raises raises its own exception outside of `jit`."""
    try:
        return function(operation)(*arrays)
    except jax.errors.JaxRuntimeError:
        evaluated_outside(operation, 0, arrays)
        raise


@lru_cache(maxsize=4096)
def function(operation: Operation) -> Callable[..., list[Any]]:
    """The call as a function of JAX arrays."""
    rule = operation.rule
    dtypes = [jax_dtype(slot) for slot in rule.outputs]

    def fwddiff(*arrays: Any) -> list[Any]:
        shapes = static_shapes(rule, arrays)
        results = [
            jax.ShapeDtypeStruct(shape, dtype)
            for shape, dtype in zip(rule.output_shapes(shapes), dtypes, strict=True)
        ]
        evaluate = partial(_evaluate, operation, len(shapes[0]), dtypes)
        return jax.pure_callback(evaluate, results, *arrays, vmap_method="expand_dims")

    differentiable = jax.custom_jvp(fwddiff)
    differentiable.defjvp(partial(_push_forward, operation), symbolic_zeros=True)
    return differentiable


def _evaluate(operation: Operation, ndim: int, dtypes: Sequence[Any], *arrays: Any) -> list[np.ndarray]:
    """`vmap` puts its axes in front of every array, of size 1 where the array has none."""
    return in_python(operation, np.ndim(arrays[0]) - ndim, dtypes, *arrays)


def _push_forward(operation: Operation, primals: Any, tangents: Any) -> tuple[list[Any], list[Any]]:
    rule = operation.rule
    values = function(operation)(*primals)
    pairs = enumerate(zip(tangents, rule.inputs, strict=True))
    active = [i for i, (t, slot) in pairs if slot.differentiable and not isinstance(t, SymbolicZero)]
    if active and rule.differentiable_outputs:
        pushed = iter(_pushed(operation, primals, active, [tangents[i] for i in active]))
    else:
        pushed = iter([jnp.zeros_like(y) for y in values])
    return values, [
        next(pushed) if slot.differentiable else np.zeros(np.shape(y), jax.dtypes.float0)
        for y, slot in zip(values, rule.outputs, strict=True)
    ]


def _pushed(
    operation: Operation, primals: Sequence[Any], active: Sequence[int], tangents: Sequence[Any]
) -> list[Any]:
    """Tangents of the differentiable outputs: each element's Jacobian, from pullbacks of unit cotangents,
    times the tangents. JAX transposes that."""
    rule = operation.rule
    shapes = static_shapes(rule, primals)
    loop = rule.loop_shape(shapes)
    cores = [s[len(s) - slot.core_ndim :] for s, slot in zip(shapes, rule.inputs, strict=True)]
    whole = [jnp.broadcast_to(x, loop + core) for x, core in zip(primals, cores, strict=True)]
    moved = [jnp.broadcast_to(t, loop + cores[a]) for t, a in zip(tangents, active, strict=True)]
    pairs = zip(rule.outputs, rule.core_shapes(cores), strict=True)
    wanted = [(slot, core) for slot, core in pairs if slot.differentiable]
    pull = function(operation.derive("pullback", active))
    rows = jax.vmap(lambda *cotangents: pull(*whole, *cotangents))(*_units(wanted))
    products = [
        jnp.sum(row * t, axis=tuple(range(1 + len(loop), row.ndim)))
        for row, t in zip(rows, moved, strict=True)
    ]
    total = iter(sum(products[1:], products[0]))
    results = []
    for slot, core in wanted:
        elements = [next(total) for _ in range(math.prod(core))]
        full = jnp.stack(elements, -1).reshape(loop + core) if elements else jnp.zeros(loop + core)
        results.append(_reduced(rule, slot, full, loop, shapes).astype(jax_dtype(slot)))
    return results


def _units(wanted: Sequence[tuple[Slot, Shape]]) -> list[Any]:
    """Cotangents of all outputs, one row for each element of each: 1 there and 0 elsewhere."""
    sizes = [math.prod(core) for _, core in wanted]
    identity, ends = np.eye(sum(sizes)), np.cumsum(sizes)
    return [
        jnp.asarray(identity[:, end - size : end].reshape(-1, *core), jax_dtype(slot))
        for (slot, core), size, end in zip(wanted, sizes, ends, strict=True)
    ]


def _reduced(rule: Rule, slot: Slot, full: Any, loop: Shape, shapes: Sequence[Shape]) -> Any:
    """Summed along the axes of the loop that the output does not have."""
    kept = rule.reduced_loop(slot, loop, shapes, 0)
    aligned = (1,) * (len(loop) - len(kept)) + kept
    axes = tuple(i for i, (n, m) in enumerate(zip(loop, aligned, strict=True)) if n != m)
    return jnp.sum(full, axis=axes, keepdims=True).reshape(kept + full.shape[len(loop) :])
