"""TensorFlow as a host: eager tensors, `tf.function`, variables of TensorFlow and of Keras.

_operation    a rule as a function of tensors: evaluated, recorded eagerly, or put into a graph
_eager        eager tensors: memory → rule → memory, recorded on tapes and forward accumulators
_graph        symbolic tensors: one `PyFuncStateless` op with a gradient and a vectorisation of its own
_derivatives  cotangents and tangents by the derived rules, and from stored partials
_tensors      what counts as a tensor, and tensors ↔ NumPy arrays without copies
_internals    everything that comes from inside TensorFlow
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fwddiff._rule import Rule
from fwddiff.hosts.tensorflow._operation import operation
from fwddiff.hosts.tensorflow._tensors import as_input, as_tensor, dtype, owns, shape

__all__ = [
    "CHECKPOINT_LOSES_CAPTURED",
    "apply",
    "checkpoint",
    "detach",
    "dtype",
    "float_dtype",
    "integer_dtype",
    "owns",
    "shape",
    "values",
    "weak",
]

CHECKPOINT_LOSES_CAPTURED = True


def weak(leaf: object) -> bool:
    """Whether the leaf comes from NumPy or Python: its float dtype gives way to that of tensors."""
    return not owns(leaf)


def integer_dtype() -> np.dtype:
    """Dtype of integer results that come from no tensor."""
    return np.dtype(np.int64)


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs: that of `tf.constant(1.0)`."""
    return np.dtype(np.float32)


def values(leaf: Any) -> np.ndarray | None:
    """The numbers of an eager tensor; `None` for those of graphs."""
    tensor = as_tensor(leaf)
    return tensor.numpy() if hasattr(tensor, "numpy") and tf.executing_eagerly() else None


def detach(leaf: Any) -> Any:
    """The values of a tensor or variable without a gradient."""
    dtype(leaf)
    return tf.stop_gradient(as_tensor(leaf))


def apply(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """One tensor per output of the rule, recorded for tapes, forward accumulators and graphs, to any order.

    `leaves` are one per input of the rule, broadcastable: tensors or variables of the slot's dtype, or NumPy
    arrays and numbers, which are constants.

    Raises `HostError` for tensors that cannot be lent to fwddiff, and inside `jit_compile=True`.
    """
    values = [as_input(leaf, slot.dtype) for leaf, slot in zip(leaves, rule.inputs, strict=True)]
    candidates = tuple(
        i for i, slot in enumerate(rule.inputs) if slot.differentiable and isinstance(values[i], tf.Tensor)
    )
    return operation(rule, 0, values, candidates)


def checkpoint(function: Callable[..., tuple], leaves: Sequence[Any]) -> list[Any]:
    """The function's results, by `tf.recompute_grad`."""
    return list(tf.recompute_grad(function)(*map(as_tensor, leaves)))
