"""Addresses of NumPy's arrays."""

from __future__ import annotations

import ctypes

import numpy as np

# NumPy's array structure starts like every Python object; then follows the address of its data.
DATA = object.__basicsize__


def address(array: np.ndarray) -> int:
    """Address of an array's first element, in a fifth of the time that `array.ctypes.data` takes."""
    return ctypes.c_ssize_t.from_address(id(array) + DATA).value
