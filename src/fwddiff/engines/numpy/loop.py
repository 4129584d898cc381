"""Evaluation along loop axes, one element after the other, and reductions of the results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fwddiff._errors import StructureError
from fwddiff._rule import Rule, Shape, Slot


def evaluate(
    rule: Rule, core: Callable[..., Sequence[Any]], arrays: Sequence[np.ndarray], batch_ndim: int
) -> tuple[np.ndarray, ...]:
    """Run `core(*leaves)` at every index of the loop. Asks for `rule.outputs` after the first element."""
    arrays = [np.asarray(array, slot.dtype) for array, slot in zip(arrays, rule.inputs, strict=True)]
    shapes = [array.shape for array in arrays]
    loop = rule.loop_shape(shapes, batch_ndim)
    views = _views(rule, arrays, loop, batch_ndim)
    whole: list[np.ndarray] | None = None
    kept = getattr(rule, "take_first", lambda leaves: None)
    for index in itertools.product(*map(range, loop)):
        leaves = [usable_leaf(view[index], view.dtype) for view in views]
        results = (whole is None and kept(leaves)) or core(*leaves)
        if whole is None:
            whole = [
                np.empty(loop + np.shape(result), slot.dtype)
                for result, slot in zip(results, rule.outputs, strict=True)
            ]
        for array, result in zip(whole, results, strict=True):
            _store(rule, array, index, result)
    if whole is None:
        return tuple(
            np.zeros(shape, slot.dtype)
            for shape, slot in zip(rule.output_shapes(shapes, batch_ndim), rule.outputs, strict=True)
        )
    kept = [rule.reduced_loop(slot, loop, shapes, batch_ndim) for slot in rule.outputs]
    return tuple(_reduced(array, loop, keep, batch_ndim) for array, keep in zip(whole, kept, strict=True))


def _views(rule: Rule, arrays: Sequence[np.ndarray], loop: Shape, batch_ndim: int) -> list[np.ndarray]:
    """Read-only arrays with all loop axes."""
    aligned = rule.aligned_loops([array.shape for array in arrays], batch_ndim)
    return [
        np.broadcast_to(array.reshape(own + _core(array, slot)), loop + _core(array, slot))
        for array, slot, own in zip(arrays, rule.inputs, aligned, strict=True)
    ]


def _core(array: np.ndarray, slot: Slot) -> Shape:
    return array.shape[array.ndim - slot.core_ndim :]


def usable_leaf(leaf: Any, dtype: np.dtype) -> Any:
    """One element: floats keep their dtype, integers and bools are Python's own, arrays are read-only."""
    if np.ndim(leaf):
        leaf = leaf.view()
        leaf.flags.writeable = False
        return leaf
    leaf = dtype.type(leaf)
    return leaf if dtype.kind == "f" else leaf.item()


def _store(rule: Rule, array: np.ndarray, index: tuple[int, ...], result: Any) -> None:
    core = array.shape[len(index) :]
    if np.shape(result) != core:
        raise StructureError(
            f"{rule.name} returns an array of shape {np.shape(result)} for some arguments and {core} for "
            "others. Return an array whose shape follows from the shapes of the arguments."
        )
    array[index] = result


def _reduced(array: np.ndarray, loop: Shape, kept: Shape, batch_ndim: int) -> np.ndarray:
    """Sum over the loop axes that are not kept."""
    core = array.shape[len(loop) :]
    padded = kept[:batch_ndim] + (1,) * (len(loop) - len(kept)) + kept[batch_ndim:]
    axes = [axis for axis, extent in enumerate(loop) if padded[axis] != extent]
    if axes:
        others = [axis for axis in range(array.ndim) if axis not in axes]
        rest = tuple(array.shape[axis] for axis in others)
        # One contiguous last axis: NumPy then sums pairwise, with an error that grows like log n.
        rows = np.ascontiguousarray(array.transpose(others + axes)).reshape((*rest, -1))
        wide = np.float64 if array.dtype.kind == "f" else array.dtype
        array = rows.sum(-1, dtype=wide).astype(array.dtype)
    return np.ascontiguousarray(array).reshape(kept + core)
