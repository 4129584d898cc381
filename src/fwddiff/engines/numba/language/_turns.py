"""What a function that calls itself needs after each of these calls, of what it had before.

A run of the function is a *turn*; blocks are taken apart at the calls, so that a turn consists of parts.
Pointers are never kept: they are made again, where they are used, from what they were made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from fwddiff.engines.numba.ssa.code import Block, Code, Instruction, Refused, Value, name_of
from fwddiff.engines.numba.ssa.function import BYTES

AGAIN = "fwddiff.again"
# Instructions that make pointers of pointers.
STEPS = ("getelementptr", "select", "freeze")
_AT_END = re.compile(r'^(?:br i1|ret i32) %("[^"]*"|[\w.$-]+)')


class Part:
    """What stands between calls of the function. A part that `call` ends is followed by one that begins with
    the call's `status`."""

    def __init__(self, name: str, phis: Sequence[Instruction], status: Value | None):
        self.name, self.phis, self.status = name, phis, status
        self.body: list[Instruction] = []
        self.call: Instruction | None = None
        self.end = ""
        self.successors: list[str] = []


def _split(block: Block) -> list[Part]:
    parts = [Part(block.name, block.phis, None)]
    for i in block.body:
        if i.callee != AGAIN:
            parts[-1].body.append(i)
            continue
        parts[-1].call, after = i, f"{parts[-1].name}.after"
        parts[-1].successors = [after]
        parts.append(Part(after, [], i.result))
    parts[-1].end, parts[-1].successors = block.end, block.successors
    return parts


class Turns:
    """`changing` are the arguments that calls give other values, each with its position; of a pointer, the
    `offsets` have the number of bytes from where it is in the first turn. All other arguments are `fixed`."""

    def __init__(self, code: Code):
        self.code = code
        by_block = {block.name: _split(block) for block in code.blocks}
        self.parts = [part for parts in by_block.values() for part in parts]
        self.last = {name: parts[-1].name for name, parts in by_block.items()}
        self.calls = [part for part in self.parts if part.call is not None]
        self.made = {i.result.text: i for i in code.instructions if i.result is not None}
        self._values = {a.text: a for a in code.arguments} | {
            name: i.result for name, i in self.made.items() if i.result is not None
        }
        self.fixed: set[str] = set()
        self.changing: dict[int, Value] = {}
        self.offsets: dict[str, Value] = {}
        for k, argument in enumerate(code.arguments):
            self._sort(k, argument)
        self._needed = self._find_needed()

    def waiting(self, part: Part) -> list[Value]:
        """What is needed after the call that ends this part, but for the call's status."""
        found = list(self._needed[part.successors[0]].values())
        for v in found:
            if v.type not in BYTES:
                raise Refused(f"a value of type {v.type} waits while the function calls itself")
        return found

    def given(self, part: Part) -> Iterator[tuple[Value, Value]]:
        """The arguments that change, and what the call that ends this part passes for each."""
        assert part.call is not None
        for k, argument in self.changing.items():
            yield argument, part.call.operands[k]

    # --- arguments ------------------------------------------------------------------------------------------

    def _sort(self, k: int, argument: Value) -> None:
        passed = {part.call.operands[k].text for part in self.calls if part.call is not None}
        if passed <= {argument.text} or not self._is_used(argument.text, k):
            self.fixed.add(argument.text)
        elif argument.type == "ptr":
            self.offsets[argument.text] = Value("i64", name_of(f"{bare(argument)}.offset"))
            self.changing[k] = self.offsets[argument.text]
        else:
            self.changing[k] = argument

    def _is_used(self, name: str, position: int) -> bool:
        """By anything but calls of the function, which pass it on."""
        for i in self.code.instructions:
            for k, operand in enumerate(i.operands):
                if operand.text == name and (i.callee != AGAIN or k != position):
                    return True
        return any(v.text == name for part in self.parts for v in self.at_end(part))

    # --- what is needed -------------------------------------------------------------------------------------

    def is_remade(self, value: Value) -> bool:
        """A pointer that is made where it is used."""
        if value.type != "ptr" or value.text in self.offsets:
            return value.text in self.offsets
        i = self.made.get(value.text)
        return i is not None and i.operation in (*STEPS, "alloca")

    def at_end(self, part: Part) -> list[Value]:
        """What the end of a part looks at."""
        found = _AT_END.match(part.end)
        return [self._values[name_of(found.group(1))]] if found else []

    def for_phis(self, part: Part) -> Iterator[tuple[Instruction, Value]]:
        """The phis of blocks that follow a part, and what they take from it."""
        if part.call is None:
            for after in set(part.successors):
                for phi in self._block(after).phis:
                    for operand, source in zip(phi.operands, phi.incoming, strict=True):
                        if self.last[source] == part.name:
                            yield phi, operand

    def _block(self, name: str) -> Block:
        return next(block for block in self.code.blocks if block.name == name)

    def _leaves(self, value: Value) -> Iterator[Value]:
        """What has to be there where this value is used."""
        if value.text in self.offsets:
            yield self.offsets[value.text]
        elif self.is_remade(value):
            for operand in self.made[value.text].operands:
                yield from self._leaves(operand)
        elif value.is_name and value.text not in self.fixed:
            yield value

    def _uses(self, part: Part) -> tuple[dict[str, Value], set[str]]:
        """What a part needs from before it, and what it makes."""
        used: dict[str, Value] = {}
        own = {phi.result.text for phi in part.phis if phi.result is not None}
        own |= {part.status.text} if part.status is not None else set()

        def note(values: Iterable[Value]) -> None:
            for value in values:
                used.update({v.text: v for v in self._leaves(value) if v.text not in own})

        for i in part.body:
            if i.result is None or not self.is_remade(i.result):
                note(i.operands)
                own |= {i.result.text} if i.result is not None else set()
        note(self.at_end(part))
        note(operand for _, operand in self.for_phis(part))
        if part.call is not None:
            note(value for _, value in self.given(part))
        return used, own

    def _find_needed(self) -> dict[str, dict[str, Value]]:
        """By part, what it and all that may come after it need from before."""
        found, made = {}, {}
        for part in self.parts:
            found[part.name], made[part.name] = self._uses(part)
        changed = True
        while changed:
            changed = False
            for part in reversed(self.parts):
                own, before = made[part.name], len(found[part.name])
                for after in part.successors:
                    new = {name: v for name, v in found[after].items() if name not in own}
                    found[part.name] = new | found[part.name]
                changed |= len(found[part.name]) != before
        return found


def bare(value: Value) -> str:
    return value.text.strip('%"')
