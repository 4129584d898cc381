"""MLX as a host: one custom function per rule, whose vjp and jvp are the custom functions of derived rules.

MLX evaluates an array when NumPy reads it, under `grad`, `vjp` and `jvp`, too; under `vmap` and `compile` it
refuses, and so do we.
"""

# MLX is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from fwddiff._errors import HostError
from fwddiff._rule import Rule

__all__ = [
    "CHECKPOINT_LOSES_CAPTURED",
    "HABIT",
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

HABIT = "recomputes"
CHECKPOINT_LOSES_CAPTURED = True
_REFUSED = (mx.float16, mx.bfloat16, mx.complex64)


def owns(leaf: object) -> bool:
    """Whether this is an array of MLX."""
    return isinstance(leaf, mx.array)


def shape(leaf: mx.array) -> tuple[int, ...]:
    """Shape, known without evaluating the array."""
    return tuple(leaf.shape)


def dtype(leaf: mx.array) -> np.dtype:
    """The same dtype of NumPy. Raises `HostError` for half precision and complex numbers."""
    if leaf.dtype in _REFUSED:
        raise HostError(
            f"MLX's array has dtype {leaf.dtype}; convert it with x.astype(mlx.core.float32) (float32 and "
            "float64, integers and bools are served)."
        )
    name = str(leaf.dtype).rpartition(".")[2]
    return np.dtype("bool" if name == "bool_" else name)


def weak(leaf: object) -> bool:
    """Whether the leaf comes from NumPy or Python: its float dtype gives way to that of MLX's arrays."""
    return not isinstance(leaf, mx.array)


def values(leaf: mx.array) -> np.ndarray | None:
    """The array's numbers, which MLX computes now; `None` under `vmap` and `compile`."""
    try:
        return np.array(leaf)
    except (RuntimeError, ValueError):
        return None


def integer_dtype() -> np.dtype:
    """Dtype of integer results: MLX's own for Python integers."""
    return np.dtype(np.int32)


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs: MLX's own for Python floats."""
    return np.dtype(np.float32)


def detach(leaf: mx.array) -> mx.array:
    """The same values without a gradient."""
    return mx.stop_gradient(leaf)


def apply(rule: Rule, leaves: Sequence[Any]) -> list[mx.array]:
    """One array per output of the rule, recorded for `grad`, `vjp` and `jvp` of any order.

    `leaves` are one per input of the rule, broadcastable: MLX's arrays, or NumPy arrays and numbers, which
    are constants. Raises `HostError` under `vmap` and `compile`.
    """
    arrays = [
        leaf if isinstance(leaf, mx.array) else _to_mlx(np.asarray(leaf, slot.dtype))
        for leaf, slot in zip(leaves, rule.inputs, strict=True)
    ]
    return list(_function_of(rule)(*arrays))


def _function_of(rule: Rule) -> Callable:
    found = vars(rule).get("_mlx_function")
    if found is None:
        found = vars(rule).setdefault("_mlx_function", _make_function(rule))
    return found


def _make_function(rule: Rule) -> Callable:
    @mx.custom_function
    def run(*values: mx.array) -> list[mx.array]:
        given = [_to_numpy(value, rule) for value in values]
        arrays = [np.asarray(x, slot.dtype) for x, slot in zip(given, rule.inputs, strict=True)]
        return [_to_mlx(result) for result in rule(arrays)]

    run.vjp(lambda primals, cotangents, _: _pullback(rule, _several(primals), _several(cotangents)))
    run.jvp(lambda primals, tangents: _pushforward(rule, _several(primals), _several(tangents)))
    return run


def _pullback(rule: Rule, values: Sequence[Any], cotangents: Sequence[Any]) -> tuple[mx.array, ...]:
    """MLX does not say which cotangents were asked for: all are computed."""
    results = [mx.zeros_like(value) for value in values]
    active = tuple(i for i, slot in enumerate(rule.inputs) if slot.differentiable)
    given = [ct for ct, slot in zip(cotangents, rule.outputs, strict=True) if slot.differentiable]
    for group in rule.pullback_passes(active) if given else ():
        for a, found in zip(group, apply(rule.pullback(group), [*values, *given]), strict=True):
            results[a] = found
    return tuple(results)


def _pushforward(rule: Rule, values: Sequence[Any], tangents: Sequence[Any]) -> list[mx.array]:
    active = tuple(i for i, slot in enumerate(rule.inputs) if slot.differentiable and tangents[i] is not None)
    derived = rule.pushforward(active)
    found = iter(apply(derived, [*values, *(tangents[a] for a in active)]))
    # Integer outputs have tangents of zero.
    outputs = rule.output_shapes([value.shape for value in values], 0)
    return [
        next(found) if slot.differentiable else _to_mlx(np.zeros(size, slot.dtype))
        for slot, size in zip(rule.outputs, outputs, strict=True)
    ]


def _several(values: Any) -> Sequence[Any]:
    """MLX gives one value as itself."""
    return values if isinstance(values, list | tuple) else [values]


def _to_mlx(array: np.ndarray) -> mx.array:
    return mx.array(array, dtype=getattr(mx, "bool_" if array.dtype == bool else array.dtype.name))


def _to_numpy(value: mx.array, rule: Rule) -> np.ndarray:
    """A view that cannot be written to."""
    try:
        view = np.asarray(value)
    except ValueError as error:
        if "function transformations" not in str(error):
            raise
        raise HostError(
            f"{rule.name}: MLX's vmap and compile cannot call a kernel. Instead of vmap, call broadcast with "
            "the batch axis in front; compile the parts before and after the call."
        ) from error
    view.flags.writeable = False
    return view


def checkpoint(function: Callable[..., tuple], leaves: Sequence[mx.array]) -> list[Any]:
    """The function's results, by `mlx.core.checkpoint`."""
    return list(mx.checkpoint(function)(*leaves))
