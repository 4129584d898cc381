"""What is computed once per row, ahead of its elements."""

from __future__ import annotations

from typing import NamedTuple

from fwddiff.engines.numba.schedule._operands import Operands


class Ahead(NamedTuple):
    """`i32 @symbol(ptr results, ptr exception, inputs…)`, a core that never raises, of the inputs that are
    the same throughout a row; the core of the elements takes its results, LLVM's types of which are `kinds`,
    behind its own inputs."""

    symbol: str
    kinds: tuple[str, ...]


NOTHING = Ahead("", ())


class Computed:
    """The results, in memory of the kernel's, row by row."""

    def __init__(self, operands: Operands, ahead: Ahead):
        self.operands, self.out, self.ahead = operands, operands.out, ahead
        self._type = "{ " + ", ".join(ahead.kinds) + " }"
        if ahead.kinds:
            self._room = self.out.room(self._type, "ahead")
            self._exception = self.out.room("ptr", "exception")

    def row(self) -> list[str]:
        """Types and values."""
        out, operands, kinds = self.out, self.operands, self.ahead.kinds
        if not kinds:
            return []
        given = [self._input(k) for k in operands.inputs if operands.letter(k) == "0"]
        listing = ", ".join([f"ptr {self._room}", f"ptr {self._exception}", *given])
        out.line(f"call i32 @{self.ahead.symbol}({listing})")
        return [f"{kind} {out.load(kind, self._place(j), 'ahead')}" for j, kind in enumerate(kinds)]

    def _input(self, k: int) -> str:
        operands = self.operands
        value = operands.argument(k, operands.read(k, operands.cell(k, "0")))
        return f"{operands.kinds[k]} {value}"

    def _place(self, j: int) -> str:
        return self.out.value(f"getelementptr {self._type}, ptr {self._room}, i32 0, i32 {j}", "p")
