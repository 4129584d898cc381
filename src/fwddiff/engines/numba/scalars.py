"""What Python does with numbers beyond the rules table: comparisons, conversions, `min`, `max`, integer
powers.

Comparisons and conversions see the value alone: a branch is taken where the value takes it.
"""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false

from __future__ import annotations

import builtins
import math
import operator

import numpy as np

from fwddiff import rules
from fwddiff.engines.numba import operations, zeros
from fwddiff.engines.numba.expressions import Source
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import (
    DualType,
    constructor,
    converter,
    is_dual,
    is_number,
    join,
    partials_of,
    value_of,
)
from numba.core import types

COMPARISONS = {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}
UFUNC_COMPARISONS = {
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
    np.equal: "==",
    np.not_equal: "!=",
}
# (function, what it does with the value); all are locally constant, so the result carries no partials.
TO_PLAIN = {
    math.isnan: "v != v",
    np.isnan: "v != v",
    math.isinf: "math.isinf(v)",
    np.isinf: "math.isinf(v)",
    math.isfinite: "math.isfinite(v)",
    np.isfinite: "math.isfinite(v)",
    np.signbit: "math.copysign(1.0, v) < 0",
    bool: "v != 0",
    operator.not_: "v == 0",
    int: "int(v)",
    math.floor: "math.floor(v)",
    math.ceil: "math.ceil(v)",
    math.trunc: "int(v)",
}


def comparable(*kinds) -> bool:
    return any(map(is_dual, kinds)) and all(is_dual(t) or is_number(t) for t in kinds)


def register_comparison(function, sign: str) -> None:
    @overload(function)
    def compare(a, b):
        if not comparable(a, b):
            return None
        source = Source(join(a, b).base)
        source.bind("strip", converter(join(a, b).base))
        source.line(f"return strip(a) {sign} strip(b)")
        return source.compile("compare", ("a", "b"))


def register_conversion(function, text: str) -> None:
    @overload(function)
    def convert(a):
        if not is_dual(a):
            return None
        source = Source(a.base)
        source.namespace.update(math=math, strip=converter(a.base))
        source.line("v = strip(a)")
        source.line(f"return {text}")
        return source.compile("convert", ("a",))


@overload(float)
def keep_float(a):
    """`float(x)` of a dual keeps its partials (and its dtype: conversions are weak, as constants are)."""
    return (lambda a: a) if is_dual(a) else None


@overload(builtins.round)
def round_to_integer(a):
    if not is_dual(a):
        return None
    strip = converter(a.base)

    def implementation(a):
        return int(np.rint(strip(a)))

    return implementation


@overload(builtins.round)
def round_to_digits(a, ndigits):
    """`round(x, 2)` is a float; it is locally constant."""
    if not is_dual(a) or not isinstance(ndigits, types.Integer):
        return None
    strip, wrap = converter(a.base), converter(DualType(a.base))
    return lambda a, ndigits: wrap(round(strip(a), ndigits))


# --- min and max: Python's, which return the first of equal arguments ---------------------------------------


def _register_extremum(function, sign: str) -> None:
    def two(a, b):
        if not comparable(a, b):
            return None
        source = Source(join(a, b).base)
        source.line(f"return b if b {sign} a else a")
        return source.compile(function.__name__, ("a", "b"))

    def several(a, b, *others):
        if not others or not comparable(a, b, *others):
            return None
        source = Source(join(a, b, *others).base)
        source.bind("extremum", function)
        nested = "extremum(a, b)"
        for k in range(len(others)):
            nested = f"extremum({nested}, others[{k}])"
        source.line(f"return {nested}")
        return source.compile(function.__name__, ("a", "b", "*others"))

    overload(function)(two)
    overload(function)(several)


@overload(np.where)
def where_scalar(condition, a, b):
    if comparable(a, b) and (is_number(condition)):
        return lambda condition, a, b: a if condition else b
    return None


def where(condition, a, b):
    """`np.where` in user code: Numba's own makes an array without axes of bare numbers."""
    return np.where(condition, a, b)


@overload(where)
def where_any(condition, a, b):
    if all(map(is_number, (condition, a, b))):
        return lambda condition, a, b: a if condition else b
    return lambda condition, a, b: np.where(condition, a, b)


@overload(np.clip)
def clip_scalar(a, a_min, a_max):
    kinds = a, a_min, a_max
    if comparable(*kinds) or all(map(is_number, kinds)):  # Numba's own is for arrays alone
        return lambda a, a_min, a_max: min(max(a, a_min), a_max)
    return None


@overload(math.log)
def log_to_base(x, base):
    kinds = x, base
    if comparable(*kinds) or all(map(is_number, kinds)):
        return lambda x, base: math.log(x) / math.log(base)
    return None


# --- powers -------------------------------------------------------------------------------------------------

LARGEST_UNROLLED = 16


def power_typer(a, b):
    """Integer exponents keep their type; all others go by the table's row."""
    if isinstance(b, types.IntegerLiteral) and is_dual(a) and 0 <= b.literal_value <= LARGEST_UNROLLED:
        return _unrolled_power(a, b.literal_value)
    if isinstance(b, types.Integer) and is_dual(a):
        return _integer_power(a)
    return operations.implement(rules.TABLE["pow"], (a, b))


def _unrolled_power(a, exponent: int):
    """Products by repeated squaring: exact in the same cases as Python's, and they vectorise."""
    source = Source(a.base)
    if exponent == 0:
        source.bind("one", converter(type(a)(a.base)))
        source.line("return one(1.0)")
        return source.compile("power", ("a", "b"))
    source.line("square = a")
    result = ""
    while True:
        exponent, odd = divmod(exponent, 2)
        if odd:
            source.line("result = " + (f"{result} * square" if result else "square"))
            result = "result"
        if not exponent:
            break
        source.line("square = square * square")
    source.line("return result")
    return source.compile("power", ("a", "b"))


def _integer_power(a):
    """C's `pow` for floats: unlike Numba's for integers it does not raise at `0 ** -1`."""
    source = Source(a.value_type)
    source.bind("cast", converter(a.value_type if a.layers else a.base))
    if not a.layers:
        source.bind("wrap", converter(a))
        source.line("return wrap(pow(cast(a), cast(b)))")
        return source.compile("power", ("a", "b"))
    # The derivative b * a**(b - 1) needs no logarithm, is right at a <= 0, and is 0 for b = 0 even at a = 0.
    exponent = "{}" if is_dual(a.value_type) else "cast({})"
    source.namespace.update(value_of=value_of, partials_of=partials_of, construct=constructor(a))
    source.line("v = value_of(a)")
    source.line("p = partials_of(a)")
    source.line(f"d = cast(b * pow(v, {exponent.format('b - 1')})) if b != 0 else cast(0.0)")
    source.namespace.update(zeros.NAMES)
    term = "chain_product(d, p[{}])" if a.exact else "d * p[{}]"
    parts = ", ".join(term.format(k) for k in range(len(a.positions)))
    source.line(f"return construct(pow(v, {exponent.format('b')}), ({parts},))")
    return source.compile("power", ("a", "b"))


@overload(divmod)
def divmod_of(a, b):
    if comparable(a, b):
        return lambda a, b: (a // b, a % b)
    return None


def register() -> None:
    """Register everything of this file that is not registered by a decorator."""
    for function, sign in (COMPARISONS | UFUNC_COMPARISONS).items():
        register_comparison(function, sign)
    for function, text in TO_PLAIN.items():
        register_conversion(function, text)
    _register_extremum(builtins.min, "<")
    _register_extremum(builtins.max, ">")
    for function in (operator.pow, operator.ipow, builtins.pow):
        overload(function, prefer_literal=True)(power_typer)


operations.SPECIAL_CASES.update(TO_PLAIN, {operator.pow, builtins.pow, builtins.round})


# --- dtype conversions: `np.float64(x)`, `np.float32(x)` in user code are replaced by these -----------------


def to_float64(x):
    """`np.float64(x)` on numbers and duals."""
    return np.float64(x)


def to_float32(x):
    """`np.float32(x)` on numbers and duals."""
    return np.float32(x)


def _register_dtype_conversion(function, base) -> None:
    @overload(function)
    def convert(x):
        target = DualType(base, x.layers, x.exact) if is_dual(x) else base
        cast = converter(target)
        return (lambda x: cast(x)) if is_dual(x) or is_number(x) else None


_register_dtype_conversion(to_float64, types.float64)
_register_dtype_conversion(to_float32, types.float32)
