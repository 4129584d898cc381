"""A user's `DiffCache` in compiled code: `fd.get_tmp(cache, x)` is the array that the cache's value holds.

`language._buffers` makes the array, where an evaluation begins.
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fwddiff._buffers import DiffCache, get_tmp
from fwddiff._native.internals import cgutils
from fwddiff.engines.numba.frontend.options import overload
from numba import types
from numba.extending import make_attribute_wrapper, models, register_model


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
