"""Symbolic tensors: one op that calls back into this process, with a gradient and a vectorisation of its own.

TensorFlow says of `PyFuncStateless` that it has no derivative, which gives `None` or zeros without a word.
So the op is hidden from the tape and recorded by hand, the gradient of graphs is put on it by name, and so is
the way in which `tf.vectorized_map` and `jacobian` batch it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fwddiff._errors import HostError, ShapeError
from fwddiff._rule import Rule
from fwddiff.hosts.tensorflow import _internals
from fwddiff.hosts.tensorflow._derivatives import contract_symbolic, floats, given_cotangents, pull, push

_OP = "PyFuncStateless"
_lock = threading.Lock()
_numbers = itertools.count()


def call(rule: Rule, batch_ndim: int, values: Sequence[Any], candidates: tuple[int, ...]) -> list[Any]:
    """One symbolic tensor per output of the rule."""
    if not rule.outputs:
        return []
    tensors = [tf.convert_to_tensor(value) for value in values]
    active = tuple(i for i in candidates if _internals.is_watched(tensors[i]))
    stores = bool(active) and not batch_ndim and rule.stores(active, [_nominal(tensor) for tensor in tensors])
    run = rule.partials(active) if stores else rule
    found = _add_op(run, batch_ndim, tensors, candidates)
    outputs, partials = found[: len(rule.outputs)], found[len(rule.outputs) :]
    results = floats(rule, outputs)
    inputs = [tensors[i] for i in candidates]

    def backward(*cotangents: Any) -> list[Any]:
        given = given_cotangents(results, cotangents)
        if stores:
            cotangents_of_inputs = contract_symbolic(rule, active, tensors, partials, given)
        else:
            cotangents_of_inputs = pull(rule, batch_ndim, tensors, candidates, active, given)
        return [cotangents_of_inputs[i] for i in candidates]

    if inputs and results:
        _internals.record_operation(
            "fwddiff", results, inputs, backward, _forward(rule, batch_ndim, tensors, candidates)
        )
    if stores:
        _record_partials(run, tensors, candidates, active, found, len(outputs))
    return outputs


def _forward(
    rule: Rule, batch_ndim: int, tensors: Sequence[Any], candidates: tuple[int, ...]
) -> Callable[..., list[Any]]:
    moving = tuple(candidates[k] for k in sorted(_internals.moving([tensors[i] for i in candidates])))

    def forward(*tangents: Any) -> list[Any]:
        given = [tangents[candidates.index(i)] for i in moving]
        return push(rule, batch_ndim, tensors, candidates, moving, given)

    return forward


def _record_partials(
    run: Rule,
    tensors: Sequence[Any],
    candidates: tuple[int, ...],
    active: tuple[int, ...],
    found: Sequence[Any],
    count: int,
) -> None:
    """Stored partials depend on the inputs too; tapes of higher order see that."""

    def backward(*cotangents: Any) -> list[Any]:
        zeros = [None] * len(floats(run, found)[: -len(cotangents)])
        given = given_cotangents(floats(run, found), [*zeros, *cotangents])
        cotangents_of_inputs = pull(run, 0, tensors, candidates, active, given)
        return [cotangents_of_inputs[i] for i in candidates]

    forward = _forward(run, 0, tensors, candidates)
    partials = found[count:]
    _internals.record_operation(
        "fwddiff",
        partials,
        [tensors[i] for i in candidates],
        backward,
        lambda *t: forward(*t)[-len(partials) :],
    )


# --- the op -------------------------------------------------------------------------------------------------


class _Callback(NamedTuple):
    """What TensorFlow's tables hold of a rule: a token to call it by, and names of gradients."""

    token: str
    run: Callable[..., list[np.ndarray]]
    gradients: dict[tuple[int, ...], str]


# A graph may be copied, saved and run long after everybody has forgotten the rule it calls.
_callbacks: dict[tuple[Rule, int], _Callback] = {}


def _add_op(rule: Rule, batch_ndim: int, tensors: Sequence[Any], candidates: tuple[int, ...]) -> list[Any]:
    graph = tf.compat.v1.get_default_graph()
    if _internals.is_compiled_by_xla(graph):
        raise HostError(
            f"{rule.name}: XLA cannot compile a call back into Python. Use jit_compile=False for the "
            "tf.function or model.compile; in a Keras layer, set self.supports_jit = False."
        )
    token, gradient = _registered(rule, batch_ndim, candidates)
    dtypes = [tf.as_dtype(slot.dtype) for slot in rule.outputs]
    overridden: Any = graph.gradient_override_map({_OP: gradient})
    with _internals.stop_recording(), overridden:
        found = tf.raw_ops.PyFuncStateless(input=list(tensors), token=token, Tout=dtypes)
    found[0].op.pfor_converter = _vectorisation(rule, batch_ndim, candidates)
    for tensor, shape in zip(found, static_shapes(rule, batch_ndim, tensors), strict=True):
        tensor.set_shape(shape)
    return list(found)


def _registered(rule: Rule, batch_ndim: int, candidates: tuple[int, ...]) -> tuple[str, str]:
    """Token of the callback and name of the gradient, the same for the same arguments."""
    with _lock:
        if (rule, batch_ndim) not in _callbacks:
            run = _evaluator(rule, batch_ndim)
            _callbacks[rule, batch_ndim] = _Callback(_internals.callback_token(run), run, {})
        callback = _callbacks[rule, batch_ndim]
        if candidates not in callback.gradients:
            name = f"fwddiff/{rule.name}#{next(_numbers)}"
            tf.RegisterGradient(name)(_gradient(rule, batch_ndim, candidates))
            callback.gradients[candidates] = name
        return callback.token, callback.gradients[candidates]


def _evaluator(rule: Rule, batch_ndim: int) -> Callable[..., list[np.ndarray]]:
    def run(*arrays: Any) -> list[np.ndarray]:
        given = [np.asarray(array, slot.dtype) for array, slot in zip(arrays, rule.inputs, strict=True)]
        return list(rule(given, batch_ndim))

    return run


def _gradient(rule: Rule, batch_ndim: int, candidates: tuple[int, ...]) -> Callable[..., list[Any]]:
    def gradient(op: Any, *cotangents: Any) -> list[Any]:
        if op is None:  # how TensorFlow asks for a gradient to save
            raise HostError(
                f"{rule.name}: a SavedModel cannot hold a function that runs in this Python process. Save "
                "the weights (or model.save('….keras')) and make the model again where it is loaded."
            )
        given = given_cotangents(floats(rule, op.outputs), floats(rule, cotangents))
        return pull(rule, batch_ndim, list(op.inputs), candidates, candidates, given)

    return gradient


def _vectorisation(rule: Rule, batch_ndim: int, candidates: tuple[int, ...]) -> Callable[[Any], list[Any]]:
    """What `tf.vectorized_map` does with the op: one more batch axis."""

    def convert(loop: Any) -> list[Any]:
        wrapped = type(loop.inputs[0])
        stacked = [item.t if item.is_stacked else tf.expand_dims(item.t, 0) for item in loop.inputs]
        return [wrapped(tensor, True, False) for tensor in call(rule, batch_ndim + 1, stacked, candidates)]

    return convert


# --- shapes -------------------------------------------------------------------------------------------------


def _nominal(tensor: Any) -> tuple[int, ...]:
    """A shape for decisions that only concern speed, where a graph does not know the true one."""
    return tuple(1 if size is None else size for size in tensor.shape)


def static_shapes(rule: Rule, batch_ndim: int, tensors: Sequence[Any]) -> list[tuple[int | None, ...]]:
    """`Rule.output_shapes` with `None` for all that the graph does not know."""
    shapes: list[Any] = [tuple(tensor.shape) for tensor in tensors]
    if all(size is not None for shape in shapes for size in shape):
        loop: Any = rule.loop_shape(shapes, batch_ndim)
    else:
        loop = _broadcast(rule, rule.aligned_loops(shapes, batch_ndim))
    cores = [s[len(s) - slot.core_ndim :] for slot, s in zip(rule.inputs, shapes, strict=True)]
    return [
        rule.reduced_loop(slot, loop, shapes, batch_ndim) + tuple(core)
        for slot, core in zip(rule.outputs, _core_shapes(rule, cores), strict=True)
    ]


def _core_shapes(rule: Rule, cores: Sequence[Any]) -> Sequence[Any]:
    if all(size is not None for core in cores for size in core):
        # Sizes that only the values tell are no matter of the graph's.
        with contextlib.suppress(ShapeError):
            return rule.core_shapes(cores)
    return [(None,) * slot.core_ndim for slot in rule.outputs]


def _broadcast(rule: Rule, shapes: Sequence[Any]) -> Any:
    known = tf.TensorShape(shapes[0])
    try:
        for shape in shapes[1:]:
            known = tf.broadcast_static_shape(known, tf.TensorShape(shape))
    except ValueError:
        listing = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ShapeError(
            f"{rule.name}: shapes {listing} do not broadcast together. Trailing axes must be equal or 1."
        ) from None
    return tuple(known)
