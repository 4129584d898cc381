"""What pointers point to: the memory that arguments bring, that the function's stack holds, and that it
allocates, each known by the name of the pointer that came first.

Memory may hold pointers itself (lists do: to their items). Which bytes of it is not told apart, so a pointer
that is read may be any that was written to the same memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from fwddiff.engines.numba.ssa.code import Code, Instruction, Refused, Value, is_float
from fwddiff.engines.numba.ssa.functions import memory_function

_NOTHING: frozenset[str] = frozenset()
_POINTING = ("getelementptr", "phi", "select", "bitcast", "freeze")


class Places:
    def __init__(self, code: Code):
        self.arguments = [a.text for a in code.arguments if a.type == "ptr"]
        self._of = {name: frozenset({name}) for name in self.arguments}
        self._inside: dict[str, frozenset[str]] = {}
        instructions = code.instructions
        while sum(self._spread(i) for i in instructions):
            pass
        self._refuse_lost(instructions)

    def of(self, pointer: Value) -> frozenset[str]:
        return self._of.get(pointer.text, _NOTHING)

    def groups(self) -> Iterator[frozenset[str]]:
        """Memory that one pointer may mean, and memory with what is behind the pointers in it."""
        yield from set(self._of.values())
        for place, found in self._inside.items():
            yield found | {place}

    def _behind(self, pointer: Value) -> frozenset[str]:
        return _NOTHING.union(*[self._inside.get(place, _NOTHING) for place in self.of(pointer)])

    def _spread(self, i: Instruction) -> bool:
        if i.operation == "store":
            return i.operands[0].type == "ptr" and self._put(i.operands[1], self.of(i.operands[0]))
        if memory_function(i.callee) in ("memcpy", "memmove"):
            return self._put(i.operands[0], self._behind(i.operands[1]))
        if i.result is None or i.result.type != "ptr":
            return False
        found = self._made(i, i.result.text)
        changed = found != self.of(i.result)
        self._of[i.result.text] = found
        return changed

    def _made(self, i: Instruction, name: str) -> frozenset[str]:
        if i.operation == "alloca" or memory_function(i.callee) == "allocate":
            return frozenset({name})
        if i.operation == "load":
            return self._behind(i.operands[0])
        return _NOTHING.union(*map(self.of, i.operands)) if i.operation in _POINTING else _NOTHING

    def _put(self, pointer: Value, found: frozenset[str]) -> bool:
        changed = False
        for place in self.of(pointer) if found else ():
            known = self._inside.get(place, _NOTHING)
            self._inside[place] = known | found
            changed |= self._inside[place] != known
        return changed

    def _refuse_lost(self, instructions: list[Instruction]) -> None:
        """Pointers that go where they are not seen, come from where none was put, or are moved as integers,
        as LLVM does with single ones."""
        integers: set[str] = set()
        for i in instructions:
            if i.operation == "store":
                given, pointer = i.operands
                if (self.of(given) and not self.of(pointer)) or given.text in integers:
                    raise Refused(f"a pointer in memory: {i.text}")
            elif i.operation == "load" and i.result is not None and self.of(i.operands[0]):
                behind = self._behind(i.operands[0])
                if i.result.type == "ptr" and not behind:
                    raise Refused(f"a pointer from memory: {i.text}")
                if behind and not is_float(i.result.type) and i.result.type != "ptr":
                    integers.add(i.result.text)
