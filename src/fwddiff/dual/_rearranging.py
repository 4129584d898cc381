"""NumPy's functions that choose, place and join elements of arrays by the values or indices of others."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff.dual._chain import missing, where
from fwddiff.dual._parts import Operand, is_constant, map_parts, strip
from fwddiff.dual._shapes import Handler, as_floating

# Modes of `numpy.pad` that are linear in the array.
_LINEAR_PADDING = ("edge", "reflect", "symmetric", "wrap")


def _partitioned(a: Operand, kth: Any, axis: int | None = -1, **options: Any) -> Operand:
    a, axis = (np.ravel(a), 0) if axis is None else (a, axis)
    return np.take_along_axis(a, np.argpartition(strip(a), kth, axis, **options), axis)


def _unique(ar: Operand, return_index: bool = False, **options: Any) -> Any:
    if options.get("axis") is not None:
        raise missing(np.unique)
    flat = np.ravel(ar)
    _, index, *others = np.unique(strip(flat), return_index=True, **options)
    others = [index, *others] if return_index else others
    return (flat[index], *others) if others else flat[index]


def _numbers_for_nan(x: Operand, copy: bool = True, **options: Any) -> Operand:
    plain = strip(x)
    return where(np.isfinite(plain), x, np.nan_to_num(plain, **options))


def _chosen(a: Any, choices: Sequence[Operand], mode: Any = "raise", **options: Any) -> Operand:
    """`numpy.choose`: for each element the number of the array to take it from."""
    indices = np.choose(strip(a), list(range(len(choices))), mode=mode)
    result = as_floating(choices[0])
    for k, choice in enumerate(choices):
        result = where(indices == k, as_floating(choice), result)
    return result


def _piecewise(
    x: Operand, condlist: Any, funclist: Sequence[Any], *arguments: Any, **options: Any
) -> Operand:
    """`numpy.piecewise`: each function sees the elements that are its own."""
    conditions = [np.asarray(strip(c)) for c in condlist]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~functools.reduce(np.logical_or, conditions))
    result = np.zeros_like(x)
    for condition, function in zip(conditions, funclist, strict=True):
        of_these = x[condition]
        result[condition] = function(of_these, *arguments, **options) if callable(function) else function
    return result


def _padded(array: Operand, pad_width: Any, mode: Any = "constant", **options: Any) -> Operand:
    if mode in _LINEAR_PADDING and options.get("reflect_type", "even") == "even":
        return map_parts(lambda part: np.pad(part, pad_width, mode), array)
    if mode != "constant" or not is_constant(options.get("constant_values", 0)):
        raise missing(np.pad)
    options = {name: strip(x) for name, x in options.items()}
    frame = np.pad(np.zeros(np.shape(strip(array))), pad_width, "constant", **options)
    inside = np.pad(np.ones(np.shape(strip(array)), bool), pad_width)
    return where(inside, map_parts(lambda part: np.pad(part, pad_width), array), frame)


def _grids(
    *xi: Operand, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Operand, ...]:
    sizes = tuple(np.size(strip(x)) for x in xi)
    order = [1, 0, *range(2, len(xi))] if indexing == "xy" and len(xi) > 1 else [*range(len(xi))]
    found = []
    for k, x in enumerate(xi):
        grid = np.reshape(as_floating(x), [-1 if place == k else 1 for place in order])
        found.append(grid if sparse else np.broadcast_to(grid, [sizes[place] for place in order]))
    return tuple(found)


def _inserted(arr: Operand, obj: Any, values: Operand, axis: int | None = None) -> Operand:
    if axis is not None and np.ndim(strip(arr)) != 1:
        raise missing(np.insert)
    flat, new = np.ravel(as_floating(arr)), np.ravel(as_floating(values))
    size, count = np.size(strip(flat)), np.size(strip(new))
    places = np.insert(np.arange(size), obj, size + np.arange(count) if count > 1 else size)
    return np.concatenate([flat, new])[places]


def _joined_blocks(arrays: Any) -> Operand:
    def depth(block: Any) -> int:
        return 1 + max(map(depth, block)) if isinstance(block, list) else 0

    def joined(block: Any, axis: int) -> Operand:
        if not isinstance(block, list):
            return _at_least(as_floating(block), depth(arrays))
        return np.concatenate([joined(inner, axis + 1) for inner in block], axis=axis)

    return joined(arrays, -depth(arrays))


def _at_least(x: Operand, axes: int) -> Operand:
    shape = np.shape(strip(x))
    return np.reshape(x, (1,) * max(0, axes - len(shape)) + shape)


def _differences(ary: Operand, to_end: Any = None, to_begin: Any = None) -> Operand:
    parts = [to_begin, np.diff(np.ravel(ary)), to_end]
    return np.concatenate([np.ravel(as_floating(part)) for part in parts if part is not None])


def _slopes(f: Operand, *spacing: Any, **options: Any) -> Any:
    """`numpy.gradient`, linear in the array."""
    if not all(map(is_constant, spacing)):
        raise missing(np.gradient)
    spacing = tuple(map(strip, spacing))
    found = np.gradient(strip(f), *spacing, **options)
    if isinstance(found, np.ndarray):
        return map_parts(lambda part: np.gradient(part, *spacing, **options), f)
    axes = range(len(found))
    return tuple(map_parts(lambda part, k=k: np.gradient(part, *spacing, **options)[k], f) for k in axes)


def _compressed(condition: Any, a: Operand, axis: int | None = None, **options: Any) -> Operand:
    return map_parts(lambda part: np.compress(strip(condition), part, axis), a)


def _extracted(condition: Any, arr: Operand) -> Operand:
    return map_parts(lambda part: np.extract(strip(condition), part), arr)


def _counted(x: Any, weights: Operand = None, minlength: int = 0) -> Operand:
    return map_parts(lambda part: np.bincount(x, part, minlength), weights)


def _correlated(a: Operand, v: Operand, mode: Any = "valid") -> Operand:
    return np.convolve(a, as_floating(v)[::-1], mode)


def _unwrapped(p: Operand, *arguments: Any, **options: Any) -> Operand:
    plain = strip(p)
    return p + (np.unwrap(plain, *arguments, **options) - plain)


def _sorting(keys: Any, axis: int = -1) -> Any:
    return np.lexsort([strip(key) for key in keys], axis)


def rearranging_handlers() -> dict[Any, Handler]:
    """NumPy function → its form on duals."""
    found: dict[Any, Handler] = {np.partition: _partitioned, np.unique: _unique, np.choose: _chosen}
    found |= {np.nan_to_num: _numbers_for_nan, np.piecewise: _piecewise, np.pad: _padded}
    found |= {np.meshgrid: _grids, np.insert: _inserted, np.block: _joined_blocks, np.ediff1d: _differences}
    found |= {np.gradient: _slopes, np.compress: _compressed, np.extract: _extracted}
    found |= {np.bincount: _counted, np.correlate: _correlated, np.unwrap: _unwrapped, np.lexsort: _sorting}
    return found
