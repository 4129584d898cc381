"""Dual numbers in Numba's type system: the type, its memory layout, its casts.

A dual carries one *layer* of partials for each derivative being taken, and in a layer only the partials of
the inputs that it depends on: these positions are part of the type. Structural zeros therefore cost nothing,
and `inf * 0` never arises from an input that does not matter. Types meet (in `+`, at the end of a branch,
around a loop) in their `join`.

    Dual(float64)                 a float of the user's: no layer. Unlike a bare float (a Python constant),
    its dtype is strong
    Dual(float64, 999:(0, 2))     value + partials 0 and 2 of the derivative at level 999
    layers at two levels          nested: the value and the partials of the highest level are duals of the
    lower levels

A higher level wraps outermost; it belongs to the derivative that is taken first (innermost).

Where types have met, and in arrays, a partial may be zero only because nothing on this way depends on the
input, and `inf * 0` does arise. A kernel that finds nan in its results is therefore run again on *exact*
duals (see `zeros`), in which such a zero is told from one that was computed.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import operator

from numba.core import cgutils, types
from numba.core.typeconv import Conversion
from numba.extending import box, intrinsic, lower_cast, models, overload_attribute, register_model

Layer = tuple[int, tuple[int, ...]]


class DualType(types.Type):
    """Numba type of a dual: floating `base` type and `layers` (level, positions), levels ascending; `exact`:
    a partial that is zero for want of dependence is stored as -0.0, a computed one never is."""

    def __init__(self, base: types.Float, layers: tuple[Layer, ...] = (), exact: bool = False):
        self.base = base
        self.layers = layers
        self.exact = exact and bool(layers)
        listing = "".join(f", {level}:{positions}" for level, positions in layers)
        super().__init__(name=f"Dual({base}{listing}{', exact' if self.exact else ''})")

    @property
    def key(self):
        return self.base, self.layers, self.exact

    @property
    def level(self) -> int:
        """Level of the outermost layer, -1 without one."""
        return self.layers[-1][0] if self.layers else -1

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of the outermost layer's partials."""
        return self.layers[-1][1] if self.layers else ()

    @property
    def value_type(self) -> types.Type:
        """Type of the value and of each partial of the outermost layer."""
        return DualType(self.base, self.layers[:-1], self.exact) if len(self.layers) > 1 else self.base

    @property
    def no_partial(self) -> float:
        """What stands for a partial of an input that the dual does not depend on."""
        return -0.0 if self.exact else 0.0

    def unify(self, context, other):
        if is_number(other):
            return self
        return join(self, other) if isinstance(other, DualType) else None

    def can_convert_from(self, context, other):
        if is_number(other):
            return Conversion.safe
        if isinstance(other, DualType) and join(self, other) == self:
            return Conversion.promote
        return None


def is_dual(numba_type) -> bool:
    return isinstance(numba_type, DualType)


def is_number(numba_type) -> bool:
    return isinstance(numba_type, types.Float | types.Integer | types.Boolean)


def join(*duals: types.Type) -> DualType:
    """The smallest dual type that holds all of these types; bare numbers are weak and add nothing (without
    duals, the type is float64)."""
    kinds = [t for t in duals if is_dual(t)]
    if not kinds:
        return types.float64  # pyright: ignore[reportReturnType]
    layers: dict[int, set[int]] = {}
    for dual in kinds:
        for level, positions in dual.layers:
            layers.setdefault(level, set()).update(positions)
    base = max((dual.base for dual in kinds), key=operator.attrgetter("bitwidth"))
    exact = any(dual.exact for dual in kinds)
    return DualType(base, tuple((level, tuple(sorted(layers[level]))) for level in sorted(layers)), exact)


@register_model(DualType)
class DualModel(models.StructModel):
    def __init__(self, manager, dual):
        members = [("value", dual.value_type)]
        if dual.layers:
            members.append(("partials", types.UniTuple(dual.value_type, len(dual.positions))))
        super().__init__(manager, dual, members)


# --- casts --------------------------------------------------------------------------------------------------


def build_dual(context, builder, dual, value, partials):
    """LLVM value of type `dual` from LLVM values of its value type (an empty list of partials: all zero)."""
    proxy = cgutils.create_struct_proxy(dual)(context, builder)
    proxy.value = value
    if dual.layers:
        inner = dual.value_type
        if not partials:
            partials = [no_partial(context, builder, dual)] * len(dual.positions)
        proxy.partials = context.make_tuple(builder, types.UniTuple(inner, len(partials)), partials)
    return proxy._getvalue()


def no_partial(context, builder, dual):
    """LLVM value of a partial of `dual` that is zero for want of dependence."""
    zero = context.get_constant(dual.base, dual.no_partial)
    return context.cast(builder, zero, dual.base, dual.value_type)


@lower_cast(types.Float, DualType)
@lower_cast(types.Integer, DualType)
@lower_cast(types.Boolean, DualType)
def cast_number(context, builder, source, target, number):
    if isinstance(source, types.Literal):
        number = context.cast(builder, number, source, source.literal_type)
        source = source.literal_type
    return build_dual(context, builder, target, context.cast(builder, number, source, target.value_type), [])


@lower_cast(DualType, DualType)
def cast_dual(context, builder, source, target, dual):
    if source == target:
        return dual
    inner = target.value_type
    if source.layers and source.level != target.level:
        # Of a lower level, so a constant of the target's outermost one.
        return build_dual(context, builder, target, context.cast(builder, dual, source, inner), [])
    proxy = cgutils.create_struct_proxy(source)(context, builder, dual)
    value = context.cast(builder, proxy.value, source.value_type, inner)
    if not source.layers:
        return build_dual(context, builder, target, value, [])
    zero = no_partial(context, builder, target)
    held = {
        position: context.cast(builder, builder.extract_value(proxy.partials, k), source.value_type, inner)
        for k, position in enumerate(source.positions)
    }
    return build_dual(
        context, builder, target, value, [held.get(position, zero) for position in target.positions]
    )


# --- the only other LLVM-level code: construction and field access ------------------------------------------


def constructor(dual: DualType):
    """Intrinsic `(value, partials tuple) → dual`, which casts every part to the dual's value type."""

    @intrinsic
    def construct(typing_context, value, partials):
        def codegen(context, builder, signature, arguments):
            inner = dual.value_type
            given = list(zip(cgutils.unpack_tuple(builder, arguments[1]), partials.types, strict=True))
            parts = [context.cast(builder, part, kind, inner) for part, kind in given]
            return build_dual(
                context, builder, dual, context.cast(builder, arguments[0], value, inner), parts
            )

        return dual(value, partials), codegen

    return construct


def converter(target: types.Type):
    """Intrinsic `number or dual → target` (a float type: the bare value; a dual type: the cast)."""

    @intrinsic
    def convert(typing_context, number):
        def codegen(context, builder, signature, arguments):
            (value,), kind = arguments, number
            while is_dual(kind) and not is_dual(target):
                value = cgutils.create_struct_proxy(kind)(context, builder, value).value
                kind = kind.value_type
            return context.cast(builder, value, kind, target)

        return target(number), codegen

    return convert


@intrinsic
def value_of(typing_context, dual):
    """Value of a dual's outermost layer."""

    def codegen(context, builder, signature, arguments):
        return cgutils.create_struct_proxy(dual)(context, builder, arguments[0]).value

    return dual.value_type(dual), codegen


@intrinsic
def partials_of(typing_context, dual):
    """Partials of a dual's outermost layer, in the order of `positions`."""

    def codegen(context, builder, signature, arguments):
        return cgutils.create_struct_proxy(dual)(context, builder, arguments[0]).partials

    return types.UniTuple(dual.value_type, len(dual.positions))(dual), codegen


@intrinsic
def strip_bottom(typing_context, x):
    """A dual without layers as a bare float; everything else as it is."""
    bottom = is_dual(x) and not x.layers

    def codegen(context, builder, signature, arguments):
        if bottom:
            return cgutils.create_struct_proxy(x)(context, builder, arguments[0]).value
        return arguments[0]

    return (x.base if bottom else x)(x), codegen


@overload_attribute(DualType, "real")
def real_part(dual):
    return lambda dual: dual


@box(DualType)
def _as_python(dual, value, boxing):
    """The value alone, for `print`."""
    kind: types.Type = dual
    while is_dual(kind):
        value, kind = boxing.builder.extract_value(value, 0), kind.value_type
    return boxing.pyapi.float_from_double(boxing.context.cast(boxing.builder, value, kind, types.float64))
