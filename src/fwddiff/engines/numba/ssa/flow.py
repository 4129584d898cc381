"""Code with loops, written as one would write C: what changes is in memory, which LLVM turns into values
(SROA)."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence

from fwddiff.engines.numba.ssa.code import Value, element
from fwddiff.engines.numba.ssa.shadows import integer, times
from fwddiff.engines.numba.ssa.writer import Writer

_ALIGNMENT = {"double": 8, "i64": 8, "float": 4}


class Flow(Writer):
    def __init__(self, outside: dict[str, str] | None = None):
        super().__init__(outside)
        self._rooms: list[str] = []

    def function(self, symbol: str, parameters: str) -> str:
        body = "\n".join(self.lines)
        rooms = "\n".join(self._rooms)
        blocks = f'"entry":\n{rooms}\n  br label %"begin"\n"begin":\n{body}'
        return f"define i32 @{symbol}({parameters}) {{\n{blocks}\n}}\n"

    # --- memory ---------------------------------------------------------------------------------------------

    def room(self, kind: str) -> Value:
        """Memory on the stack, the same throughout the function."""
        place = self.fresh("ptr")
        self._rooms.append(f"  {place.text} = alloca {kind}, align 16")
        return place

    def at(self, base: Value, index: Value, kind: str = "double") -> Value:
        return self.assign("ptr", f"getelementptr {kind}, {base}, {index}")

    def load(self, kind: str, place: Value) -> Value:
        return self.assign(kind, f"load {kind}, {place}, align {_ALIGNMENT[element(kind)]}")

    def store(self, value: Value, place: Value) -> None:
        self.line(f"store {value}, {place}, align {_ALIGNMENT[element(value.type)]}")

    # --- integers -------------------------------------------------------------------------------------------

    def add(self, a: Value, b: Value) -> Value:
        if not a.is_name and not b.is_name:
            return integer(int(a.text) + int(b.text))
        return a if b.text == "0" else self.binary("add", a, b)

    def subtract(self, a: Value, b: Value) -> Value:
        return a if b.text == "0" else self.binary("sub", a, b)

    def product(self, numbers: Sequence[Value]) -> Value:
        return functools.reduce(lambda a, b: self.binary("mul", a, b), numbers) if numbers else integer(1)

    def times(self, n: Value, factor: int) -> Value:
        return times(self, n, factor)

    def least(self, a: Value, b: Value) -> Value:
        return self._extreme("smin", a, b)

    def greatest(self, a: Value, b: Value) -> Value:
        return self._extreme("smax", a, b)

    def _extreme(self, name: str, a: Value, b: Value) -> Value:
        self.outside[f"llvm.{name}.i64"] = f"declare i64 @llvm.{name}.i64(i64, i64)"
        return self.assign("i64", f"call i64 @llvm.{name}.i64({a}, {b})")

    # --- control flow ---------------------------------------------------------------------------------------

    def _labels(self, *names: str) -> list[str]:
        self._count += 1
        return [f"{name}.{self._prefix}.{self._count}" for name in names]

    @contextlib.contextmanager
    def loop(self, stop: Value, start: Value | None = None, step: int = 1) -> Iterator[Value]:
        """`for (i = start; i < stop; i += step)`"""
        counter = self.room("i64")
        head, body, end = self._labels("head", "body", "end")
        self.store(start or integer(0), counter)
        self.line(f'br label %"{head}"')
        self.label(head)
        now = self.load("i64", counter)
        self.line(f'br {self.assign("i1", f"icmp slt {now}, {stop.text}")}, label %"{body}", label %"{end}"')
        self.label(body)
        yield now
        self.store(self.assign("i64", f"add nuw nsw {now}, {step}"), counter)
        self.line(f'br label %"{head}"')
        self.label(end)

    @contextlib.contextmanager
    def when(self, condition: Value, leaves: bool = False) -> Iterator[None]:
        """`if (condition) { … }`; `leaves`: what is written returns."""
        then, end = self._labels("then", "end")
        self.line(f'br {condition}, label %"{then}", label %"{end}"')
        self.label(then)
        yield
        if not leaves:
            self.line(f'br label %"{end}"')
        self.label(end)
