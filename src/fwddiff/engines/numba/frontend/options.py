"""Compiler options of functions that only other kernels call: no wrappers for Python, checks where Python
raises.

Division of floats is IEEE's, as in every host's arrays: a test at each division would keep loops from being
vectorised. Integers have no infinity, so their division by zero raises, and so does an index out of bounds.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportArgumentType=false

from __future__ import annotations

from typing import Any

import numba.extending
from fwddiff._native.internals import callconv, templates
from fwddiff.engines.numba.frontend.inner import InnerCompiler, is_ours


class _Errors(callconv.NumpyErrorModel):
    """Numba's models raise for floats and integers alike, or for neither; its messages tell them apart."""

    def fp_zero_division(self, builder: Any, exc_args: Any = None, loc: Any = None) -> bool:
        if not exc_args or not exc_args[0].startswith("integer"):
            return False
        self.call_conv.return_user_exc(builder, ZeroDivisionError, exc_args, loc)
        return True


# Private: Numba has no function to add an error model.
callconv.error_models["fwddiff"] = _Errors

_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": InnerCompiler}
INTERNAL = {"error_model": "fwddiff", "nogil": True, "boundscheck": True, **_INNER}
# A loop with a call in it is not vectorised, and LLVM leaves calls of functions with many partials alone.
INLINED = {**INTERNAL, "forceinline": True}


def overload(function, **options):
    """Numba's `overload` for fwddiff's own compilations alone.

    A user's `@njit` function would else compile, or fail, by what a library that it never asked has taught
    Numba. Implementations are compiled without wrappers for Python: half of the compile time of a small
    function.
    """

    def decorate(typer):
        numba.extending.overload(function, jit_options=_INNER, **options)(typer)
        template: Any = templates.builtin_registry.functions[-1]
        general = template.generic
        # Not in the typer, whose answers Numba keeps.
        template.generic = lambda self, args, kws: general(self, args, kws) if is_ours() else None
        return typer

    return decorate
