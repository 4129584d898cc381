"""A user's `DiffCache` in compiled code: `fd.get_tmp(cache, x)` is the array that the cache's value holds.

The array is made where an evaluation begins: on plain numbers as `language._buffers` says, here of duals with
room for what all leaves carry.
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from fwddiff._buffers import DiffCache, get_tmp
from fwddiff._errors import CompileError
from fwddiff.engines.numba.arrays import element_type
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import is_dual, join
from numba.core import cgutils, types
from numba.extending import intrinsic, make_attribute_wrapper, models, register_model
from numba.np import arrayobj

_INT64 = ir.IntType(64)


class CacheType(types.Type):
    """A cache whose buffer has this shape and dtype, and starts with this number; `number` tells caches
    apart."""

    def __init__(self, cache: DiffCache, number: int, dtype: types.Type = types.float64):
        self.shape, self.start, self.number = cache.array.shape, cache.start, number
        self.array = types.Array(dtype, len(self.shape), "C")
        super().__init__(f"DiffCache({self.shape}, {self.start!r}, {number}, {dtype})")


@register_model(CacheType)
class _Model(models.StructModel):
    def __init__(self, manager: Any, kind: CacheType):
        super().__init__(manager, kind, [("buffer", kind.array)])


make_attribute_wrapper(CacheType, "buffer", "_buffer")


@overload(get_tmp)
def _get_tmp(cache, x):
    return (lambda cache, x: cache._buffer) if isinstance(cache, CacheType) else None


def number_of(cache: DiffCache, statics: Mapping[int, Any]) -> int:
    """The first leaf that this cache is."""
    return min(k for k, static in statics.items() if static is cache)


def has_compiled_form(cache: DiffCache, float_dtype: np.dtype) -> bool:
    """Floats of a kernel have the precision of its arguments; a buffer of less would round, and does so in
    Python."""
    return cache.array.ndim > 0 and cache.array.dtype.itemsize >= float_dtype.itemsize


def cache_value(context: Any, builder: Any, kind: CacheType, array: Any) -> Any:
    """The cache that holds this array."""
    cache = cgutils.create_struct_proxy(kind)(context, builder)
    cache.buffer = array
    return cache._getvalue()


def maker(cache: DiffCache, number: int, float_dtype: np.dtype) -> Callable:
    """Intrinsic `tuple of leaves → cache` with a new buffer that has room for the partials of all leaves."""

    @intrinsic
    def made(typing_context, leaves):
        if not has_compiled_form(cache, float_dtype):
            raise CompileError(
                f"{cache!r} has no compiled form for arguments of {float_dtype}: kernels compute in the "
                "precision of the arguments. Give the buffer that dtype and an axis, or use engine='numpy'."
            )
        kind = CacheType(cache, number, _room(leaves.types))

        def codegen(context, builder, signature, arguments):
            shape = [_INT64(n) for n in kind.shape]
            array = arrayobj._empty_nd_impl(context, builder, kind.array, shape)
            _fill(context, builder, kind, array)
            return cache_value(context, builder, kind, array._getvalue())

        return kind(leaves), codegen

    return made


def _room(kinds: Sequence[types.Type]) -> types.Type:
    duals = [kind for kind in map(element_type, kinds) if is_dual(kind)]
    return join(*duals) if duals else types.float64


def _fill(context: Any, builder: Any, kind: CacheType, array: Any) -> None:
    dtype = kind.array.dtype
    start = context.get_constant(types.float64, kind.start)
    start = context.cast(builder, start, types.float64, dtype)
    with cgutils.for_range(builder, array.nitems) as loop:
        context.pack_value(builder, dtype, start, builder.gep(array.data, [loop.index]))
