"""What the user's function raises: kernels tell that an element raised, and the function says what, in
Python.

The element is found by halving: the kernel runs again on half of an axis, and on half of the half that
raises.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from fwddiff._errors import FwdDiffError
from fwddiff._native.arrays import address


def raise_what_failed(rule: Any, key: tuple, addresses: Sequence[int]) -> NoReturn:
    """Raise the user's exception for a launch `key` (see `NumbaRule.launcher`) at these addresses."""
    batch_ndim, *operands = key
    arrays = [
        _array_at(place, shape, strides, slot.dtype)
        for place, (shape, strides), slot in zip(addresses, operands, rule.inputs, strict=False)
    ]
    loop = rule.loop_shape([array.shape for array in arrays], batch_ndim)
    for axis, extent in enumerate(loop):
        place = axis if axis < batch_ndim else axis - len(loop)
        arrays = _halved(rule, arrays, batch_ndim, place, extent)
    rule.fail([_element(array, slot) for array, slot in zip(arrays, rule.inputs, strict=True)])
    raise FwdDiffError(f"{rule.name} raised an exception in its kernel, but not in Python.")


def _array_at(place: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """A view of memory: strides may be negative, so it begins where the lowest element lies."""
    reach = [(extent - 1) * stride for extent, stride in zip(shape, strides, strict=True)]
    below = sum(r for r in reach if r < 0)
    size = sum(r for r in reach if r > 0) - below + dtype.itemsize
    memory = (ctypes.c_char * size).from_address(place + below)
    return np.ndarray(shape, dtype, memoryview(memory), -below, strides)


def _halved(rule: Any, arrays: list[np.ndarray], batch_ndim: int, axis: int, extent: int) -> list[np.ndarray]:
    """The arrays cut to one position of a loop axis at which the function raises. Batch axes are counted from
    the front, others from the end."""
    while extent > 1:
        half = extent // 2
        parts = slice(half), slice(half, None)
        first, second = (_cut(rule, arrays, batch_ndim, axis, part) for part in parts)
        arrays, extent = (second, extent - half) if _succeeds(rule, first, batch_ndim) else (first, half)
    return arrays


def _cut(
    rule: Any, arrays: Sequence[np.ndarray], batch_ndim: int, axis: int, part: slice
) -> list[np.ndarray]:
    found = []
    for array, slot in zip(arrays, rule.inputs, strict=True):
        place = axis if axis >= 0 else array.ndim - slot.core_ndim + axis
        is_there = axis >= 0 or place >= batch_ndim
        if is_there and array.shape[place] > 1:
            array = array[(slice(None),) * place + (part,)]
        found.append(array)
    return found


def _succeeds(rule: Any, arrays: Sequence[np.ndarray], batch_ndim: int) -> bool:
    launch = rule.launcher((batch_ndim, *[(array.shape, array.strides) for array in arrays]))
    outputs = [np.empty(shape, dtype) for shape, dtype in launch.outputs]
    return launch.succeeds(*map(address, arrays), *map(address, outputs))


def _element(array: np.ndarray, slot: Any) -> np.ndarray:
    return np.reshape(array, array.shape[array.ndim - slot.core_ndim :])
