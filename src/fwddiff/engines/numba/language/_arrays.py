"""Arrays as arguments and results of a core function, and the memory of those that a function makes.

Numba's run time keeps a description of each allocation apart from its data; here both are one, a pointer
that `fwddiff.allocate` gives, so that data pointers are never read from memory and differentiation can follow
them.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from fwddiff._native.internals import NRTContext, arrayobj, cgutils, numpy_support
from fwddiff._rule import Slot
from fwddiff.engines.numba.frontend.inner import is_ours
from fwddiff.engines.numba.ssa.code import Refused
from fwddiff.engines.numba.ssa.function import SHAPE_MISMATCH
from numba import types

_INT32, _INT64, _POINTER = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
_COUNTING = {"NRT_incref": "fwddiff.retain", "NRT_decref": "fwddiff.release"}


def array_type(slot: Slot) -> types.Array:
    """As the compiled function sees an argument: floats are float64, other numbers what they are."""
    element = types.float64 if slot.dtype.kind == "f" else numpy_support.from_dtype(slot.dtype)
    return types.Array(element, slot.core_ndim, "C", readonly=True)


def array_of(context: Any, builder: Any, kind: types.Array, data: Any, extents: Sequence[Any]) -> Any:
    """A C-contiguous array over memory that is not its own."""
    array = arrayobj.make_array(kind)(context, builder)
    item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides = [item]
    for extent in reversed(extents[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    arrayobj.populate_array(
        array,
        data=builder.bitcast(data, array.data.type),
        shape=extents,
        strides=strides,
        itemsize=item,
        meminfo=None,
    )
    return array._getvalue()


def write(
    context: Any,
    builder: Any,
    kind: types.Array,
    value: Any,
    place: Any,
    extents: Sequence[Any],
    convert,
    leave,
) -> None:
    """Copy an array to where the caller wants it; `convert(element) → element there`. The core returns where
    the extents are others than the caller says, and does `leave()` before."""
    array = arrayobj.make_array(kind)(context, builder, value)
    shape = cgutils.unpack_tuple(builder, array.shape, kind.ndim)
    for own, wanted in zip(shape, extents, strict=True):
        with builder.if_then(builder.icmp_signed("!=", own, wanted), likely=False):
            leave()
            builder.ret(_INT32(SHAPE_MISMATCH))
    if kind.layout == "C" and kind.dtype == types.float64:
        target = builder.bitcast(place, array.data.type)
        cgutils.raw_memcpy(builder, target, array.data, array.nitems, array.itemsize)
        return
    strides = cgutils.unpack_tuple(builder, array.strides, kind.ndim)
    with cgutils.loop_nest(builder, shape, _INT64) as indices:
        source = cgutils.get_item_pointer2(
            context, builder, array.data, shape, strides, kind.layout, indices, wraparound=False
        )
        element = convert(arrayobj.load_item(context, builder, kind, source))
        position = _INT64(0)
        for index, extent in zip(indices, shape, strict=True):
            position = builder.add(builder.mul(position, extent), index)
        target = builder.gep(builder.bitcast(place, element.type.as_pointer()), [position])
        builder.store(element, target)


class Memory(NRTContext):
    """What the target's functions take their memory from."""

    def borrowed(self, builder: Any, name: str, size: Any) -> Any:
        """Memory of one of the kernel's buffers."""
        return self._allocated(builder, size, name)

    def _allocated(self, builder: Any, size: Any, name: str = "fwddiff.allocate") -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_POINTER, [_INT64]), name)
        function.return_value.add_attribute("noalias")
        found = builder.call(function, [size])
        cgutils.guard_memory_error(self._context, builder, found, msg="")
        return found

    def allocate(self, builder: Any, size: Any) -> Any:
        return self._allocated(builder, size)

    def free(self, builder: Any, ptr: Any) -> None:
        self._count(builder, "NRT_decref", ptr)

    def meminfo_alloc(self, builder: Any, size: Any) -> Any:
        return self._allocated(builder, size)

    def meminfo_alloc_aligned(self, builder: Any, size: Any, align: Any) -> Any:
        return self._allocated(builder, size)

    def meminfo_data(self, builder: Any, meminfo: Any) -> Any:
        return meminfo

    def _call_incref_decref(self, builder: Any, typ: Any, value: Any, funcname: str) -> None:
        for _, meminfo in self.get_meminfos(builder, typ, value):
            self._count(builder, funcname, meminfo)

    def _count(self, builder: Any, name: str, pointer: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [_POINTER])
        function = cgutils.get_or_insert_function(builder.module, kind, _COUNTING[name])
        builder.call(function, [builder.bitcast(pointer, _POINTER)])

    def _refuse(self, *arguments: Any, **options: Any) -> Any:
        raise Refused("it makes something other than numbers and arrays")

    allocate_unchecked = meminfo_alloc_unchecked = meminfo_alloc_dtor = _refuse
    meminfo_alloc_dtor_unchecked = meminfo_alloc_aligned_unchecked = meminfo_new_varsize = _refuse
    meminfo_new_varsize_unchecked = meminfo_new_varsize_dtor = meminfo_new_varsize_dtor_unchecked = _refuse
    meminfo_varsize_alloc = meminfo_varsize_alloc_unchecked = meminfo_varsize_realloc = _refuse
    meminfo_varsize_realloc_unchecked = meminfo_varsize_free = get_nrt_api = _refuse


def _reshape(
    context: Any, builder: Any, kind: types.Array, array: Any, ndim: Any, shape: Any, strides: Any
) -> Any:
    """Numba asks a function in C for the strides of an array of another shape over the same memory. For our
    target they are written down: those of contiguous memory."""
    if context.target_name != "fwddiff":
        return _of_numba(context, builder, kind, array, ndim, shape, strides)
    if kind.layout != "C":
        raise Refused("it gives another shape to a view")
    step = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    for axis in reversed(range(strides.type.pointee.count)):
        builder.store(step, cgutils.gep_inbounds(builder, strides, 0, axis))
        step = builder.mul(step, builder.load(cgutils.gep_inbounds(builder, shape, 0, axis)))
    return context.get_constant(types.int32, 1)


_of_numba = arrayobj._attempt_nocopy_reshape
arrayobj._attempt_nocopy_reshape = _reshape


def _pointer_add(builder: Any, pointer: Any, offset: Any, return_type: Any = None) -> Any:
    """A pointer so many bytes further on. Some versions of Numba (0.65) make a number of it on the way, which
    nobody can follow; for our functions it stays a pointer."""
    if not is_ours():
        return _added_by_numba(builder, pointer, offset, return_type)
    step = _INT64(offset) if isinstance(offset, int) else offset
    moved = builder.gep(builder.bitcast(pointer, _POINTER), [step])
    return builder.bitcast(moved, return_type or pointer.type)


_added_by_numba = cgutils.pointer_add
cgutils.pointer_add = _pointer_add
