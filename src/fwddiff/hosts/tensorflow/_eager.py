"""Eager tensors: the rule runs on their memory, and tapes and forward accumulators are told what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fwddiff._rule import Rule, Unbounded
from fwddiff.hosts.tensorflow import _internals
from fwddiff.hosts.tensorflow._derivatives import contract, floats, given_cotangents, pull, push
from fwddiff.hosts.tensorflow._tensors import as_array, from_array


def call(rule: Rule, batch_ndim: int, values: Sequence[Any], candidates: tuple[int, ...]) -> list[Any]:
    """One eager tensor per output of the rule."""
    arrays = [as_array(value) for value in values]
    if _internals.nothing_records():
        return [from_array(array) for array in rule(arrays, batch_ndim)]
    tensors = [values[i] for i in candidates]
    active = tuple(i for i, tensor in zip(candidates, tensors, strict=True) if _internals.is_watched(tensor))
    moving = tuple(candidates[k] for k in sorted(_internals.moving(tensors)))
    stores = bool(active) and not batch_ndim and rule.stores(active, [array.shape for array in arrays])
    found = (rule.partials(active) if stores else rule)(arrays, batch_ndim)
    stores = stores and not isinstance(found, Unbounded)
    outputs = [from_array(array) for array in found[: len(rule.outputs)]]
    if active or moving:
        # The caller may write to its NumPy arrays before the backward pass.
        values = [np.array(value) if isinstance(value, np.ndarray) else value for value in values]
        partials = found[len(rule.outputs) :] if stores else None
        results = floats(rule, outputs)
        backward = _backward(rule, batch_ndim, values, candidates, active, results, partials)
        forward = _forward(rule, batch_ndim, values, candidates, moving)
        _internals.record_operation("fwddiff", results, tensors, backward, forward)
    return outputs


def _backward(
    rule: Rule,
    batch_ndim: int,
    values: Sequence[Any],
    candidates: tuple[int, ...],
    active: tuple[int, ...],
    results: Sequence[Any],
    partials: Sequence[np.ndarray] | None,
) -> Callable[..., list[Any]]:
    def backward(*cotangents: Any) -> list[Any]:
        given = given_cotangents(results, cotangents)
        # Stored partials are numbers: whoever records this, or builds a graph of it, needs the rule.
        if partials is not None and tf.executing_eagerly() and _internals.nothing_records():
            found = contract(rule, active, [tuple(value.shape) for value in values], partials, given)
        else:
            found = pull(rule, batch_ndim, values, candidates, active, given)
        return [found[i] for i in candidates]

    return backward


def _forward(
    rule: Rule, batch_ndim: int, values: Sequence[Any], candidates: tuple[int, ...], moving: tuple[int, ...]
) -> Callable[..., list[Any]]:
    positions = [candidates.index(i) for i in moving]

    def forward(*tangents: Any) -> list[Any]:
        return push(rule, batch_ndim, values, candidates, moving, [tangents[k] for k in positions])

    return forward
