"""A function that calls itself as one loop with a stack of its own: no later step knows recursion.

Where a turn calls the function, what it needs afterwards goes into the frame of its depth, with the number of
the place to go on from, and the next turn begins with other arguments. Where a turn ends, what it returns is
kept aside and the frame below is read back. Floats have an allocation each, over all depths: none of them
depends on an input for being beside another that does.

Between these places values live in variables on the stack, which LLVM turns into phis. An array that calls
pass on is one array throughout, or a part of it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

from fwddiff._native import interrupts
from fwddiff._native.status import NO_MEMORY, STOPPED, TOO_DEEP
from fwddiff.engines.numba import polls
from fwddiff.engines.numba.language._frugal import make_frugal
from fwddiff.engines.numba.language._turns import STEPS, Part, Turns
from fwddiff.engines.numba.ssa.code import Code, Instruction, Refused, Value, is_float, name_of, parts_of
from fwddiff.engines.numba.ssa.function import BYTES
from fwddiff.engines.numba.ssa.shadows import allocated, released
from fwddiff.engines.numba.ssa.writer import Writer, number

RESULT, RETURNED = "fwddiff.result.", "fwddiff.returned"
_THROWN = "fwddiff.thrown"
_LOCAL = re.compile(r'%("[^"]*"|[\w.$-]+)')
_ARRAY = re.compile(r"\[(\d+) x (.*)\]$")
_POLL = f'declare i32 @"{polls.POLL}"() nounwind memory(inaccessiblemem: readwrite)'


class Result(NamedTuple):
    """A number among what the function returns; `place` leads to it from `%s`, as `getelementptr` has it."""

    kind: str
    place: str


def limit() -> int:
    """Calls inside each other: as many as Python allows."""
    return sys.getrecursionlimit()


def as_loop(
    code: Code, name: str, given: Sequence[Value], results: Sequence[Result]
) -> tuple[str, dict[str, str]]:
    """The function's definition, with the arguments `given` (places of results and exceptions, then those
    that `code` has), and the declarations that it needs."""
    make_frugal(code)
    loop = _Loop(Turns(code), results)
    loop.write(*given[:2])
    listing = ", ".join(map(str, given))
    text = "\n".join(['"fwddiff.enter":', *loop.variables.lines, *loop.begin.lines, *loop.writer.lines])
    outside = code.outside | loop.begin.outside | loop.writer.outside
    return f'define internal i32 @"{name}"({listing}) alwaysinline {{\n{text}\n}}\n', outside


class _Variables:
    """Places on the stack that have values from the beginning, and for good where LLVM finds no other."""

    def __init__(self) -> None:
        self.writer = Writer()
        self.lines = self.writer.lines

    def new(self, kind: str) -> Value:
        place = self.writer.assign("ptr", f"alloca {kind}")
        zero = Value(kind, "null") if kind == "ptr" else number(kind, 0)
        self.writer.line(f"store {zero}, {place}")
        return place


class _Stack:
    """Memory for all depths, taken where the function begins."""

    def __init__(self, begin: Writer):
        self.begin, self.all = begin, []
        self.floats: dict[str, Value] = {}
        self.integers: dict[str, int] = {}
        self.arrays: dict[str, Value] = {}
        self.words: Value

    def take(self, size: int) -> Value:
        self.all.append(allocated(self.begin, number("i64", size * limit())))
        return self.all[-1]

    def room(self, value: Value) -> None:
        """Make room for a value in each frame."""
        if is_float(value.type):
            self.floats.setdefault(value.text, self.take(BYTES[value.type]))
        else:
            self.integers.setdefault(value.text, 1 + len(self.integers))

    def place(self, w: Writer, value: Value, depth: Value) -> Value:
        """Of a value in the frame of this depth."""
        if value.text in self.floats:
            return w.assign("ptr", f"getelementptr {value.type}, {self.floats[value.text]}, {depth}")
        return self.word(w, depth, self.integers[value.text])

    def word(self, w: Writer, depth: Value, n: int) -> Value:
        """Of an integer in the frame of this depth; the first is where to go on."""
        first = w.assign("i64", f"mul {depth}, {1 + len(self.integers)}")
        return w.assign("ptr", f"getelementptr i64, {self.words}, {w.binary('add', first, number('i64', n))}")


class _Loop:
    def __init__(self, turns: Turns, results: Sequence[Result]):
        self.turns, self.results = turns, results
        self.writer, self.begin, self.variables = Writer(), Writer(), _Variables()
        self.stack = _Stack(self.begin)
        new = self.variables.new
        self.depth, self.status = new("i64"), new("i32")
        self.kept = [new(result.kind) for result in results]
        self.waiting = {part.name: turns.waiting(part) for part in turns.calls}
        self.of: dict[str, Value] = {}  # variables of values
        for value in turns.changing.values():
            self.of.setdefault(value.text, new(value.type))
        for value in (v for values in self.waiting.values() for v in values):
            self.of.setdefault(value.text, new(value.type))
            if value.text not in self.stack.floats:
                self.stack.room(value)
        self.here: set[str] = set()  # what the part that is being written has made
        self._incoming: dict[tuple[str, str], str] = {}

    def write(self, place: Value, exception: Value) -> None:
        """All of it; the results go to `place` in the end, and to `exception` whether there is one."""
        w, first = self.writer, self.turns.parts[0].name
        self._take_memory()
        self._poll(first)
        phis: list[tuple[int, Instruction]] = []
        for part in self.turns.parts:
            w.label(part.name)
            self.here = set()
            for phi in part.phis:
                phis.append((len(w.lines), phi))
                w.line("")
            for value in [phi.result for phi in part.phis] + [part.status]:
                if value is not None:
                    self._made(value, is_status=value is part.status)
            self._part(part)
        self._dispatch(place, exception)
        for line, phi in phis:
            ways = [
                f'[ {self._incoming[phi.text, self.turns.last[b]]}, %"{self.turns.last[b]}" ]'
                for b in phi.incoming
            ]
            assert phi.result is not None
            w.lines[line] = f"  {phi.result.text} = phi {phi.result.type} {', '.join(ways)}"

    def _take_memory(self) -> None:
        b, stack = self.begin, self.stack
        stack.words = stack.take(8 * (1 + len(stack.integers)))
        for value in self.turns.made.values():
            if value.operation == "alloca" and value.result is not None:
                stack.arrays[value.result.text] = stack.take(_bytes(_allocated(value)))
        for k, argument in self.turns.changing.items():
            given = self.turns.code.arguments[k]
            b.line(f"store {number('i64', 0) if given.type == 'ptr' else given}, {self.of[argument.text]}")
        missing = [b.assign("i1", f"icmp eq {memory}, null") for memory in stack.all]
        some = missing[0]
        for other in missing[1:]:
            some = b.binary("or", some, other)
        b.line(f"store i32 {NO_MEMORY}, {self.status}")
        b.line(f'br {some}, label %"fwddiff.leave", label %"fwddiff.turn"')

    def _poll(self, first: str) -> None:
        """Ahead of every turn: there may be more of them than anybody waits for."""
        w = self.writer
        w.label("fwddiff.turn")
        if not interrupts.SUPPORTED:
            w.line(f'br label %"{first}"')
            return
        interrupts.install()
        w.outside[polls.POLL] = _POLL
        found = w.assign("i32", f'call i32 @"{polls.POLL}"()')
        w.line(f"store i32 {STOPPED}, {self.status}")
        w.line(f'br {w.assign("i1", f"icmp ne {found}, 0")}, label %"fwddiff.leave", label %"{first}"')

    # --- values ---------------------------------------------------------------------------------------------

    def _made(self, value: Value, is_status: bool = False) -> None:
        """A value is there from here on."""
        w = self.writer
        if is_status:
            w.line(f"{value.text} = load i32, {self.status}")
        self.here.add(value.text)
        if value.text in self.of:
            w.line(f"store {value}, {self.of[value.text]}")

    def _now(self, value: Value) -> Value:
        """A value where it is used."""
        w, turns = self.writer, self.turns
        if value.text in turns.offsets:
            return w.assign("ptr", f"getelementptr i8, {value}, {self._now(turns.offsets[value.text])}")
        if turns.is_remade(value):
            return self._remade(turns.made[value.text])
        if value.text in self.of and value.text not in self.here:
            return w.assign(value.type, f"load {value.type}, {self.of[value.text]}")
        return value

    def _remade(self, i: Instruction) -> Value:
        w = self.writer
        assert i.result is not None
        if i.operation == "alloca":
            depth = w.assign("i64", f"load i64, {self.depth}")
            return w.assign(
                "ptr", f"getelementptr {_allocated(i)}, {self.stack.arrays[i.result.text]}, {depth}"
            )
        return w.assign("ptr", self._with_operands(i).split(" = ", 1)[1])

    def _with_operands(self, i: Instruction) -> str:
        """The instruction's text with its operands as they are here."""
        return self._with(i.text, i.operands)

    def _with(self, text: str, operands: Sequence[Value]) -> str:
        names = {o.text: self._now(o).text for o in operands if o.is_name}
        head, equals, tail = text.partition(" = ")
        body = _LOCAL.sub(
            lambda found: names.get(name_of(found.group(1)), found.group()), tail if equals else head
        )
        return f"{head}{equals}{body}" if equals else body

    def _offset(self, value: Value, argument: str) -> Value:
        """Bytes between where the argument is in the first turn, and a pointer that is made of it."""
        w = self.writer
        if value.text == argument:
            return self._now(self.turns.offsets[argument])
        i = self.turns.made.get(value.text)
        if i is None or i.operation not in STEPS:
            raise Refused("it calls itself with another array")
        if i.operation == "select":
            a, b = (self._offset(o, argument) for o in i.operands[1:])
            return w.select(self._now(i.operands[0]), a, b)
        base, *steps = i.operands
        offset = self._offset(base, argument)
        if i.operation == "freeze":
            return offset
        # From null, the address is the number of bytes.
        kind = parts_of(i.text.split(" getelementptr ", 1)[1])[0].split()[-1]
        listing = ", ".join(map(str, map(self._now, steps)))
        place = w.assign("ptr", f"getelementptr {kind}, ptr null, {listing}")
        return w.binary("add", offset, w.assign("i64", f"ptrtoint {place} to i64"))

    # --- turns ----------------------------------------------------------------------------------------------

    def _part(self, part: Part) -> None:
        w = self.writer
        for i in part.body:
            if i.callee == RETURNED:
                for value, variable in zip(i.operands, self.kept, strict=True):
                    w.line(f"store {self._now(value)}, {variable}")
            elif i.callee.startswith(RESULT):
                kept = self.kept[int(i.callee.removeprefix(RESULT))]
                assert i.result is not None
                w.line(f"{i.result.text} = load {i.result.type}, {kept}")
                self._made(i.result)
            elif i.result is None or not self.turns.is_remade(i.result):
                w.line(self._with_operands(i))
                if i.result is not None:
                    self._made(i.result)
        for phi, operand in self.turns.for_phis(part):
            self._incoming[phi.text, part.name] = self._now(operand).text
        if part.call is not None:
            self._call(part)
        elif part.end.startswith("ret "):
            w.line(f"store i32 {self._with(part.end, self.turns.at_end(part)).split()[-1]}, {self.status}")
            w.line('br label %"fwddiff.return"')
        else:
            w.line(self._with(part.end, self.turns.at_end(part)))

    def _call(self, part: Part) -> None:
        w, n = self.writer, self.turns.calls.index(part)
        depth = w.assign("i64", f"load i64, {self.depth}")
        passed = [
            (argument, self._offset(value, base) if (base := self._base(argument)) else self._now(value))
            for argument, value in self.turns.given(part)
        ]
        waiting = [self._now(value) for value in self.waiting[part.name]]
        w.line(f"store i32 {TOO_DEEP}, {self.status}")
        is_there = w.assign("i1", f"icmp slt {depth}, {limit()}")
        w.line(f'br {is_there}, label %"fwddiff.push.{n}", label %"{part.successors[0]}"')
        w.label(f"fwddiff.push.{n}")
        w.line(f"store i64 {n}, {self.stack.word(w, depth, 0)}")
        for value, now in zip(self.waiting[part.name], waiting, strict=True):
            self._push(value, now, depth)
        for argument, value in passed:
            w.line(f"store {value}, {self.of[argument.text]}")
        w.line(f"store {w.binary('add', depth, number('i64', 1))}, {self.depth}")
        w.line('br label %"fwddiff.turn"')

    def _base(self, argument: Value) -> str:
        return next((base for base, offset in self.turns.offsets.items() if offset == argument), "")

    def _push(self, value: Value, now: Value, depth: Value) -> None:
        w, place = self.writer, self.stack.place(self.writer, value, depth)
        if not is_float(value.type) and value.type != "i64":
            now = w.assign("i64", f"sext {now} to i64")
        w.line(f"store {now}, {place}")

    def _pop(self, value: Value, depth: Value) -> None:
        w, place = self.writer, self.stack.place(self.writer, value, depth)
        kind = value.type if is_float(value.type) else "i64"
        found = w.assign(kind, f"load {kind}, {place}")
        if kind != value.type:
            found = w.assign(value.type, f"trunc {found} to {value.type}")
        w.line(f"store {found}, {self.of[value.text]}")

    def _dispatch(self, place: Value, exception: Value) -> None:
        """Where a turn has ended: the one below goes on, or all is done."""
        w = self.writer
        w.label("fwddiff.return")
        depth = w.assign("i64", f"load i64, {self.depth}")
        done = w.assign("i1", f"icmp eq {depth}, 0")
        w.line(f'br {done}, label %"fwddiff.leave", label %"fwddiff.pop"')
        w.label("fwddiff.pop")
        below = w.binary("sub", depth, number("i64", 1))
        w.line(f"store {below}, {self.depth}")
        where = w.assign("i64", f"load i64, {self.stack.word(w, below, 0)}")
        for n, part in enumerate(self.turns.calls):
            if n + 1 < len(self.turns.calls):
                this = w.assign("i1", f"icmp eq {where}, {n}")
                w.line(f'br {this}, label %"fwddiff.pop.{n}", label %"fwddiff.not.{n}"')
            else:
                w.line(f'br label %"fwddiff.pop.{n}"')
            w.label(f"fwddiff.pop.{n}")
            for value in self.waiting[part.name]:
                self._pop(value, below)
            w.line(f'br label %"{part.successors[0]}"')
            if n + 1 < len(self.turns.calls):
                w.label(f"fwddiff.not.{n}")
        w.label("fwddiff.leave")
        for memory in self.stack.all:
            released(w, memory)
        for result, variable in zip(self.results, self.kept, strict=True):
            value = w.assign(result.kind, f"load {result.kind}, {variable}")
            target = w.assign("ptr", f"getelementptr {result.place % place.text}")
            w.line(f"store {value}, {target}")
        status = w.assign("i32", f"load i32, {self.status}")
        w.line(f"store {thrown(w, status)}, {exception}")
        w.line(f"ret {status}")


def thrown(w: Writer, status: Value) -> Value:
    """What a `try` around a call looks for, where the call raised."""
    w.outside[_THROWN] = f'@"{_THROWN}" = internal constant i8 0'
    raised = w.assign("i1", f"icmp ne {status}, 0")
    return w.select(raised, Value("ptr", f'@"{_THROWN}"'), Value("ptr", "null"))


def _allocated(i: Instruction) -> str:
    """The type of what an `alloca` makes."""
    kind, *rest = parts_of(i.text.split(" alloca ", 1)[1])
    counts = [part.split()[-1] for part in rest if not part.startswith("align ")]
    if any(not count.isdigit() for count in counts):
        raise Refused(i.text)
    return f"[{counts[0]} x {kind}]" if counts and counts[0] != "1" else kind


def _bytes(kind: str) -> int:
    if found := _ARRAY.match(kind):
        return int(found.group(1)) * _bytes(found.group(2))
    if kind not in BYTES:
        raise Refused(f"memory of type {kind} in a function that calls itself")
    return BYTES[kind]
