"""NumPy arrays as operands of kernels."""

from __future__ import annotations

import numpy as np

from fwddiff._rule import Slot
from fwddiff.engines.numba.schedule import layout


def usable(array: np.ndarray, slot: Slot) -> np.ndarray:
    """The array itself if a kernel can read it: right dtype, aligned, core axes contiguous; else a copy."""
    if type(array) is not np.ndarray or array.dtype != slot.dtype or not array.flags.aligned:
        array = np.require(array, slot.dtype, ["ALIGNED"])
    if slot.core_ndim and not array.flags.c_contiguous:
        core = array.shape[array.ndim - slot.core_ndim :]
        if array.strides[array.ndim - slot.core_ndim :] != layout.contiguous_strides(core, array.itemsize):
            array = np.ascontiguousarray(array)
    return array
