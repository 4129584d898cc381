"""Small arrays in kernels: views of operands, arrays of duals, and NumPy on them.

An operand of floats is seen by user code as a read-only array of layerless duals: the same bytes, a strong
dtype. Writing to an argument is then a typing error, which becomes our message.
"""

from __future__ import annotations

from llvmlite import ir

from fwddiff.engines.numba.types import is_dual
from numba.core import types
from numba.extending import intrinsic
from numba.np import arrayobj


def DualArrayType(dtype: types.Type, ndim: int) -> types.Array:
    """Type of an array argument inside the user's function."""
    return types.Array(dtype, ndim, "C", readonly=True)


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


def empty_block_of(dtype: types.Type):
    """Intrinsic `(y, x) → new C-contiguous array of this dtype` with the axes of y, then those of x."""

    @intrinsic
    def empty(typing_context, y, x):
        kinds = [kind for kind in (y, x) if isinstance(kind, types.Array)]
        result = types.Array(dtype, sum(kind.ndim for kind in kinds), "C")

        def codegen(context, builder, signature, arguments):
            shapes = []
            for kind, argument in zip((y, x), arguments, strict=True):
                if isinstance(kind, types.Array):
                    source = arrayobj.make_array(kind)(context, builder, argument)
                    shapes += [builder.extract_value(source.shape, k) for k in range(kind.ndim)]
            return arrayobj._empty_nd_impl(context, builder, result, shapes)._getvalue()

        return result(y, x), codegen

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


def view_of(dtype: types.Type, ndim: int, readonly: bool = True):
    """Intrinsic `(address, shape tuple) → C-contiguous array over that memory`, not owned."""

    @intrinsic
    def view(typing_context, address, shape):
        result = types.Array(dtype, ndim, "C", readonly=readonly)

        def codegen(context, builder, signature, arguments):
            array = arrayobj.make_array(result)(context, builder)
            dims = [builder.extract_value(arguments[1], k) for k in range(ndim)]
            item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(dtype)))
            strides = [item]
            for extent in reversed(dims[1:]):
                strides.insert(0, builder.mul(strides[0], extent))
            data = builder.inttoptr(arguments[0], array.data.type)
            arrayobj.populate_array(
                array, data=data, shape=dims, strides=strides, itemsize=item, meminfo=None
            )
            return array._getvalue()

        return result(address, shape), codegen

    return view


@intrinsic
def load_int64(typing_context, address, index):
    """The int64 number `index` of the table at `address`."""

    def codegen(context, builder, signature, arguments):
        base = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load(builder.gep(base, [arguments[1]]))

    return types.int64(types.int64, types.int64), codegen


def element_type(kind):
    """Element type of an array type, or the type itself."""
    return kind.dtype if isinstance(kind, types.Array) else kind


def is_dual_array(kind) -> bool:
    return isinstance(kind, types.Array) and is_dual(kind.dtype)


@intrinsic
def store_int64(typing_context, address, index, number):
    """Write the int64 number `index` of the table at `address`."""

    def codegen(context, builder, signature, arguments):
        base = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        builder.store(arguments[2], builder.gep(base, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen
