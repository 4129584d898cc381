"""Functions of the table whose values are code: plain Python of ours, or what SciPy exports.

Each is a function beside the kernel, in double precision whatever the arguments are: none of these loses
digits that float32 has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fwddiff import rules
from fwddiff._native import exported
from fwddiff.engines.numba.ssa.code import Refused, Value, is_float
from fwddiff.engines.numba.ssa.function import Function, as_core, numbers_of
from fwddiff.engines.numba.ssa.writer import Writer, number

PREFIX = "fwddiff_special_"
_SHORT = (8, 60)  # blocks, instructions
# The code of a function of ours, by the name of its row.
Bodies = Callable[[str], Function]


def no_bodies(name: str) -> Function:
    """For code that calls none of them."""
    raise Refused(f"the code of {name}")


def is_code(row: rules.Row) -> bool:
    return row.body is not None


def call(writer: Writer, row: rules.Row, arguments: Sequence[Value], kind: str, bodies: Bodies) -> Value:
    symbol = f"{PREFIX}{row.name}"
    exports = row.record is not None and row.record.scipy_value
    define = _of_scipy if exports else _of_body
    kinds = define(writer, symbol, row, bodies)
    given = [writer.convert(a, t) for a, t in zip(arguments, kinds, strict=True)]
    return writer.convert(writer.call(symbol, "double", given), kind)


def _of_body(writer: Writer, symbol: str, row: rules.Row, bodies: Bodies) -> Sequence[str]:
    """Put in the place of calls where it is short: LLVM computes several elements side by side then."""
    function = bodies(row.name)
    kinds = numbers_of(function.inputs)
    writer.outside |= function.code.outside
    writer.outside[f"{symbol}_core"] = as_core(function, f"{symbol}_core")
    w, given = Writer(), [Value(t, f'%"in.{k}"') for k, t in enumerate(kinds)]
    result = _called(w, f"{symbol}_core", given)
    attributes = "alwaysinline" if _is_short(function) else ATTRIBUTES
    writer.outside[symbol] = _definition(w, symbol, given, result, attributes)
    return kinds


def _is_short(function: Function) -> bool:
    code = function.code
    return not code.has_loop and len(code.blocks) <= _SHORT[0] and len(code.instructions) <= _SHORT[1]


ATTRIBUTES = "noinline nounwind willreturn memory(none)"


def _called(w: Writer, core: str, given: Sequence[Value]) -> Value:
    """The one result of a core of doubles that never raises."""
    room = w.assign("ptr", "alloca [1 x double], align 8")
    exception = w.assign("ptr", "alloca ptr, align 8")
    w.line(f"store {number('double', math.nan)}, {room}, align 8")  # where a function of the user's raises
    wide = [w.convert(v, "double") if v.type == "float" else v for v in given]
    w.assign("i32", f'call i32 @"{core}"({room}, {exception}, {", ".join(map(str, wide))})')
    return w.assign("double", f"load double, {room}, align 8")


def _definition(w: Writer, symbol: str, given: Sequence[Value], result: Value, attributes: str) -> str:
    body, listing = "\n".join([*w.lines, f"  ret {result}"]), ", ".join(map(str, given))
    return f'define internal {result.type} @"{symbol}"({listing}) {attributes} {{\n{body}\n}}\n'


def put(
    symbol: str, core: str, kinds: Sequence[str], kind: str, value: str, apart: Sequence[int] = ()
) -> tuple[str, dict[str, str]]:
    """Definition of a function that is put in the place of calls that derivatives are taken of, and the
    declarations that it needs: by the core, with the value of the function `value`, if that is another. A
    value never depends on what is asked. The partials of arguments that are `apart` are those of `value`."""
    w, given = Writer(), [Value(t, f'%"in.{k}"') for k, t in enumerate(kinds)]
    if apart:
        result = _united(w, core, given, kind, value, apart)
        return _definition(w, symbol, given, result, "alwaysinline"), w.outside
    result = w.convert(_called(w, core, given), kind)
    if value:
        fixed = [w.table("constant", [v]) if is_float(v.type) else v for v in given]
        result = w.table("graft", [w.call(value, kind, fixed), result])
    return _definition(w, symbol, given, result, "alwaysinline"), w.outside


def _united(
    w: Writer, core: str, given: Sequence[Value], kind: str, value: str, apart: Sequence[int]
) -> Value:
    """The partials of two calls, each of which holds the other's arguments; later derivatives are those of
    the value again."""
    held = [w.table("held", [v]) if is_float(v.type) else v for v in given]
    by_core = [held[k] if k in apart else v for k, v in enumerate(given)]
    by_text = [v if k in apart else held[k] for k, v in enumerate(given)]
    parts = w.call(value, kind, by_text), w.convert(_called(w, core, by_core), kind)
    return w.table("united", [w.call(value, kind, held), w.binary("fadd", *parts)])


def _of_scipy(writer: Writer, symbol: str, row: rules.Row, bodies: Bodies) -> Sequence[str]:
    """By the pointer that SciPy exports, under a name that tells which (see `_native.exported`)."""
    assert row.record is not None
    found = exported.signature(row.record.scipy_value)
    w, given = Writer(), [Value(t, f'%"in.{k}"') for k, t in enumerate(found.arguments)]
    rooms = [w.assign("ptr", "alloca double, align 8") for _ in range(found.results)]
    skip = [] if rooms else [Value("i32", "0")]  # Cython's `skip_dispatch`
    listing = ", ".join(map(str, [*given, *rooms, *skip]))
    if rooms:
        w.line(f"call void @{found.symbol}({listing})")
        result = w.assign("double", f"load double, {rooms[found.position]}, align 8")
    else:
        result = w.assign("double", f"call double @{found.symbol}({listing})")
    kind = "void" if rooms else "double"
    taken = ", ".join(v.type for v in [*given, *rooms, *skip])
    writer.outside[found.symbol] = f"declare {kind} @{found.symbol}({taken}) nounwind willreturn"
    writer.outside[symbol] = _definition(w, symbol, given, result, ATTRIBUTES)
    return found.arguments
