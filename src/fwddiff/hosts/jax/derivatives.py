"""How JAX differentiates a call: forward, transposed, and without what nobody asked for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from fwddiff._errors import DerivativeError
from fwddiff._rule import Slot
from fwddiff.hosts.jax.internals import ad, divided_alike, drop_unused_by, is_zero, zero_tangent
from fwddiff.hosts.jax.operation import HABIT, Operation, jax_dtype, static_shapes
from fwddiff.hosts.jax.primitive import bind, primitive
from fwddiff.hosts.jax.products import product


def push_forward(
    primals: Sequence[Any], tangents: Sequence[Any], *, operation: Operation, batch_ndim: int
) -> tuple[list[Any], list[Any]]:
    """Values and tangents. Reverse mode comes from here too: JAX transposes what is linear in the tangents.

    Stored partials are contracted by `product`, whose transpose is `cotangent * partial`;
    otherwise the tangents are a call of the pushforward rule, transposed below.
    """
    rule = operation.rule
    pairs = enumerate(zip(tangents, rule.inputs, strict=True))
    active = tuple(i for i, (t, slot) in pairs if slot.differentiable and not is_zero(t))
    moved = [tangents[i] for i in active]
    if not active or not rule.differentiable_outputs:
        values = bind(operation, primals, batch_ndim)
        results = [zero_tangent(y) for y, s in zip(values, rule.outputs, strict=True) if s.differentiable]
    elif _linear_in(operation, active):
        values = bind(operation, primals, batch_ndim)
        results = _push_linear(operation, primals, active, moved, batch_ndim)
    elif rule.stores(active, [shape[batch_ndim:] for shape in static_shapes(rule, primals)], HABIT):
        values, results = _push_stored(operation, primals, active, moved, batch_ndim)
    else:
        values = bind(operation, primals, batch_ndim)
        results = bind(operation.derive("pushforward", active), [*primals, *moved], batch_ndim)
    return values, _with_zeros(operation, values, results)


def _with_zeros(operation: Operation, values: Sequence[Any], results: Sequence[Any]) -> list[Any]:
    """Tangents of all outputs from those of the differentiable ones."""
    remaining = iter(results)
    pairs = zip(values, operation.rule.outputs, strict=True)
    return [next(remaining) if slot.differentiable else zero_tangent(y) for y, slot in pairs]


def _push_stored(
    operation: Operation,
    primals: Sequence[Any],
    active: tuple[int, ...],
    moved: Sequence[Any],
    batch_ndim: int,
) -> tuple[list[Any], list[Any]]:
    """Value and partials in one pass; each tangent is the sum over the active inputs of partial * tangent."""
    slots, inputs = operation.rule.outputs, operation.rule.inputs
    outputs = bind(operation.derive("partials", active), primals, batch_ndim)
    values, partials = outputs[: len(slots)], iter(outputs[len(slots) :])
    results = []
    for slot in operation.rule.differentiable_outputs:
        terms = [
            _contracted(next(partials), tangent, inputs[a], slot, batch_ndim)
            for a, tangent in zip(active, moved, strict=True)
        ]
        terms = [lax.convert_element_type(term, jax_dtype(slot)) for term in terms]
        results.append(functools.reduce(lax.add, terms))
    return values, results


def _contracted(partial: Any, tangent: Any, source: Slot, output: Slot, batch_ndim: int) -> Any:
    """partial * tangent, summed over core axes; over the whole loop for `reduce="sum"`.

    Loop axes are aligned at their end and batch axes at their front. `lax` operations, because those of `jnp`
    are jitted functions, which cost twice as much to record.
    """
    missing = partial.ndim - jnp.ndim(tangent)
    if missing:
        tangent = lax.expand_dims(tangent, range(batch_ndim, batch_ndim + missing))
    term = product(partial, lax.convert_element_type(tangent, partial.dtype))
    first = batch_ndim if output.reduce == "sum" else partial.ndim - source.core_ndim
    return jnp.sum(term, axis=tuple(range(first, partial.ndim))) if first < partial.ndim else term


# --- linearity ---------------------------------------------------------------------------------------------


def _linear_in(operation: Operation, positions: Sequence[int]) -> bool:
    """A pushforward is linear in its tangents, a pullback in its cotangents: in what its base has not."""
    if operation.kind not in ("pushforward", "pullback"):
        return False
    return all(i >= _first_linear(operation) for i in positions)


def _first_linear(operation: Operation) -> int:
    assert operation.base is not None
    return len(operation.base.rule.inputs)


def _push_linear(
    operation: Operation,
    primals: Sequence[Any],
    active: tuple[int, ...],
    moved: Sequence[Any],
    batch_ndim: int,
) -> list[Any]:
    """The tangent of a linear map is the same map of the tangents."""
    first = _first_linear(operation)
    if operation.kind == "pushforward":
        assert operation.base is not None
        narrowed = operation.base.derive("pushforward", [operation.active[i - first] for i in active])
        return bind(narrowed, [*primals[:first], *moved], batch_ndim)
    given = dict(zip(active, moved, strict=True))
    rest = [given[i] if i in given else jnp.zeros_like(primals[i]) for i in range(first, len(primals))]
    return bind(operation, [*primals[:first], *rest], batch_ndim)


def transpose(cotangents: Sequence[Any], *arguments: Any, operation: Operation, batch_ndim: int) -> list[Any]:
    """Cotangents of linear inputs: of a pushforward by the pullback, of a pullback by the pushforward."""
    wanted = [i for i, x in enumerate(arguments) if ad.is_undefined_primal(x)]
    if not _linear_in(operation, wanted):
        raise DerivativeError(
            f"{operation.rule.name} is not known to be linear, so jax.linear_transpose does not apply to it; "
            "take its pullback with jax.vjp."
        )
    by_kind = _transpose_pushforward if operation.kind == "pushforward" else _transpose_pullback
    results = by_kind(operation, arguments[: _first_linear(operation)], cotangents, wanted, batch_ndim)
    return [
        _unbatched(results[i], arguments[i].aval, batch_ndim) if i in results else None
        for i in range(len(arguments))
    ]


def _transpose_pushforward(
    operation: Operation,
    primals: Sequence[Any],
    cotangents: Sequence[Any],
    wanted: Sequence[int],
    batch_ndim: int,
) -> dict[int, Any]:
    assert operation.base is not None
    first = len(primals)
    position = {operation.active[i - first]: i for i in wanted}
    cotangents = [ad.instantiate_zeros(c) for c in cotangents]
    results = {}
    for group in operation.base.rule.pullback_passes(tuple(position)):
        pulled = bind(operation.base.derive("pullback", group), [*primals, *cotangents], batch_ndim)
        results |= {position[a]: x for a, x in zip(group, pulled, strict=True)}
    return results


def _transpose_pullback(
    operation: Operation,
    primals: Sequence[Any],
    cotangents: Sequence[Any],
    wanted: Sequence[int],
    batch_ndim: int,
) -> dict[int, Any]:
    assert operation.base is not None
    given = [(a, c) for a, c in zip(operation.active, cotangents, strict=True) if not is_zero(c)]
    if not given:
        return {}
    pushforward = operation.base.derive("pushforward", [a for a, _ in given])
    pushed = bind(pushforward, [*primals, *(c for _, c in given)], batch_ndim)
    return {i: pushed[i - len(primals)] for i in wanted}


def _unbatched(cotangent: Any, aval: Any, batch_ndim: int) -> Any:
    """Sum over the batch axes that an input does not have (size 1), which the rule itself leaves alone;
    divided among devices as the input is."""
    sizes = zip(aval.shape[:batch_ndim], cotangent.shape, strict=False)
    axes = tuple(i for i, (wanted, size) in enumerate(sizes) if wanted != size)
    summed = cotangent.sum(axis=axes, keepdims=True) if axes else cotangent
    return divided_alike(summed, aval)


# --- dead code ---------------------------------------------------------------------------------------------


def drop_unused(used: Sequence[bool], equation: Any) -> tuple[list[bool], Any]:
    """Shrink a pullback, or the partials, to the active inputs whose results are read."""
    kept_inputs = [any(used)] * len(equation.invars)
    if not any(used):
        return kept_inputs, None
    operation = equation.params["operation"]
    if all(used) or operation.kind not in ("pullback", "partials"):
        return kept_inputs, equation
    values = len(operation.base.rule.outputs) if operation.kind == "partials" else 0
    width = len(operation.active)
    kept = [k for k in range(width) if any(used[values + k :: width])]
    if len(kept) == width:
        return kept_inputs, equation
    active = [operation.active[k] for k in kept]
    narrowed = operation.base.derive(operation.kind, active) if active else operation.base
    results = equation.outvars[values:]
    outputs = [*equation.outvars[:values], *(v for k, v in enumerate(results) if k % width in kept)]
    return kept_inputs, equation.replace(outvars=outputs, params=equation.params | {"operation": narrowed})


ad.primitive_jvps[primitive] = push_forward
ad.primitive_transposes[primitive] = transpose
drop_unused_by(primitive, drop_unused)
