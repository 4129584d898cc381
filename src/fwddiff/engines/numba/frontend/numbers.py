"""Numbers and arrays of them, as the typing of kernels sees them: floats are float64, whatever the arguments
are (`ssa.narrow` finds the precision), and differentiable wherever they are floats."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import math

import numpy as np

from fwddiff.engines.numba.frontend.options import overload
from numba import types
from numba.extending import intrinsic, lower_cast


def is_number(kind: types.Type) -> bool:
    return isinstance(kind, types.Float | types.Integer | types.Boolean)


def element_type(kind: types.Type) -> types.Type:
    """Element type of an array type, or the type itself."""
    return kind.dtype if isinstance(kind, types.Array) else kind


@intrinsic
def to_float(typing_context, number):
    """An integer or a bool as the float that it becomes among floats."""

    def codegen(context, builder, signature, arguments):
        return context.cast(builder, arguments[0], number, types.float64)

    return types.float64(number), codegen


@lower_cast(types.IntEnumMember, types.Float)
def _member_to_float(context, builder, source, target, value):
    return context.cast(builder, value, source.dtype, target)


# --- what user code names, and Numba would compile to something else ----------------------------------------


def where(condition, a, b):
    """`np.where`: Numba's own makes an array without axes of numbers."""
    return np.where(condition, a, b)


def to_float64(x):
    """`np.float64(x)`, after which x counts as of double precision."""
    return np.float64(x)


def to_float32(x):
    """`np.float32(x)`."""
    return np.float32(x)


@overload(where)
def _where(condition, a, b):
    if all(map(is_number, (condition, a, b))):
        return lambda condition, a, b: a if condition else b
    return lambda condition, a, b: np.where(condition, a, b)


@overload(np.clip)
def _clip(a, a_min, a_max):
    if all(map(is_number, (a, a_min, a_max))):  # Numba's own is for arrays alone
        return lambda a, a_min, a_max: min(max(a, a_min), a_max)
    return None


@overload(math.log)
def _log_to_base(x, base):
    return (lambda x, base: math.log(x) / math.log(base)) if is_number(x) and is_number(base) else None
