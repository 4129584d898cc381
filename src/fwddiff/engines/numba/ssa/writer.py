"""Instructions written one after another, as text.

Functions of the rules table stay calls of names of their own (`fwddiff.exp`, `fwddiff.exp.f32`) until the
last order of derivatives has been taken: `lower` defines them.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from fwddiff.engines.numba.ssa.code import FLOATS, Value, element, is_float, lanes, vector

PURE = "memory(none) nounwind willreturn speculatable"
_orders = itertools.count()


def number(kind: str, x: float) -> Value:
    """A constant. LLVM takes floats of both widths by the bits of a double."""
    if kind[0] == "<":
        item = number(element(kind), x)
        return Value(kind, f"<{', '.join([str(item)] * lanes(kind))}>")
    if kind not in FLOATS:
        return Value(kind, str(int(x)))
    if kind == "float":
        x = struct.unpack("f", struct.pack("f", x))[0]
    return Value(kind, f"0x{struct.unpack('>Q', struct.pack('>d', x))[0]:016X}")


def opaque(name: str, kinds: Sequence[str]) -> str:
    """The name by which a function of the table is called for arguments of these types."""
    count = max((lanes(kind) for kind in kinds if kind[0] == "<"), default=0)
    suffix = f".v{count}" * (count > 0) + ".f32" * ("float" in map(element, kinds))
    return f"fwddiff.{name}{suffix}"


class Writer:
    """Lines of one function, and the declarations that they need. Every writer names its values apart from
    those that its code has already."""

    def __init__(self, outside: dict[str, str] | None = None):
        self.lines: list[str] = []
        self.outside = dict(outside or {})
        self._prefix, self._count = f"d{next(_orders)}", 0

    def fresh(self, kind: str) -> Value:
        self._count += 1
        return Value(kind, f'%"{self._prefix}.{self._count}"')

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        self.lines.append(f'"{name}":')

    def assign(self, kind: str, text: str) -> Value:
        result = self.fresh(kind)
        self.line(f"{result.text} = {text}")
        return result

    def binary(self, operation: str, a: Value, b: Value) -> Value:
        return self.assign(a.type, f"{operation} {a}, {b.text}")

    def negative(self, a: Value) -> Value:
        return self.assign(a.type, f"fneg {a}")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return a if a == b else self.assign(a.type, f"select {condition}, {a}, {b}")

    def convert(self, a: Value, kind: str) -> Value:
        """A number of another width, or an integer as a float."""
        if a.type == kind:
            return a
        if is_float(a.type):
            operation = "fpext" if element(kind) == "double" else "fptrunc"
        else:
            operation = "uitofp" if a.type == "i1" else "sitofp"
        return self.assign(kind, f"{operation} {a} to {kind}")

    def call(self, name: str, kind: str, arguments: Sequence[Value]) -> Value:
        """A call of a function that does nothing but give a value."""
        listing = ", ".join(map(str, arguments))
        kinds = ", ".join(a.type for a in arguments)
        self.outside.setdefault(name, f'declare {kind} @"{name}"({kinds}) {PURE}')
        return self.assign(kind, f'call {kind} @"{name}"({listing})')

    def table(self, name: str, arguments: Sequence[Value], kind: str | None = None) -> Value:
        """A function of the rules table."""
        kinds = [a.type for a in arguments]
        wide = next((k for k in kinds if k[0] == "<"), None)
        result = kind or wide or ("float" if "float" in kinds else "double")
        return self.call(opaque(name, [*kinds, result]), result, arguments)

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        """A comparison of floats. LLVM is not told that equal operands may stand for each other: one may have
        partials that the other lacks."""
        hidden = [self.table("value", [x]) if x.is_name else x for x in (a, b)]
        kind = "i1" if a.type in FLOATS else vector("i1", lanes(a.type))
        return self.assign(kind, f"fcmp {predicate} {hidden[0]}, {hidden[1].text}")

    def spread(self, a: Value, width: int) -> Value:
        """Every lane (or the number) repeated side by side, `width` times."""
        if width < 1 or (not a.is_name and a.type[0] != "<" and is_float(a.type)):
            return Value(vector(a.type, width), f"<{', '.join([str(a)] * width)}>") if width else a
        count = lanes(a.type)
        if a.type[0] != "<":
            kind = vector(a.type, width)
            a = self.assign(kind, f"insertelement {kind} poison, {a}, i64 0")
            return self.shuffled(a, None, [0] * width)
        return self.shuffled(a, None, [lane for lane in range(count) for _ in range(width)])

    def shuffled(self, a: Value, b: Value | None, mask: Sequence[int]) -> Value:
        """Lanes of two vectors, by number; -1 for any."""
        other = "poison" if b is None else b.text
        listing = ", ".join("i32 poison" if lane < 0 else f"i32 {lane}" for lane in mask)
        kind = vector(element(a.type), len(mask))
        return self.assign(kind, f"shufflevector {a}, {a.type} {other}, <{len(mask)} x i32> <{listing}>")

    def lane(self, a: Value, number: int) -> Value:
        return self.assign(element(a.type), f"extractelement {a}, i64 {number}")
