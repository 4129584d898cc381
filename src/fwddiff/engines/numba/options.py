"""Compiler options of functions that only other kernels call: no wrappers for Python, NumPy's division."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportArgumentType=false

from __future__ import annotations

import numba.extending

_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
INTERNAL = {"error_model": "numpy", "nogil": True, **_NO_WRAPPERS}
# A loop with a call in it is not vectorised, and LLVM leaves calls of functions with many partials alone.
INLINED = {**INTERNAL, "forceinline": True}


def overload(function, **options):
    """Numba's `overload`, compiled without wrappers for Python: half of the compile time of a small
    function."""
    return numba.extending.overload(function, jit_options=_NO_WRAPPERS, **options)
