"""Small arrays in kernels: new ones, and the same in another form."""

from __future__ import annotations

from fwddiff._native.internals import arrayobj
from numba import types
from numba.extending import intrinsic


def empty_like_of(dtype: types.Type):
    """Intrinsic `array → new C-contiguous array of this dtype and the same shape`."""

    @intrinsic
    def empty(typing_context, array):
        result = types.Array(dtype, array.ndim, "C")

        def codegen(context, builder, signature, arguments):
            source = arrayobj.make_array(array)(context, builder, arguments[0])
            shapes = [builder.extract_value(source.shape, k) for k in range(array.ndim)]
            return arrayobj._empty_nd_impl(context, builder, result, shapes)._getvalue()

        return result(array), codegen

    return empty


@intrinsic
def frozen(typing_context, array):
    """The same array, typed read-only."""
    result = array.copy(readonly=True)

    def codegen(context, builder, signature, arguments):
        if context.enable_nrt:
            context.nrt.incref(builder, array, arguments[0])
        return arguments[0]

    return result(array), codegen


@intrinsic
def flat(typing_context, array):
    """The elements on one axis: in place for a C-contiguous array, else copied.

    Numba's `ravel` does the same, and takes a tenth of a second to compile.
    """
    is_contiguous = array.layout == "C"
    result = array.copy(ndim=1, layout="C", readonly=is_contiguous and not array.mutable)

    def codegen(context, builder, signature, arguments):
        if not is_contiguous:
            return context.compile_internal(builder, lambda a: a.ravel(), signature, arguments)
        source = arrayobj.make_array(array)(context, builder, arguments[0])
        target = arrayobj.make_array(result)(context, builder)
        arrayobj.populate_array(
            target,
            data=source.data,
            shape=[source.nitems],
            strides=[source.itemsize],
            itemsize=source.itemsize,
            meminfo=source.meminfo,
            parent=source.parent,
        )
        if context.enable_nrt:
            context.nrt.incref(builder, array, arguments[0])
        return target._getvalue()

    return result(array), codegen
