"""Functions that no C library has: plain Python of ours, compiled once in a process."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numba
from fwddiff import _special, rules
from fwddiff.engines.numba.options import INTERNAL
from fwddiff.engines.numba.ssa.code import Value
from fwddiff.engines.numba.ssa.function import Function, as_core, numbers_of, returning
from fwddiff.engines.numba.ssa.writer import Writer
from numba.core import types

PREFIX = "fwddiff_special_"
NAMES = frozenset({"digamma", "polygamma", "sinc", "spherical_jn", "ieee_remainder"})


@functools.cache
def _function(name: str) -> Function:
    own, row = getattr(_special, name), rules.TABLE[name]
    whole = rules.INTEGER_ARGUMENTS.get(name, ())
    kinds = tuple(types.int64 if k in whole else types.float64 for k in range(len(row.arguments)))
    compiled = numba.njit(**INTERNAL)(own)
    compiled.compile(kinds)
    found = compiled.overloads[kinds]
    found.library.optimise()
    inputs = ["i64" if kind == types.int64 else "double" for kind in kinds]
    return returning(found.library.get_llvm_str(), found.fndesc.llvm_func_name, inputs, ["double"])


def call(writer: Writer, name: str, arguments: Sequence[Value], kind: str) -> Value:
    """In double, whatever the arguments are: none of these loses digits that float32 has."""
    function, symbol = _function(name), f"{PREFIX}{name}"
    given = [writer.convert(a, t) for a, t in zip(arguments, numbers_of(function.inputs), strict=True)]
    writer.outside |= function.code.outside
    writer.outside[f"{symbol}_core"] = as_core(function, f"{symbol}_core")
    writer.outside[symbol] = _definition(symbol, function)
    return writer.convert(writer.call(symbol, "double", given), kind)


def _definition(symbol: str, function: Function) -> str:
    """A function that gives its value and does nothing else; not inlined: some of them are long."""
    w, given = Writer(), [Value(kind, f'%"in.{k}"') for k, kind in enumerate(numbers_of(function.inputs))]
    room = w.assign("ptr", "alloca [1 x double], align 8")
    exception = w.assign("ptr", "alloca ptr, align 8")
    listing = ", ".join(map(str, given))
    w.assign("i32", f"call i32 @{symbol}_core({room}, {exception}, {listing})")  # none of them raises
    result = w.assign("double", f"load double, {room}, align 8")
    attributes = "noinline nounwind willreturn memory(none)"
    body = "\n".join([*w.lines, f"  ret {result}"])
    return f"define internal double @{symbol}({listing}) {attributes} {{\n{body}\n}}\n"
