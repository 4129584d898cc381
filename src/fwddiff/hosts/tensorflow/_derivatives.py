"""Cotangents and tangents of a call, by the derived rules or from stored partials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fwddiff._rule import Rule
from fwddiff.hosts.tensorflow._tensors import as_array, empty, from_array


class _Upper:
    """The file above this one puts there what applies a rule, derived ones included."""

    operation: Callable[..., list[Any]]


upper = _Upper()


def floats(rule: Rule, results: Sequence[Any]) -> list[Any]:
    """Those of the outputs that are differentiable."""
    return [result for result, slot in zip(results, rule.outputs, strict=True) if slot.differentiable]


def pull(
    rule: Rule,
    batch_ndim: int,
    values: Sequence[Any],
    candidates: tuple[int, ...],
    active: Sequence[int],
    cotangents: Sequence[Any],
) -> list[Any]:
    """The cotangent of every input, `None` for those that are not active, recorded for higher orders."""
    results: list[Any] = [None] * len(rule.inputs)
    given = range(len(values), len(values) + len(cotangents))
    for group in rule.pullback_passes(tuple(active)) if active else ():
        found = upper.operation(
            rule.pullback(group), batch_ndim, [*values, *cotangents], (*candidates, *given)
        )
        for a, cotangent in zip(group, found, strict=True):
            results[a] = _without_batch(cotangent, values[a], batch_ndim)
    return results


def push(
    rule: Rule,
    batch_ndim: int,
    values: Sequence[Any],
    candidates: tuple[int, ...],
    active: Sequence[int],
    tangents: Sequence[Any],
) -> list[Any]:
    """The tangents of the differentiable outputs; `tangents` belong to the active inputs."""
    given = range(len(values), len(values) + len(tangents))
    derived = rule.pushforward(tuple(active))
    return upper.operation(derived, batch_ndim, [*values, *tangents], (*candidates, *given))


def given_cotangents(outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """Dense cotangents of these outputs: gathering gives `IndexedSlices`, an unused output `None`."""
    return [
        tf.zeros_like(output) if cotangent is None else tf.convert_to_tensor(cotangent)
        for output, cotangent in zip(outputs, cotangents, strict=True)
    ]


def _without_batch(cotangent: Any, source: Any, batch_ndim: int) -> Any:
    """Sum over the batch axes that the input does not have (rules never reduce batch axes)."""
    axes = [i for i in range(batch_ndim) if source.shape[i] == 1 and cotangent.shape[i] != 1]
    return tf.reduce_sum(cotangent, axes, keepdims=True) if axes else cotangent


# --- stored partials ----------------------------------------------------------------------------------------


def contract(
    rule: Rule,
    active: tuple[int, ...],
    shapes: Sequence[tuple],
    partials: Sequence[np.ndarray],
    cotangents: Sequence[Any],
) -> list[Any]:
    """The cotangent of a is the sum over outputs j of ct[j] * P[j][a], un-broadcast to the shape of a. Eager
    tensors, by NumPy: an operation of TensorFlow takes 15 µs."""
    results: list[Any] = [None] * len(rule.inputs)
    given = [as_array(cotangent) for cotangent in cotangents]
    for position, a in enumerate(active):
        rows = partials[position :: len(active)]
        results[a] = from_array(
            _contracted(given, rows, rule.inputs[a].core_ndim, shapes[a], rule.inputs[a].dtype)
        )
    return results


def _contracted(
    cotangents: Sequence[np.ndarray],
    partials: Sequence[np.ndarray],
    core_ndim: int,
    shape: tuple,
    wanted: np.dtype,
) -> np.ndarray:
    cores = [ct[(..., *(None,) * core_ndim)] if ct.ndim else ct for ct in cotangents]
    whole = np.broadcast_shapes(*[x.shape for x in (*cores, *partials)])
    total = empty(whole, wanted)
    np.multiply(cores[0], partials[0], out=total, casting="same_kind")
    for ct, partial in zip(cores[1:], partials[1:], strict=True):
        total += ct * partial
    if whole == shape:
        return total
    extra = len(whole) - len(shape)
    axes = tuple(i for i in range(len(whole)) if i < extra or shape[i - extra] == 1)
    return total.sum(axes, keepdims=True).reshape(shape)


def contract_symbolic(
    rule: Rule,
    active: tuple[int, ...],
    values: Sequence[Any],
    partials: Sequence[Any],
    cotangents: Sequence[Any],
) -> list[Any]:
    """The same with operations of TensorFlow, which are recorded as such."""
    results: list[Any] = [None] * len(rule.inputs)
    for position, a in enumerate(active):
        terms = [
            _term(rule.inputs[a].core_ndim, ct, partial)
            for ct, partial in zip(cotangents, partials[position :: len(active)], strict=True)
        ]
        total = tf.cast(tf.add_n(terms), values[a].dtype)
        if not (total.shape.is_fully_defined() and total.shape == values[a].shape):
            wanted = tf.shape(values[a])
            _, axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(total), s1=wanted)
            total = tf.reshape(tf.reduce_sum(total, axes), wanted)
        results[a] = total
    return results


def _term(core_ndim: int, cotangent: Any, partial: Any) -> Any:
    # A cotangent has the output's loop axes, the partial has the input's core axes after them.
    if cotangent.shape.rank and core_ndim:
        cotangent = cotangent[(..., *(tf.newaxis,) * core_ndim)]
    return tf.math.multiply_no_nan(partial, tf.cast(cotangent, partial.dtype))
