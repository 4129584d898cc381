"""What the overloads of this folder ask about their arguments, and arrays for their results."""

from __future__ import annotations

import functools

from fwddiff._native.internals import arrayobj
from fwddiff.engines.numba.frontend.numbers import element_type, is_number
from fwddiff.engines.numba.frontend.options import overload
from numba import types
from numba.extending import intrinsic

# Numba asks overloads of a more specific target first: some of NumPy's raise instead of passing on.
array_overload = functools.partial(overload, target="cpu")


def is_smooth(kind) -> bool:
    """Whether numbers of this type may have derivatives."""
    return isinstance(kind, types.Float)


def is_smooth_array(kind) -> bool:
    return isinstance(kind, types.Array) and is_smooth(kind.dtype)


def involves_smooth_array(*kinds) -> bool:
    """Whether all are numbers or arrays of them, with an array and what may have derivatives; `None` is
    ignored."""
    kinds = tuple(kind for kind in kinds if not is_none(kind))
    elements = [element_type(kind) for kind in kinds]
    return (
        any(isinstance(kind, types.Array) for kind in kinds)
        and any(map(is_smooth, elements))
        and all(map(is_number, elements))
    )


def is_none(kind) -> bool:
    """Whether an optional argument is absent."""
    return kind is None or isinstance(kind, types.NoneType) or getattr(kind, "value", 0) is None


def known(option):
    """The value of an option that is known when it is compiled, else its type."""
    option = option.value if isinstance(option, types.Omitted) else option
    return option.literal_value if isinstance(option, types.Literal) else option


def new_array(dtype: types.Type):
    """Intrinsic `shape tuple → new C-contiguous array of this dtype`, not initialised."""

    @intrinsic
    def new(typing_context, shape):
        result = types.Array(dtype, len(shape), "C")

        def codegen(context, builder, signature, arguments):
            extents = [builder.extract_value(arguments[0], k) for k in range(len(shape))]
            return arrayobj._empty_nd_impl(context, builder, result, extents)._getvalue()

        return result(shape), codegen

    return new
