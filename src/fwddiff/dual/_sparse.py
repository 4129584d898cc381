"""Products with constant matrices of `scipy.sparse`.

SciPy makes an array of whatever a sparse matrix is multiplied by, unless that turns out to be an object of
its own kind: then `__rmatmul__` of that object is called. Objects that are no arrays say so by being made
into an array of one object, themselves; only where SciPy asks for a product.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np

_PRODUCTS = ("_matmul_dispatch", "_mul_dispatch")  # SciPy's functions that ask, by release


def is_sparse(x: Any) -> bool:
    """Whether `x` is a sparse array or matrix; without importing SciPy's."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(x)


def is_asked_by_sparse(caller: FrameType) -> bool:
    """Whether the function that makes an array is a product of SciPy's."""
    module = caller.f_globals.get("__name__", "")
    return caller.f_code.co_name in _PRODUCTS and module.startswith("scipy.sparse")


def as_one_object(x: Any) -> np.ndarray:
    """An array without axes whose only item is `x`."""
    result = np.empty((), object)
    result[()] = x
    return result
