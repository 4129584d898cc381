"""Partials that are computed with the value, and kept for the backward pass."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd.extend import Box, defjvp_argnums, defvjp_argnums, primitive
from autograd.tracer import getval, isbox, new_box

from fwddiff._rule import Rule, Unbounded
from fwddiff.hosts.autograd._operations import differentiable, evaluate, full, packed, primitive_of

# autograd fills this module at run time, so type checkers do not know what is in it.
anp: Any = importlib.import_module("autograd.numpy")


def stores(rule: Rule, active: tuple[int, ...], leaves: Sequence[Any]) -> bool:
    known = vars(rule).setdefault("_autograd_stores", {})
    key = (active, *[shape_of(leaf) for leaf in leaves])
    found = known.get(key)
    if found is None:
        found = known[key] = rule.stores(active, key[1:])
    return found


def one_trace(boxes: Sequence[Box]) -> bool:
    """Whether no order above the first is being recorded (partials, once stored, are constants)."""
    return len({box._trace for box in boxes}) == 1 and not any(isbox(box._value) for box in boxes)


def store(rule: Rule, active: tuple[int, ...], leaves: Sequence[Any]) -> Any:
    values = [leaf._value if isbox(leaf) else leaf for leaf in leaves]
    results = evaluate(rule.partials(active), values)
    if isinstance(results, Unbounded):
        return primitive_of(rule)(*leaves)
    count = len(rule.outputs)
    answer = packed(rule, results[:count])
    return _recorded((rule, active, results[count:]), answer, values, [leaves[a] for a in active])


def _recorded(stored: tuple, answer: Any, values: Sequence[Any], boxes: Sequence[Box]) -> Box:
    """What `_attach(stored, answer, *values)` returns if `boxes` are the active values, all of one trace:
    there is nothing to search, and no wrapper to run twice."""
    node_type: Any = type(boxes[0]._node)
    numbers = tuple(a + 2 for a in stored[1])
    parents = [box._node for box in boxes]
    node = node_type(answer, _attach, (stored, answer, *values), {}, numbers, parents)
    return new_box(answer, boxes[0]._trace, node)


@primitive
def _attach(stored: tuple, answer: Any, *values: Any) -> Any:
    """The answer, whose partials by `values` have been computed already."""
    del stored, values
    return answer


def _attached_vjp(argnums: Sequence[int], answer: Any, arguments: Any, options: dict) -> Callable:
    del answer, options
    (rule, active, partials), _, *values = arguments

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = differentiable(rule, cotangent)
        return tuple(
            _cotangent(rule, number - 2, values, given, partials[active.index(number - 2) :: len(active)])
            for number in argnums
        )

    return pullback


def _attached_jvp(argnums: Sequence[int], tangents: Any, answer: Any, arguments: Any, options: dict) -> Any:
    del options
    (rule, active, partials), *_ = arguments
    positions = [number - 2 for number in argnums]
    results = []
    for j, slot in enumerate(rule.differentiable_outputs):
        row = partials[j * len(active) : (j + 1) * len(active)]
        terms = [
            _tangent(rule, a, row[active.index(a)], tangent, slot.reduce)
            for a, tangent in zip(positions, tangents, strict=True)
        ]
        results.append(sum(terms[1:], terms[0]))
    return full(rule, results, answer)


defvjp_argnums(_attach, _attached_vjp)
defjvp_argnums(_attach, _attached_jvp)


def _cotangent(rule: Rule, a: int, values: Any, cotangents: Sequence[Any], partials: Sequence[Any]) -> Any:
    """The sum over outputs j of ct[j] * P[j][a], un-broadcast to the shape of a."""
    slot, shape = rule.inputs[a], np.shape(values[a])
    if len(partials) == 1 and slot.core_ndim == 0 and not isbox(cotangents[0]):
        product = cotangents[0] * partials[0]
        if np.shape(product) == shape and product.dtype == slot.dtype:
            return product
    core = (None,) * slot.core_ndim
    terms = [
        (anp.asarray(ct)[(..., *core)] if np.ndim(getval(ct)) else ct) * partial
        for ct, partial in zip(cotangents, partials, strict=True)
    ]
    return _sum_to(sum(terms[1:], terms[0]), shape, slot.dtype)


def _tangent(rule: Rule, a: int, partial: np.ndarray, tangent: Any, reduce: Any) -> Any:
    product = partial * tangent
    axes = None if reduce == "sum" else tuple(range(-rule.inputs[a].core_ndim, 0))
    return product if axes == () else anp.sum(product, axis=axes)


def _sum_to(value: Any, shape: tuple[int, ...], wanted: np.dtype) -> Any:
    extra = np.ndim(getval(value)) - len(shape)
    padded = (1,) * extra + shape
    axes = tuple(i for i, size in enumerate(padded) if size == 1)
    if extra or np.shape(getval(value)) != shape:
        value = anp.reshape(anp.sum(value, axis=axes, keepdims=True), shape)
    return value if getval(value).dtype == wanted else value.astype(wanted)


def shape_of(leaf: Any) -> tuple[int, ...]:
    return np.shape(getval(leaf))
