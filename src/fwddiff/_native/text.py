"""Text of one LLVM function, written as one would write C.

What changes (counters, sums, flags) lives in variables on the stack, which LLVM turns into registers before
it does anything else (SROA); so nobody here keeps account of phis.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Metadata has numbers only, and other functions of the module have theirs: ours start above them.
FIRST_METADATA = 1_000_000


class Function:
    """One function; what is asked for is written at once, in this order."""

    def __init__(self, head: str):
        self._head = head
        self._rooms: list[str] = []
        self._lines: list[str] = []
        self._metadata: list[str] = []
        self._names: Counter[str] = Counter()

    def __str__(self) -> str:
        rooms = ["entry:", *self._rooms, "  br label %begin", "begin:"]
        return "\n".join([f"{self._head} {{", *rooms, *self._lines, "}", *self._metadata, ""])

    def fresh(self, name: str) -> str:
        self._names[name] += 1
        return f"{name}.{self._names[name]}"

    def line(self, text: str) -> None:
        self._lines.append(f"  {text}")

    def value(self, text: str, name: str = "t") -> str:
        """The result of an instruction."""
        place = f"%{self.fresh(name)}"
        self.line(f"{place} = {text}")
        return place

    def load(self, kind: str, place: str, name: str = "t", tail: str = "") -> str:
        return self.value(f"load {kind}, ptr {place}{tail}", name)

    def step(self, place: str, index: str, kind: str = "i8", name: str = "p") -> str:
        """Address so many elements (bytes) further on."""
        return self.value(f"getelementptr {kind}, ptr {place}, i64 {index}", name)

    # --- stack ----------------------------------------------------------------------------------------------

    def room(self, kind: str, name: str, tail: str = "") -> str:
        """Address of memory on the stack, the same throughout the function."""
        place = f"%{self.fresh(name)}"
        self._rooms.append(f"  {place} = alloca {kind}{tail}")
        return place

    def variable(self, kind: str, start: str, name: str) -> Variable:
        found = Variable(self, kind, self.room(kind, name))
        found.set(start)
        return found

    # --- control flow ---------------------------------------------------------------------------------------

    def begin(self, label: str) -> None:
        self._lines.append(f"{label}:")

    def go(self, label: str, tail: str = "") -> None:
        self.line(f"br label %{label}{tail}")

    def fork(self, condition: str, then: str, otherwise: str) -> None:
        self.line(f"br i1 {condition}, label %{then}, label %{otherwise}")

    @contextlib.contextmanager
    def loop(
        self, stop: str, start: str = "0", step: int = 1, name: str = "i", tail: str = ""
    ) -> Iterator[str]:
        """`for (i = start; i < stop; i += step)`; `tail` is put on the branch back."""
        counter = self.variable("i64", start, f"{name}.at")
        head, body, end = (self.fresh(f"{name}.{part}") for part in ("head", "body", "end"))
        self.go(head)
        self.begin(head)
        now = self.value(f"load i64, ptr {counter.place}", name)
        self.fork(self.value(f"icmp slt i64 {now}, {stop}"), body, end)
        self.begin(body)
        yield now
        counter.set(self.value(f"add nuw nsw i64 {now}, {step}"))
        self.go(head, tail)
        self.begin(end)

    def choose(self, condition: str, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """`if (condition) then(); else otherwise();`"""
        labels = [self.fresh(name) for name in ("then", "else", "then.end")]
        self.fork(condition, labels[0], labels[1])
        for label, write in zip(labels, (then, otherwise), strict=False):
            self.begin(label)
            write()
            self.go(labels[2])
        self.begin(labels[2])

    @contextlib.contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """`if (condition) { …; return …; }`"""
        leave, stay = self.fresh("leave"), self.fresh("stay")
        self.fork(condition, leave, stay)
        self.begin(leave)
        yield
        self.begin(stay)

    def leave_unless(self, condition: str, status: int | str) -> None:
        """`if (!condition) return status;`"""
        leave, stay = self.fresh("leave"), self.fresh("stay")
        self.fork(condition, stay, leave)
        self.begin(leave)
        self.line(f"ret i64 {status}")
        self.begin(stay)

    # --- metadata -------------------------------------------------------------------------------------------

    def unvectorised(self) -> str:
        """What a loop's branch back says where LLVM's vectoriser is to leave it alone."""
        return self._options("llvm.loop.vectorize.enable", "i1 false")

    def plain(self) -> str:
        """The same, of a loop of a few turns that is not worth compiling in several forms."""
        return self._options("llvm.loop.vectorize.enable", "i1 false", "llvm.loop.unroll.disable", "")

    def _options(self, *options: str) -> str:
        pairs = zip(options[::2], options[1::2], strict=True)
        nodes = [self.metadata(*filter(None, [f'!"{name}"', value])) for name, value in pairs]
        return f", !llvm.loop {self.metadata(*nodes, distinct=True)}"

    def metadata(self, *parts: str, distinct: bool = False) -> str:
        """A node of these parts; a distinct one has itself as its first part (LLVM language reference)."""
        name = f"!{FIRST_METADATA + len(self._metadata)}"
        content = ", ".join((name, *parts) if distinct else parts)
        self._metadata.append(f"{name} = {'distinct ' * distinct}!{{{content}}}")
        return name


class Variable(NamedTuple):
    """A variable on the stack of a function."""

    function: Function
    kind: str
    place: str

    def get(self) -> str:
        return self.function.load(self.kind, self.place)

    def set(self, value: str) -> None:
        self.function.line(f"store {self.kind} {value}, ptr {self.place}")

    def update(self, operation: str, value: str) -> None:
        """`variable = operation(variable, value)`."""
        self.set(self.function.value(f"{operation} {self.kind} {self.get()}, {value}"))
