"""A user's `DiffCache` on plain numbers: memory of the core function's own, taken where it begins.

`fd.get_tmp(cache, x)` is an array of doubles over it. What differentiates the function gives it shadows as it
does any array that the function makes. One cache has one memory, by whatever names it is reached.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir

from fwddiff._buffers import DiffCache
from fwddiff._errors import CompileError
from fwddiff._native.internals import arrayobj, cgutils
from fwddiff.engines.numba.frontend.buffers import CacheType, cache_value, has_compiled_form, number_of
from fwddiff.engines.numba.language._frugal import LARGEST_ON_STACK
from fwddiff.engines.numba.language._opaque import PREFIX, call_opaque
from fwddiff.engines.numba.ssa.functions import BORROW, GIVE

_DOUBLE, _INT64 = ir.DoubleType(), ir.IntType(64)
_MOST_UNROLLED = 16
_BYTES = 8


def cache_type(cache: DiffCache, statics: Mapping[int, Any], float_dtype: np.dtype) -> CacheType:
    """Of one of these leaves."""
    if not has_compiled_form(cache, float_dtype):
        raise CompileError(
            f"{cache!r} has no compiled form for arguments of {float_dtype}: kernels compute in the "
            "precision of the arguments. Give the buffer that dtype and an axis, or use engine='numpy'."
        )
    return CacheType(cache, number_of(cache, statics))


class Made:
    """The memory of all caches of one core function."""

    def __init__(self, context: Any, builder: Any):
        self.context, self.builder = context, builder
        self._of: dict[CacheType, Any] = {}
        self._borrowed: dict[int, Any] = {}

    def value(self, kind: CacheType) -> Any:
        """The cache as the compiled function gets it."""
        if kind not in self._of:
            self._of[kind] = self._made(kind)
        return self._of[kind]

    def release(self) -> None:
        """Where an evaluation ends."""
        for kind, value in self._of.items():
            self.context.nrt.decref(self.builder, kind, value)
        for number, memory in self._borrowed.items():
            kind = ir.FunctionType(ir.VoidType(), [memory.type])
            give = cgutils.get_or_insert_function(self.builder.module, kind, f"{GIVE}{number}")
            self.builder.call(give, [memory])

    def _made(self, kind: CacheType) -> Any:
        context, builder = self.context, self.builder
        count = int(np.prod(kind.shape))
        size = _INT64(max(count, 1) * _BYTES)
        if count * _BYTES > LARGEST_ON_STACK:
            memory, counted = self._borrow(kind.number, size), None
        else:
            memory = counted = context.nrt.meminfo_alloc(builder, size)
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
            meminfo=counted,
        )
        return cache_value(context, builder, kind, array._getvalue())

    def _borrow(self, number: int, size: Any) -> Any:
        """Memory that the kernel keeps, and no reference is counted to."""
        memory = self.context.nrt.borrowed(self.builder, f"{BORROW}{number}", size)
        self._borrowed[number] = memory
        return memory

    def _start(self, data: Any, count: int, number: float) -> None:
        """Small buffers become values, if their elements are written one by one."""
        builder, start = self.builder, _DOUBLE(number)
        if np.isnan(number):  # LLVM would make nan of all sums with it, and their slopes would be gone
            start = call_opaque(builder, f"{PREFIX}constant", [start])
        if count <= _MOST_UNROLLED:
            for k in range(count):
                builder.store(start, builder.gep(data, [_INT64(k)]))
        elif number == 0.0 and not np.signbit(number):
            cgutils.memset(builder, data, _INT64(count * _BYTES), 0)
        else:
            with cgutils.for_range(builder, _INT64(count)) as loop:
                builder.store(start, builder.gep(data, [loop.index]))
