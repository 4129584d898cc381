"""What SciPy makes of objects that are no arrays: products with constant sparse matrices, and mistakes.

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
    return caller.f_code.co_name in _PRODUCTS and _module(caller).startswith("scipy.sparse")


def as_one_object(x: Any) -> np.ndarray:
    """An array without axes whose only item is `x`."""
    result = np.empty((), object)
    result[()] = x
    return result


def loss(caller: FrameType) -> str:
    """What goes lost where a function of SciPy's makes plain arrays, and what to do; "" for other callers."""
    while _module(caller).startswith(("numpy.", "scipy._lib.")) and caller.f_back is not None:
        caller = caller.f_back
    module = _module(caller)
    if module.startswith("scipy.stats"):
        return (
            "scipy.stats makes plain arrays of its arguments here, which would lose their derivatives. Name "
            "functions of distributions with all parameters, as in scipy.stats.norm.logpdf(x, mean, "
            "deviation), not of a distribution made with its parameters; or use fwddiff.stats."
        )
    if module.startswith("scipy."):
        package, name = ".".join(module.split(".")[:2]), caller.f_code.co_name
        return (
            f"A function of {package} (in `{name}`) makes plain arrays of its arguments, which would lose "
            "their derivatives. Write its formula, hand a solver to fd.implicit, or give it a "
            "fd.custom_rule."
        )
    return ""


def _module(caller: FrameType) -> str:
    return caller.f_globals.get("__name__") or ""
