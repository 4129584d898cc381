"""A user's `DiffCache` in compiled code: memory of the function's own, taken where an evaluation begins.

`fd.get_tmp(cache, x)` is an array over it, of doubles. What differentiates the function gives it shadows as it
does any array that the function makes. One cache has one memory, by whatever names it is reached.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir

from fwddiff._buffers import DiffCache, get_tmp
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.ssa.code import Refused
from numba.core import cgutils, types
from numba.extending import make_attribute_wrapper, models, register_model
from numba.np import arrayobj

_DOUBLE, _INT64 = ir.DoubleType(), ir.IntType(64)
_MOST_UNROLLED = 16
_BYTES = 8


class CacheType(types.Type):
    """A cache of this shape, whose buffer starts with this number; `number` tells caches apart."""

    def __init__(self, shape: tuple[int, ...], start: float, number: int):
        self.shape, self.start, self.number = shape, start, number
        self.array = types.Array(types.float64, len(shape), "C")
        super().__init__(f"DiffCache({shape}, {start!r}, {number})")


@register_model(CacheType)
class _Model(models.StructModel):
    def __init__(self, manager: Any, kind: CacheType):
        super().__init__(manager, kind, [("buffer", kind.array)])


make_attribute_wrapper(CacheType, "buffer", "_buffer")


@overload(get_tmp)
def _get_tmp(cache, x):
    return (lambda cache, x: cache._buffer) if isinstance(cache, CacheType) else None


def cache_type(cache: DiffCache, leaf: int, statics: Mapping[int, Any], float_dtype: np.dtype) -> CacheType:
    """Of the cache that is this leaf: numbered by the first leaf that it is."""
    if cache.array.dtype.itemsize < float_dtype.itemsize:
        raise Refused("it makes arrays of single precision")
    if not cache.array.ndim:
        raise Refused("a buffer is a number")
    number = min(k for k, static in statics.items() if static is cache)
    return CacheType(cache.array.shape, cache.start, min(number, leaf))


class Made:
    """The memory of all caches of one core function."""

    def __init__(self, context: Any, builder: Any):
        self.context, self.builder = context, builder
        self._of: dict[CacheType, Any] = {}

    def value(self, kind: CacheType) -> Any:
        """The cache as the compiled function gets it."""
        if kind not in self._of:
            self._of[kind] = self._made(kind)
        return self._of[kind]

    def release(self) -> None:
        for kind, value in self._of.items():
            self.context.nrt.decref(self.builder, kind, value)

    def _made(self, kind: CacheType) -> Any:
        context, builder = self.context, self.builder
        count = int(np.prod(kind.shape))
        memory = context.nrt.meminfo_alloc(builder, _INT64(max(count, 1) * _BYTES))
        data = builder.bitcast(memory, _DOUBLE.as_pointer())
        self._start(data, count, kind.start)
        array = arrayobj.make_array(kind.array)(context, builder)
        steps = [_BYTES * int(np.prod(kind.shape[k + 1 :])) for k in range(len(kind.shape))]
        arrayobj.populate_array(
            array,
            data=data,
            shape=[_INT64(n) for n in kind.shape],
            strides=[_INT64(n) for n in steps],
            itemsize=_INT64(_BYTES),
            meminfo=memory,
        )
        cache = cgutils.create_struct_proxy(kind)(context, builder)
        cache.buffer = array._getvalue()
        return cache._getvalue()

    def _start(self, data: Any, count: int, number: float) -> None:
        builder = self.builder
        if count <= _MOST_UNROLLED:
            for k in range(count):
                builder.store(_DOUBLE(number), builder.gep(data, [_INT64(k)]))
        elif number == 0.0 and not np.signbit(number):
            cgutils.memset(builder, data, _INT64(count * _BYTES), 0)
        else:
            with cgutils.for_range(builder, _INT64(count)) as loop:
                builder.store(_DOUBLE(number), builder.gep(data, [loop.index]))
