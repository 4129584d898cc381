"""What counts as a tensor, and tensors ↔ NumPy arrays, without copies where that is safe."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fwddiff._errors import HostError

DTYPES = {
    getattr(tf, name): np.dtype(name)
    for name in (
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
    )
}
_ALIGNMENT = 64
_COMPOSITE = {
    tf.IndexedSlices: "convert it with tf.convert_to_tensor",
    tf.SparseTensor: "convert it with tf.sparse.to_dense",
    tf.RaggedTensor: "use its .flat_values or .to_tensor()",
}


@functools.cache
def _is_owned_type(kind: type) -> bool:
    # `__tf_tensor__` is TensorFlow's protocol for other types that are tensors: variables of Keras have it.
    return issubclass(kind, (tf.Tensor, tf.Variable, *_COMPOSITE)) or hasattr(kind, "__tf_tensor__")


def owns(leaf: object) -> bool:
    """Whether this is a tensor, eager or symbolic, or a variable of TensorFlow or Keras."""
    return _is_owned_type(type(leaf))


def shape(leaf: Any) -> tuple[int | None, ...]:
    """Shape of a tensor or variable, `None` for what a graph does not know. Raises `HostError` where even the
    number of axes is unknown."""
    found = leaf.shape
    if isinstance(found, tuple):
        return found
    if found.rank is None:
        dtype(leaf)  # has better advice about what is no dense tensor
        raise HostError(
            "A tensor whose number of axes is unknown while the graph is made cannot be lent to fwddiff; say "
            "it with tf.ensure_shape(x, [None, ...]) or in the input_signature."
        )
    return tuple(found)


def dtype(leaf: Any) -> np.dtype:
    """NumPy dtype of a tensor or variable. Raises `HostError` for kinds of tensors, dtypes and devices that
    fwddiff does not serve."""
    for kind, advice in _COMPOSITE.items():
        if isinstance(leaf, kind):
            raise HostError(f"A tf.{kind.__name__} cannot be lent to fwddiff; {advice}.")
    if type(leaf).__name__ == "KerasTensor":
        raise HostError(
            "A symbolic Keras tensor has no values and no graph; call the function inside a layer: in the "
            "`call` of a keras.layers.Layer, or in keras.layers.Lambda."
        )
    name = leaf.dtype if isinstance(leaf.dtype, tf.DType) else tf.as_dtype(leaf.dtype)
    found = DTYPES.get(name)
    if found is None:
        raise HostError(
            f"A tensor of dtype {name.name} cannot be lent to fwddiff; cast it to tf.float32 or tf.float64."
        )
    check_device(getattr(leaf, "device", None))
    return found


def check_device(device: str | None) -> None:
    """Raise `HostError` unless this names a CPU, or nothing (symbolic tensors)."""
    if device and "CPU" not in device.upper():
        raise HostError(
            f"A tensor on {device} cannot be lent to fwddiff; make it under `with tf.device('CPU')`."
        )


def as_tensor(leaf: Any) -> Any:
    """The tensor itself, or what a variable holds, read in a way that tapes see."""
    return leaf if isinstance(leaf, tf.Tensor) else tf.convert_to_tensor(leaf)


def as_input(leaf: Any, wanted: np.dtype) -> Any:
    """An input of a rule: a tensor, checked, or for numbers and NumPy arrays a NumPy array of this dtype."""
    if not owns(leaf):
        return np.asarray(leaf, wanted)
    tensor = as_tensor(leaf)
    check_device(tensor.device)
    return tensor


def as_array(value: Any) -> np.ndarray:
    """A read-only view of an eager tensor's memory."""
    return np.asarray(value)


def from_array(array: np.ndarray) -> Any:
    """A tensor with the memory of an array that nobody else writes to."""
    # TensorFlow aborts the process when it meets memory that is not aligned like its own.
    if array.__array_interface__["data"][0] % _ALIGNMENT or not array.flags.c_contiguous:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def empty(shape: Sequence[int], wanted: np.dtype) -> np.ndarray:
    """An uninitialised array that `from_array` need not copy."""
    memory = np.empty(math.prod(shape) * wanted.itemsize + _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT
    return np.ndarray(tuple(shape), wanted, memory, start)
