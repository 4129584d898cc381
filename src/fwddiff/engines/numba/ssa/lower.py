"""What functions of the rules table are on this machine: the last step, once all derivatives are taken.

Each is defined in the module that calls it, to be inlined: as a call of the C library (of which glibc has
vector versions), an instruction, an expression of the table, or code of ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from fwddiff import rules
from fwddiff.engines.numba.ssa import elementary, expressions, functions, memory, special
from fwddiff.engines.numba.ssa.code import Refused, Value
from fwddiff.engines.numba.ssa.differentiate import is_absent
from fwddiff.engines.numba.ssa.writer import Writer, number
from fwddiff.engines.numba.target import elementary as choices
from fwddiff.engines.numba.target import vector_math
from fwddiff.rules._callables import VALUES

_DECLARED = re.compile(r'^declare (?:\w+ )*?(\w+|<[^>]+>) @"?(fwddiff\.[\w.]+)"?\(([^)]*)\)', re.M)
_KIND = re.compile(r"<[^>]+>|\w+")
_INTRINSICS = {"abs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc"}
_INTRINSICS |= {"rint": "rint", "copysign": "copysign"}
_C_NAMES = {
    "gamma": "tgamma",
    "lgamma": "lgamma",
    "fmod": "fmod",
    "pow": "pow",
    "hypot": "hypot",
    "atan2": "atan2",
}


def lowered(text: str, bodies: special.Bodies) -> str:
    """The module with a definition for every function of the table that it declares."""
    defined: dict[str, str] = {}
    outside: dict[str, str] = {}
    pending = [text]
    while pending:
        for kind, name, kinds in _DECLARED.findall(pending.pop()):
            if name not in defined and name not in ("fwddiff.return", "fwddiff.poll"):
                made, needed = memory.definition(name) or _definition(
                    name, kind, [_kind(k) for k in kinds.split(",")], bodies
                )
                defined[name] = made
                outside |= needed
                pending.append("\n".join(needed.values()))
    kept = "\n".join(line for line in text.splitlines() if not _is_declaration_of(line, defined | outside))
    extra = [declaration for name, declaration in outside.items() if name not in defined]
    vectors = [name for name in outside if name.startswith("_ZGV")]
    return "\n".join([kept, *defined.values(), *extra, _kept(vectors)])


def _kind(text: str) -> str:
    found = _KIND.search(text)
    assert found is not None
    return found.group(0)


def _kept(names: Sequence[str]) -> str:
    """LLVM drops declarations that nothing calls yet, unless they are used."""
    if not names:
        return ""
    listing = ", ".join(f"ptr @{name}" for name in names)
    return (
        f'@llvm.compiler.used = appending global [{len(names)} x ptr] [{listing}], section "llvm.metadata"\n'
    )


def _is_declaration_of(line: str, names) -> bool:
    found = re.match(r'declare [^@]*@"?([\w.$-]+)"?\(', line)
    return found is not None and found.group(1) in names


def _definition(
    name: str, kind: str, kinds: Sequence[str], bodies: special.Bodies
) -> tuple[str, dict[str, str]]:
    writer = Writer()
    arguments = [Value(t, f'%"a{k}"') for k, t in enumerate(kinds)]
    base = re.sub(r"\.v?\d+$", "", name.removeprefix("fwddiff.").removesuffix(".f32"))
    row = functions.row_of(base)
    if row is not None and special.is_code(row):
        result = special.call(writer, row, arguments, kind, bodies)
    else:
        result = _writer_of(base)(writer, arguments, kind)
    listing = ", ".join(map(str, arguments))
    body = "\n".join([f'"{elementary.ENTRY}":', *writer.lines])
    text = f'define internal {kind} @"{name}"({listing}) alwaysinline {{\n{body}\n  ret {result}\n}}\n'
    return text, writer.outside


Definition = Callable[[Writer, Sequence[Value], str], Value]


def _writer_of(name: str) -> Definition:
    if name in _OWN:
        return _OWN[name]
    function, neighbour = functions.with_neighbour(name)
    if neighbour:
        return lambda w, a, kind: _own_or_of_c(w, function, a, kind, neighbour)
    if name.startswith("weighted"):
        return _weighted(name[-2] == "1", name[-1] == "1")
    if name in _INTRINSICS:
        return lambda w, a, kind: _intrinsic(w, _INTRINSICS[name], a, kind)
    if name in _BY_HAND:
        return _BY_HAND[name]
    row = functions.row_of(name)
    if row is None:
        raise Refused(f"a function {name}")
    return _of_row(row)


# --- functions of this engine -------------------------------------------------------------------------------


def _same(w: Writer, a: Sequence[Value], kind: str) -> Value:
    return a[0]


def _rounded(w: Writer, a: Sequence[Value], kind: str) -> Value:
    return w.convert(w.convert(a[0], "float"), kind)


def _power_of_integer(w: Writer, a: Sequence[Value], kind: str) -> Value:
    """C's `pow`: unlike a loop of products it has no error that grows, and `0 ** -1` is inf."""
    return w.table("pow", [a[0], w.convert(a[1], kind)])


def _skipped(w: Writer, a: Sequence[Value], kind: str) -> Value:
    c, p = a
    zero = number(kind, 0.0)
    return w.select(w.compare("oeq", c, zero), zero, w.binary("fmul", c, w.convert(p, kind)))


def _weighted(strong: bool, marked: bool) -> Definition:
    """See `differentiate`: cotangent * partial on exact code."""

    def definition(w: Writer, a: Sequence[Value], kind: str) -> Value:
        c, p = a
        unasked = w.compare("oeq", c, number(kind, 0.0)) if strong else is_absent(w, c)
        absent = w.binary("or", unasked, is_absent(w, p))
        product = w.binary("fmul", c, p)
        if not marked:
            return w.select(absent, number(kind, 0.0), product)
        return w.select(absent, number(kind, -0.0), w.binary("fadd", product, number(kind, 0.0)))

    return definition


def _seed(w: Writer, a: Sequence[Value], kind: str) -> Value:
    """A tangent as a partial: "does not depend" where it is zero and none of its own partials says else."""
    absent = w.compare("oeq", a[0], number(kind, 0.0))
    for partial in a[1:]:
        absent = w.binary("and", absent, is_absent(w, partial))
    return w.select(absent, number(kind, -0.0), w.binary("fadd", a[0], number(kind, 0.0)))


def _magnitude(w: Writer, a: Sequence[Value], kind: str) -> Value:
    """|x|, or the largest of the finite partials; nan where the value is."""
    largest = w.table("abs", [a[0]])
    return _largest(w, largest, [(p, w.table("abs", [p])) for p in a[1:]])


def _relative_magnitude(w: Writer, a: Sequence[Value], kind: str) -> Value:
    """The same of each part of x relative to that of the scale, where that is above 1."""
    sizes = [(x, _relative(w, x, scale)) for x, scale in zip(a[::2], a[1::2], strict=True)]
    return _largest(w, sizes[0][1], sizes[1:])


def _relative(w: Writer, x: Value, scale: Value) -> Value:
    one, size = number(x.type, 1.0), w.table("abs", [scale])
    divisor = w.select(w.compare("ogt", size, one), size, one)
    return w.binary("fdiv", w.table("abs", [x]), divisor)


def _largest(w: Writer, largest: Value, parts: Sequence[tuple[Value, Value]]) -> Value:
    for part, own in parts:
        finite = w.compare("oeq", w.binary("fsub", part, part), number(part.type, 0.0))
        counted = w.select(finite, own, number(part.type, 0.0))
        largest = w.select(w.compare("ogt", counted, largest), counted, largest)
    return largest


_OWN: dict[str, Definition] = {
    **dict.fromkeys(("value", "constant", "held", "graft", "united", "float64"), _same),
    "float32": _rounded,
    "powi": _power_of_integer,
    "skipped": _skipped,
    "seed": _seed,
    "magnitude": _magnitude,
    "magnitude2": _relative_magnitude,
}

# --- functions of the table ---------------------------------------------------------------------------------


def _intrinsic(w: Writer, name: str, arguments: Sequence[Value], kind: str) -> Value:
    return w.call(f"llvm.{name}.{'f32' if kind == 'float' else 'f64'}", kind, arguments)


def _own_or_of_c(w: Writer, name: str, arguments: Sequence[Value], kind: str, neighbour: str = "") -> Value:
    """Beside a function that is our own, so that LLVM makes what both need once."""
    bits = 32 if kind == "float" else 64
    if name not in elementary.FUNCTIONS or not any(choices.is_own(n, bits) for n in (name, neighbour) if n):
        return _of_c(w, name, arguments, kind)
    return elementary.written(w, name, arguments[0], lambda x: _of_c(w, name, [x], kind, alone=True))


def _of_c(w: Writer, name: str, arguments: Sequence[Value], kind: str, alone: bool = False) -> Value:
    """A function of the C library; its declaration names the vector versions that LLVM may use instead,
    unless it stays `alone`: behind a branch, LLVM would call those for all elements."""
    symbol = f"{name}f" if kind == "float" else name
    found = () if alone else vector_math.variants(name, len(arguments), 32 if kind == "float" else 64)
    kinds = ", ".join([kind] * len(arguments))
    versions = []
    for vector, lanes in found:
        wide = f"<{lanes} x {kind}>"
        w.outside[vector] = f"declare {wide} @{vector}({', '.join([wide] * len(arguments))})"
        versions.append(f"_ZGV_LLVM_N{lanes}{'v' * len(arguments)}_{symbol}({vector})")
    attribute = f' "vector-function-abi-variant"="{",".join(versions)}"' if versions else ""
    w.outside[symbol] = f"declare {kind} @{symbol}({kinds}) memory(none) nounwind willreturn{attribute}"
    return w.call(symbol, kind, arguments)


def _remainder(w: Writer, a: Sequence[Value], kind: str) -> Value:
    """Python's: of the sign of the divisor."""
    x, divisor = a
    zero, rest = number(kind, 0.0), w.binary("frem", x, divisor)
    signed = _intrinsic(w, "copysign", [zero, divisor], kind)
    is_zero = w.compare("oeq", rest, zero)
    differ = w.binary("xor", w.compare("olt", divisor, zero), w.compare("olt", rest, zero))
    moved = w.select(differ, w.binary("fadd", rest, divisor), rest)
    return w.select(is_zero, signed, moved)


def _floor_divide(w: Writer, a: Sequence[Value], kind: str) -> Value:
    """Python's: the integer that goes with the remainder, however the quotient is rounded."""
    x, divisor = a
    zero = number(kind, 0.0)
    quotient = w.binary("fdiv", w.binary("fsub", x, _remainder(w, a, kind)), divisor)
    whole = _intrinsic(w, "floor", [quotient], kind)
    above = w.compare("ogt", w.binary("fsub", quotient, whole), number(kind, 0.5))
    whole = w.select(above, w.binary("fadd", whole, number(kind, 1.0)), whole)
    plain = w.binary("fdiv", x, divisor)
    found = w.select(w.compare("oeq", quotient, zero), _intrinsic(w, "copysign", [zero, plain], kind), whole)
    return w.select(w.compare("oeq", divisor, zero), plain, found)


def _ldexp(w: Writer, a: Sequence[Value], kind: str) -> Value:
    """Exponents beyond 32 bits are as good as the largest."""
    w.outside["llvm.smin.i64"] = "declare i64 @llvm.smin.i64(i64, i64)"
    w.outside["llvm.smax.i64"] = "declare i64 @llvm.smax.i64(i64, i64)"
    n = w.assign("i64", f"call i64 @llvm.smin.i64({a[1]}, i64 100000)")
    n = w.assign("i64", f"call i64 @llvm.smax.i64({n}, i64 -100000)")
    short = w.assign("i32", f"trunc {n} to i32")
    return w.call("ldexpf" if kind == "float" else "ldexp", kind, [a[0], short])


def _angle(factor: float) -> Definition:
    return lambda w, a, kind: w.binary("fmul", a[0], number(kind, factor))


_BY_HAND: dict[str, Definition] = {
    "remainder": _remainder,
    "floor_divide": _floor_divide,
    "ldexp": _ldexp,
    "radians": _angle(math.pi / 180),
    "degrees": _angle(180 / math.pi),
}


def _of_row(row: rules.Row) -> Definition:
    name = row.name
    if name not in rules.TABLE:  # a rule of the user's, whose value is there already
        return _same
    if name in vector_math.FUNCTIONS or name in _C_NAMES:
        c_name = _C_NAMES.get(name) or vector_math.FUNCTIONS[name][0]
        return lambda w, a, kind: _own_or_of_c(w, c_name, a, kind)
    if name in VALUES:
        return lambda w, a, kind: expressions.written(
            w, row.value, dict(zip(row.arguments, a, strict=True)), kind
        )
    raise Refused(f"a function {name}")
