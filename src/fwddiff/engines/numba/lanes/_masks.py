"""Text of vector code: values, constants, and masks that say which elements are in a block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fwddiff.engines.numba.lanes._code import Operand, Refused


class Value(NamedTuple):
    """LLVM's text of a value; `wide`: a vector with an element per lane, else all lanes have it."""

    text: str
    wide: bool


# A mask is a value of type i1, or None where every lane is in the block.
Mask = Value | None


class Text:
    """Lines of a function, and the values of the scalar function's names so far."""

    def __init__(self, lanes: int):
        self.lanes = lanes
        self.lines: list[str] = []
        self.values: dict[str, Value] = {}
        self._count = 0

    def number(self) -> int:
        self._count += 1
        return self._count

    def line(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def assign(self, text: str) -> str:
        name = f"%v{self.number()}"
        self.line(f"{name} = {text}")
        return name

    def type(self, scalar: str, wide: bool = True) -> str:
        return f"<{self.lanes} x {scalar}>" if wide else scalar

    def same(self, scalar: str, constant: str) -> str:
        """A constant for every lane."""
        return "<" + ", ".join([f"{scalar} {constant}"] * self.lanes) + ">"

    def spread(self, scalar: str, text: str) -> str:
        """A value for every lane."""
        wide = self.type(scalar)
        first = self.assign(f"insertelement {wide} poison, {scalar} {text}, i32 0")
        return self.assign(
            f"shufflevector {wide} {first}, {wide} poison, <{self.lanes} x i32> zeroinitializer"
        )

    def is_wide(self, operand: Operand) -> bool:
        return operand.kind == "value" and self.values[operand.text].wide

    def get(self, operand: Operand, wide: bool) -> str:
        """Text of an operand, for every lane or for all."""
        if operand.kind == "constant":
            if not wide or operand.text in ("undef", "poison", "zeroinitializer"):
                return operand.text
            return self.same(operand.type, operand.text)
        value = self.values[operand.text]
        if value.wide and not wide:
            raise Refused("a value that lanes do not share, where they have to")
        return self.spread(operand.type, value.text) if wide and not value.wide else value.text

    def select(self, mask: Mask, scalar: str, chosen: str, other: str, wide: bool) -> str:
        """`chosen` in the lanes of the mask, `other` in the rest; both have the width `wide`."""
        if mask is None:
            return chosen
        if mask.wide and not wide:
            raise Refused("a choice that lanes do not share, of a value that they share")
        kind = self.type(scalar, wide)
        condition = f"{self.type('i1', mask.wide)} {mask.text}"
        return self.assign(f"select {condition}, {kind} {chosen}, {kind} {other}")

    # --- masks ----------------------------------------------------------------------------------------------

    def everywhere(self, mask: Mask) -> str:
        """The mask as a vector."""
        if mask is None:
            return self.same("i1", "true")
        return mask.text if mask.wide else self.spread("i1", mask.text)

    def both(self, mask: Mask, condition: Value, negated: bool = False) -> Value:
        """Lanes of the mask in which the condition holds (or not).

        By `select`, not `and`: in a lane that is not in the block the condition may be poison, which `and`
        passes on.
        """
        if negated:
            kind = self.type("i1", condition.wide)
            ones = self.same("i1", "true") if condition.wide else "true"
            condition = Value(self.assign(f"xor {kind} {condition.text}, {ones}"), condition.wide)
        if mask is None:
            return condition
        wide = mask.wide or condition.wide
        text = self.everywhere(condition) if wide else condition.text
        none = "zeroinitializer" if wide else "false"
        if wide and not mask.wide:
            mask = Value(self.everywhere(mask), True)
        return Value(self.select(mask, "i1", text, none, wide), wide)

    def either(self, masks: Iterable[Mask]) -> Mask:
        found: Value | None = None
        for mask in masks:
            if mask is None:
                return None
            if found is None:
                found = mask
            elif found.wide or mask.wide:
                texts = self.everywhere(found), self.everywhere(mask)
                found = Value(self.assign(f"or {self.type('i1')} {', '.join(texts)}"), True)
            else:
                found = Value(self.assign(f"or i1 {found.text}, {mask.text}"), False)
        if found is None:
            raise Refused("a block that nothing leads to")
        return found

    def any(self, mask: Mask) -> str:
        """Whether the mask holds in any lane."""
        if mask is None:
            return "true"
        if not mask.wide:
            return mask.text
        bits = self.assign(f"bitcast {self.type('i1')} {mask.text} to i{self.lanes}")
        return self.assign(f"icmp ne i{self.lanes} {bits}, 0")
