"""Numbers whose arithmetic is written as instructions, and what a float's format adds to formulas."""

from __future__ import annotations

import struct
from typing import NamedTuple

from fwddiff.engines.numba.ssa.code import Value
from fwddiff.engines.numba.ssa.writer import Writer, number


class Format(NamedTuple):
    """A binary floating-point format. A number of at most `rounder / 4` plus `rounder` is rounded to an
    integer, which stands in the lowest bits then."""

    kind: str
    integer: str
    mantissa: int
    bias: int
    rounder: float

    @property
    def sign(self) -> int:
        """The bit of signs alone."""
        return -(1 << (self.mantissa + self.bias.bit_length() + 1))

    @property
    def suffix(self) -> str:
        return "f64" if self.kind == "double" else "f32"

    def bits(self, x: float) -> int:
        code, kind = ("d", "q") if self.kind == "double" else ("f", "i")
        return struct.unpack(kind, struct.pack(code, x))[0]


DOUBLE = Format("double", "i64", 52, 1023, 1.5 * 2.0**52)
SINGLE = Format("float", "i32", 23, 127, 1.5 * 2.0**23)
FORMATS = {"double": DOUBLE, "float": SINGLE}


class Number:
    """A float (or the integer of its bits) of a format, in the lines of a writer."""

    def __init__(self, writer: Writer, form: Format, value: Value):
        self.writer, self.form, self.value = writer, form, value

    def of(self, other: Number | float) -> Number:
        """Another number of this format, or a constant."""
        return other if isinstance(other, Number) else self._made(number(self.value.type, other))

    def _made(self, value: Value) -> Number:
        return Number(self.writer, self.form, value)

    def _binary(self, operation: str, a: Number | float, b: Number | float) -> Number:
        return self._made(self.writer.binary(operation, self.of(a).value, self.of(b).value))

    def __add__(self, other: Number | float) -> Number:
        return self._binary("fadd", self, other)

    def __radd__(self, other: float) -> Number:
        return self._binary("fadd", other, self)

    def __sub__(self, other: Number | float) -> Number:
        return self._binary("fsub", self, other)

    def __rsub__(self, other: float) -> Number:
        return self._binary("fsub", other, self)

    def __mul__(self, other: Number | float) -> Number:
        return self._binary("fmul", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Number | float) -> Number:
        return self._binary("fdiv", self, other)

    def __rtruediv__(self, other: float) -> Number:
        return self._binary("fdiv", other, self)

    def __neg__(self) -> Number:
        return self._made(self.writer.negative(self.value))

    def __abs__(self) -> Number:
        return self._intrinsic("fabs", self)

    def fma(self, factor: Number | float, term: Number | float) -> Number:
        """self * factor + term, rounded once."""
        return self._intrinsic("fma", self, self.of(factor), self.of(term))

    def with_sign_of(self, other: Number) -> Number:
        return self._intrinsic("copysign", self, other)

    def _intrinsic(self, name: str, *arguments: Number) -> Number:
        symbol = f"llvm.{name}.{self.form.suffix}"
        return self._made(self.writer.call(symbol, self.form.kind, [a.value for a in arguments]))

    # --- choices --------------------------------------------------------------------------------------------

    def compared(self, predicate: str, bound: Number | float) -> Value:
        """By LLVM's words: `olt` is false, `ult` true where one of both is nan."""
        other = self.of(bound).value
        return self.writer.assign("i1", f"fcmp {predicate} {self.value}, {other.text}")

    def chosen(self, condition: Value, a: Number | float, b: Number | float) -> Number:
        """`a` where the condition holds, else `b`."""
        return self._made(self.writer.select(condition, self.of(a).value, self.of(b).value))

    # --- bits -----------------------------------------------------------------------------------------------

    @property
    def bits(self) -> Bits:
        text = f"bitcast {self.value} to {self.form.integer}"
        return Bits(self.writer, self.form, self.writer.assign(self.form.integer, text))

    def horner(self, coefficients: tuple[float, ...]) -> Number:
        """The polynomial in self, from the constant on.

        Pairs of terms first, then pairs of these (Estrin): a third of the steps that wait for each other.
        """
        terms, power = [self.of(c) for c in coefficients], self
        while len(terms) > 1:
            pairs = [power.fma(terms[k + 1], terms[k]) for k in range(0, len(terms) - 1, 2)]
            terms = pairs + terms[len(pairs) * 2 :]
            power = power * power if len(terms) > 1 else power
        return terms[0]


class Bits:
    """A float's bits as an integer."""

    def __init__(self, writer: Writer, form: Format, value: Value):
        self.writer, self.form, self.value = writer, form, value

    def _done(self, operation: str, other: Bits | int) -> Bits:
        second = other.value if isinstance(other, Bits) else number(self.value.type, other)
        return Bits(self.writer, self.form, self.writer.binary(operation, self.value, second))

    def __add__(self, other: Bits | int) -> Bits:
        return self._done("add", other)

    def chosen(self, condition: Value, a: int, b: int) -> Bits:
        kind = self.value.type
        return Bits(self.writer, self.form, self.writer.select(condition, number(kind, a), number(kind, b)))

    def __rsub__(self, other: int) -> Bits:
        first = number(self.value.type, other)
        return Bits(self.writer, self.form, self.writer.binary("sub", first, self.value))

    def equals(self, other: int) -> Value:
        kind = self.value.type
        return self.writer.assign("i1", f"icmp eq {self.value}, {number(kind, other).text}")

    def __and__(self, other: Bits | int) -> Bits:
        return self._done("and", other)

    def __or__(self, other: Bits | int) -> Bits:
        return self._done("or", other)

    def __xor__(self, other: Bits | int) -> Bits:
        return self._done("xor", other)

    def __lshift__(self, count: int) -> Bits:
        return self._done("shl", count)

    def __rshift__(self, count: int) -> Bits:
        """Zeros come in."""
        return self._done("lshr", count)

    @property
    def number(self) -> Number:
        text = f"bitcast {self.value} to {self.form.kind}"
        return Number(self.writer, self.form, self.writer.assign(self.form.kind, text))
