"""What functions mean on plain numbers: those of the rules table become calls of opaque functions, which are
expanded once all derivatives have been taken.

All floats are float64 here. Integers keep Numba's own functions, where these give integers.
"""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from fwddiff import rules
from fwddiff._magnitude import magnitude
from fwddiff._native.internals import AbstractTemplate, cpu_target, errors, signature, utils
from fwddiff._probe import probe
from fwddiff.engines.numba.frontend.constants import constant
from fwddiff.engines.numba.frontend.numbers import is_number, to_float32, to_float64, where
from fwddiff.engines.numba.language import _target
from fwddiff.engines.numba.language._opaque import PREFIX, call_opaque
from numba import types
from numba.extending import models, register_model

_DOUBLE = ir.DoubleType()
# (context, builder, types of the arguments, their values) → value
Emit = Callable[[Any, Any, Sequence[Any], Sequence[Any]], Any]
# Types of the arguments → type of the result and how it is made; `None`: as Numba does it.
Choose = Callable[[Sequence[Any]], "tuple[Any, Emit] | None"]


class Meaning(types.Function):
    """Type of a function that means something of ours on numbers, and what Numba has on all else."""

    def __init__(self, function: Any, choose: Choose):
        self.function, self.choose = function, choose
        name = getattr(function, "__name__", str(function))
        key = ("fwddiff", function)
        super().__init__(type(f"{name}_template", (AbstractTemplate,), {"key": key}))

    @functools.cached_property
    def original(self) -> Any:
        return cpu_target.typing_context.resolve_value_type(self.function)

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        pysig = None
        if self.function is magnitude and kws:
            pysig = utils.pysignature(magnitude)
            args, kws = tuple(pysig.bind(*args, **kws).arguments.values()), {}
        chosen = None if kws else self.choose(args)
        if chosen is not None:
            return signature(chosen[0], *args).replace(pysig=pysig)
        if any(isinstance(kind, types.Omitted) for kind in args):
            raise errors.TypingError("a constant that is no argument of ours")
        return self.original.get_call_type(context, args, kws)

    def get_impl_key(self, sig: Any) -> Any:
        return self.original.get_impl_key(sig)

    def emitted(self, context: Any, sig: Any) -> Any:
        """What makes LLVM's code of a call."""
        chosen = self.choose(sig.args)
        return (
            context.get_function(self.original, sig) if chosen is None else _Emission(context, sig, chosen[1])
        )


register_model(Meaning)(models.OpaqueModel)


class _Emission:
    libs = ()

    def __init__(self, context: Any, sig: Any, emit: Emit):
        self.context, self.sig, self.emit = context, sig, emit

    def __call__(self, builder: Any, args: Sequence[Any], loc: Any = None) -> Any:
        return self.emit(self.context, builder, self.sig.args, args)


# --- calls of opaque functions ------------------------------------------------------------------------------


def _double(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.cast(builder, value, kind, types.float64)


def _opaque(name: str, integers: Sequence[int] = ()) -> Emit:
    def emit(context, builder, kinds, values):
        targets = [types.int64 if k in integers else types.float64 for k in range(len(kinds))]
        given = zip(values, kinds, targets, strict=True)
        return call_opaque(builder, PREFIX + name, [context.cast(builder, v, k, t) for v, k, t in given])

    return emit


def _on_doubles(function: Callable[..., Any]) -> Emit:
    """`function(builder, *doubles)`."""

    def emit(context, builder, kinds, values):
        return function(
            builder, *(_double(context, builder, k, v) for k, v in zip(kinds, values, strict=True))
        )

    return emit


def _has_float(kinds: Sequence[Any]) -> bool:
    return any(isinstance(kind, types.Float) for kind in kinds)


def _fixed(emit: Emit, arity: int, floats_alone: bool = False, result: Any = types.float64) -> Choose:
    """`emit` for so many numbers; `floats_alone`: at least one of them a float."""

    def choose(kinds):
        if len(kinds) != arity or not all(map(is_number, kinds)):
            return None
        return None if floats_alone and not _has_float(kinds) else (result, emit)

    return choose


# --- rows of the table --------------------------------------------------------------------------------------

_PLAIN: dict[str, Callable[..., Any]] = {
    "add": lambda builder, a, b: builder.fadd(a, b),
    "subtract": lambda builder, a, b: builder.fsub(a, b),
    "multiply": lambda builder, a, b: builder.fmul(a, b),
    "divide": lambda builder, a, b: builder.fdiv(a, b),
    "negative": lambda builder, x: builder.fneg(x),
    "positive": lambda builder, x: x,
    "square": lambda builder, x: builder.fmul(x, x),
    "reciprocal": lambda builder, x: builder.fdiv(_DOUBLE(1.0), x),
    "abs": lambda builder, x: builder.call(builder.module.declare_intrinsic("llvm.fabs", [_DOUBLE]), [x]),
}
# Numba's own on floats are as plain.
_LEFT = (operator.add, operator.sub, operator.mul, operator.neg, operator.pos, builtins.abs)
# Of integers, NumPy gives an integer.
_OF_INTEGERS = frozenset({
    "add", "subtract", "multiply", "negative", "positive", "square", "reciprocal", "abs", "sign", "maximum",
    "minimum", "fmax", "fmin", "pow", "remainder", "fmod", "floor_divide", "floor", "ceil", "trunc",
})  # fmt: skip


def _choices_of_row(row: rules.Row) -> dict[Any, Choose]:
    integers = rules.INTEGER_ARGUMENTS.get(row.name, ())
    plain = _PLAIN.get(row.name)
    emit = _opaque(row.name, integers) if plain is None else _on_doubles(plain)
    own = rules.scalar_namespace().get(row.name)
    found = {}
    for function in (
        *row.functions,
        *([own] if getattr(own, "__module__", "") == "fwddiff._special" else []),
    ):
        if function not in _LEFT:
            in_module = getattr(function, "__module__", None) == "math"
            floats_alone = row.name in _OF_INTEGERS and not in_module and function is not np.float_power
            found[function] = _of_row(_fixed(emit, len(row.arguments), floats_alone), integers)
    return found


def _of_row(choose: Choose, integers: Sequence[int]) -> Choose:
    def checked(kinds):
        chosen = choose(kinds)
        if chosen is not None and any(isinstance(kinds[k], types.Float) for k in integers):
            raise errors.TypingError("the order, or exponent, is an integer")
        return chosen

    return checked if integers else choose


# --- powers -------------------------------------------------------------------------------------------------

LARGEST_UNROLLED = 16


def _power(kinds: Sequence[Any]) -> tuple[Any, Emit] | None:
    """Integer exponents are products, or stay integers: neither needs a logarithm for the derivative."""
    if len(kinds) != 2 or not all(map(is_number, kinds)) or not _has_float(kinds):
        return None
    exponent = kinds[1]
    if isinstance(exponent, types.Float):
        return types.float64, _opaque("pow")
    if isinstance(exponent, types.IntegerLiteral) and 0 <= exponent.literal_value <= LARGEST_UNROLLED:
        return types.float64, _product(exponent.literal_value)
    return types.float64, _opaque("powi", (1,))


def _product(exponent: int) -> Emit:
    """Repeated squaring: exact in the same cases as Python's, and it vectorises."""

    def emit(context, builder, kinds, values):
        square, result, left = _double(context, builder, kinds[0], values[0]), None, exponent
        while left:
            left, odd = divmod(left, 2)
            if odd:
                result = square if result is None else builder.fmul(result, square)
            if left:
                square = builder.fmul(square, square)
        return _DOUBLE(1.0) if result is None else result

    return emit


# --- what is no row -----------------------------------------------------------------------------------------


def _divmod(kinds: Sequence[Any]) -> tuple[Any, Emit] | None:
    if len(kinds) != 2 or not all(map(is_number, kinds)) or not _has_float(kinds):
        return None
    result = types.UniTuple(types.float64, 2)

    def emit(context, builder, kinds, values):
        parts = [_opaque(name)(context, builder, kinds, values) for name in ("floor_divide", "remainder")]
        return context.make_tuple(builder, result, parts)

    return result, emit


def _where(kinds: Sequence[Any]) -> tuple[Any, Emit] | None:
    if len(kinds) != 3 or not all(map(is_number, kinds)) or not _has_float(kinds[1:]):
        return None

    def emit(context, builder, kinds, values):
        condition = context.cast(builder, values[0], kinds[0], types.boolean)
        a, b = (_double(context, builder, kinds[k], values[k]) for k in (1, 2))
        return builder.select(condition, a, b)

    return types.float64, emit


def _round_to_digits(kinds: Sequence[Any]) -> tuple[Any, Emit] | None:
    """Locally constant, also where Numba gives the number itself back."""
    if len(kinds) != 2 or not isinstance(kinds[0], types.Float) or not isinstance(kinds[1], types.Integer):
        return None

    def emit(context, builder, kinds, values):
        function = cpu_target.typing_context.resolve_value_type(builtins.round)
        own = function.get_call_type(context.typing_context, tuple(map(types.unliteral, kinds)), {})
        rounded = context.get_function(function, own)(builder, values)
        return call_opaque(builder, PREFIX + "constant", [rounded])

    return types.float64, emit


def _magnitude(kinds: Sequence[Any]) -> tuple[Any, Emit] | None:
    given = [k for k in kinds if not isinstance(k, types.NoneType | types.Omitted)]
    if not all(map(is_number, given)):
        return None
    name = "magnitude" if len(given) == 1 else "magnitude2"
    return types.float64, lambda context, builder, kinds, values: _opaque(name)(
        context, builder, given, values[: len(given)]
    )


def _constant(kinds: Sequence[Any]) -> tuple[Any, Emit] | None:
    return (types.float64, _opaque("constant")) if _has_float(kinds) else None


def _to_float64(kinds: Sequence[Any]) -> tuple[Any, Emit] | None:
    """What makes a float32 a float64 that counts; of integers the result is as weak as they are."""
    emit = _opaque("float64") if _has_float(kinds) else _on_doubles(lambda builder, x: x)
    return _fixed(emit, 1)(kinds)


def _same_text(equal: bool) -> Choose:
    """Comparison of texts that are known when the function is compiled."""

    def choose(kinds):
        if len(kinds) != 2 or not all(isinstance(kind, types.StringLiteral) for kind in kinds):
            return None
        told = (kinds[0].literal_value == kinds[1].literal_value) == equal
        return types.boolean, lambda context, builder, kinds, values: ir.IntType(1)(told)

    return choose


def _text(kinds: Sequence[Any]) -> None:
    """Numba's text of a float is "<object type:float64>"."""
    known = types.UnicodeType | types.StringLiteral | types.Integer | types.Boolean
    if kinds and not isinstance(kinds[0], known):
        raise errors.TypingError("it makes text of a number, and kernels have numbers alone")


def _signbit(builder: Any, x: Any) -> Any:
    sign = call_opaque(builder, PREFIX + "copysign", [_DOUBLE(1.0), x])
    return builder.fcmp_ordered("<", sign, _DOUBLE(0.0))


_FREXP = types.Tuple((types.float64, types.int32))


def _frexp(context: Any, builder: Any, kinds: Sequence[Any], values: Sequence[Any]) -> Any:
    """By C's `ilogb`, which has no exponent of 0, inf and nan."""
    x = _double(context, builder, kinds[0], values[0])
    size = builder.call(builder.module.declare_intrinsic("llvm.fabs", [_DOUBLE]), [x])
    above = builder.fcmp_ordered(">", size, _DOUBLE(0.0))
    usual = builder.and_(above, builder.fcmp_ordered("<", size, _DOUBLE(math.inf)))
    int32, int64 = ir.IntType(32), ir.IntType(64)
    exponent = call_opaque(builder, "ilogb", [call_opaque(builder, PREFIX + "value", [x])], int32)
    exponent = builder.select(usual, builder.add(exponent, int32(1)), int32(0))
    mantissa = call_opaque(builder, PREFIX + "ldexp", [x, builder.neg(builder.sext(exponent, int64))])
    return context.make_tuple(builder, _FREXP, [mantissa, exponent])


def _all() -> dict[Any, Choose]:
    found: dict[Any, Choose] = {}
    for row in (*rules.built_in(), *rules.of_families()):
        found |= _choices_of_row(row)
    found |= dict.fromkeys((operator.pow, operator.ipow, builtins.pow), _power)
    found[operator.itruediv] = found[operator.truediv]
    found[operator.imod], found[operator.ifloordiv] = found[operator.mod], found[operator.floordiv]
    return found | {
        divmod: _divmod,
        operator.eq: _same_text(True),
        operator.ne: _same_text(False),
        where: _where,
        np.where: _where,
        builtins.round: _round_to_digits,
        **dict.fromkeys((builtins.str, builtins.repr, builtins.format), _text),
        magnitude: _magnitude,
        constant: _constant,
        to_float64: _to_float64,
        to_float32: _fixed(_opaque("float32"), 1),
        np.signbit: _fixed(_on_doubles(_signbit), 1, floats_alone=True, result=types.boolean),
        math.frexp: _fixed(_frexp, 1, result=_FREXP),
    }


MEANINGS = {function: Meaning(function, choose) for function, choose in _all().items()}


def _meaning(value: Any) -> Meaning | None:
    own = probe(value, "meaning")
    if isinstance(own, Meaning):
        return own
    try:
        return MEANINGS.get(value)
    except TypeError:  # of no hash
        return None


_target.target.meanings = _meaning
