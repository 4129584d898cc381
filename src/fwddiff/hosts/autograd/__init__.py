"""HIPS autograd as a host: one primitive per rule, whose vjp and jvp are the primitives of derived rules.

_operations   the primitives
_stored       partials that are kept from the forward pass
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd import checkpoint as by_autograd
from autograd.builtins import DictBox, SequenceBox
from autograd.builtins import tuple as boxed_tuple
from autograd.extend import Box
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import getval, isbox

from fwddiff import _tree
from fwddiff._errors import HostError
from fwddiff._rule import Rule
from fwddiff.hosts.autograd._operations import primitive_of, separate
from fwddiff.hosts.autograd._stored import one_trace, store, stores

__all__ = [
    "CHECKPOINT_LOSES_CAPTURED",
    "apply",
    "checkpoint",
    "describe",
    "detach",
    "dtype",
    "float_dtype",
    "integer_dtype",
    "owns",
    "shape",
    "shortcut",
    "values",
    "weak",
]


def _sequence(box: Any) -> Any:
    return type(getval(box))(box[k] for k in range(len(box)))


_tree.register_container(SequenceBox, _sequence)
_tree.register_container(DictBox, lambda box: {key: box[key] for key in getval(box)})


def owns(leaf: object) -> bool:
    """Whether autograd is tracing this value (plain NumPy arrays belong to nobody)."""
    return isinstance(leaf, Box)


def shape(leaf: Box) -> tuple[int, ...]:
    """Shape of the boxed array or number. Raises `HostError` for boxed containers."""
    return np.shape(_array_value(leaf))


def dtype(leaf: Box) -> np.dtype:
    """Dtype of the boxed array, float64 for Python floats. Raises `HostError` for other dtypes."""
    found = np.asarray(_array_value(leaf)).dtype
    if found not in (np.float32, np.float64):
        raise HostError(
            f"Autograd traces a value of dtype {found}; convert it to float32 or float64 before grad."
        )
    return found


def weak(leaf: Box) -> bool:
    """Whether a Python float is boxed, whose dtype gives way to that of arrays."""
    return type(getval(leaf)) is float


def values(leaf: Box) -> np.ndarray:
    """The numbers in the innermost box."""
    while isbox(leaf):
        leaf = leaf._value
    return np.asarray(leaf)


def integer_dtype() -> np.dtype:
    """Dtype of integer results."""
    return np.dtype(np.int64)


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs."""
    return np.dtype(np.float64)


def apply(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """One array or box per output of the rule, recorded for every operator of autograd, to any order.

    `leaves` are one per input of the rule, broadcastable: boxes of arrays or floats, or NumPy arrays and
    numbers, which are constants. Integer outputs are plain arrays.
    """
    active = tuple(i for i, leaf in enumerate(leaves) if isbox(leaf) and rule.inputs[i].differentiable)
    if active and one_trace([leaves[a] for a in active]) and stores(rule, active, leaves):
        return separate(rule, store(rule, active, leaves))
    return separate(rule, primitive_of(rule)(*leaves))


_NUMBERS = (float, int, bool, np.float64)


def describe(structure: tuple, leaves: Sequence[Any]) -> tuple | None:
    """All that decides which rule serves a call, as cheaply as it can be had; `None`: not by a shortcut."""
    key: list[Any] = [structure]
    for leaf in leaves:
        kind = type(leaf)
        value = leaf
        if kind is ArrayBox:
            key.append(kind)
            value = leaf._value
            kind = type(value)
        if kind is np.ndarray:
            key += value.dtype, value.ndim
        elif kind in _NUMBERS:
            key.append(kind)
        else:
            return None
    return tuple(key)


def shortcut(
    rule: Rule, dynamic: Sequence[int], leaves: Sequence[Any], finish: Callable[[Sequence[Any]], Any]
) -> Callable[[Sequence[Any]], Any]:
    """How to serve calls that `describe` does not tell from this one."""
    if tuple(dynamic) == tuple(range(len(leaves))):
        return lambda leaves: finish(apply(rule, leaves))
    return lambda leaves: finish(apply(rule, [leaves[k] for k in dynamic]))


def detach(leaf: Box) -> Any:
    """The value itself, without any derivative."""
    return getval(leaf)


def _array_value(leaf: Box) -> Any:
    if not isinstance(leaf, ArrayBox):
        raise HostError(
            f"Autograd has boxed a whole {type(getval(leaf)).__name__}; hand its elements over one by one, "
            "as f((x[0], x[1])) or f({'a': x['a']})."
        )
    return getval(leaf)


CHECKPOINT_LOSES_CAPTURED = True


def checkpoint(function: Callable[..., tuple], leaves: Sequence[Any]) -> list[Any]:
    """The function's results, by `autograd.checkpoint` of one argument: it runs once for each."""
    results = by_autograd(lambda arguments: boxed_tuple(function(*arguments)))(boxed_tuple(leaves))
    return [results[k] for k in range(len(results))]
