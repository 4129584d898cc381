"""Which values depend on which inputs: the structure of the derivative, known before it is written.

A set of inputs is an integer, one bit for each. Values whose set is empty have no partials at all, so slopes
that are infinite there meet nothing. Memory (the function's own, and what arguments point to) is as active
as the most active of what is stored there, and has shadows for that; so has all memory that the same pointer
may mean, and memory with pointers to it.
"""

from __future__ import annotations

from collections.abc import Mapping

from fwddiff.engines.numba.ssa.code import Code, Instruction, Value
from fwddiff.engines.numba.ssa.expressions import is_zero
from fwddiff.engines.numba.ssa.functions import meaning, memory_function, row_of
from fwddiff.engines.numba.ssa.places import Places

# Results without derivatives: of these functions, and of conversions to and from integers.
LOCALLY_CONSTANT = frozenset({"value", "constant", "held", "magnitude", "magnitude2"})
# What LLVM makes of a look at a float's bits.
CLASSIFICATION = "llvm.is.fpclass."
# The bits of a float, made an integer without these, may become a float again.
_CONSTANT = ("icmp", "fcmp", "fptosi", "fptoui", "sitofp", "uitofp")


class Activity:
    """`of(value)`: the inputs that a float depends on, or that memory behind a pointer has shadows for.
    Integers and whatever else holds the bits of an active float are as active as it is."""

    def __init__(self, code: Code, arguments: Mapping[str, int]):
        self.places = Places(code)
        pointers = self.places.arguments
        self._values = {name: bits for name, bits in arguments.items() if name not in pointers}
        self._memory = {name: arguments.get(name, 0) for name in pointers}  # by place: what is stored there
        instructions = code.instructions
        while sum(self._spread(i) for i in instructions):
            pass
        self._shadowed = dict(self._memory)
        groups = list(self.places.groups())
        while sum(self._share(group) for group in groups):
            pass

    def of(self, value: Value) -> int:
        found = self._values.get(value.text, 0)
        for place in self.places.of(value):
            found |= self._shadowed.get(place, 0)
        return found

    def is_own(self, pointer: Value) -> bool:
        """Whether it points to memory of the function's own, or of its arguments."""
        return bool(self.places.of(pointer))

    def _share(self, group: frozenset[str]) -> bool:
        """One shadow of a pointer serves all that it may point to."""
        found = 0
        for place in group:
            found |= self._shadowed.get(place, 0)
        changed = any(self._shadowed.get(place, 0) != found for place in group)
        self._shadowed |= dict.fromkeys(group, found)
        return changed

    def _held(self, pointer: Value) -> int:
        found = 0
        for place in self.places.of(pointer):
            found |= self._memory.get(place, 0)
        return found

    def _spread(self, i: Instruction) -> bool:
        if i.operation == "store":
            return self._write(i.operands[1], self._values.get(i.operands[0].text, 0))
        if memory_function(i.callee) in ("memcpy", "memmove"):
            return self._write(i.operands[0], self._held(i.operands[1]))
        if i.result is None or i.result.type == "ptr":
            return False
        found = self._depends_on(i)
        changed = found != self._values.get(i.result.text, 0)
        self._values[i.result.text] = found
        return changed

    def _write(self, pointer: Value, found: int) -> bool:
        changed = False
        for place in self.places.of(pointer) if found else ():
            changed |= self._memory.get(place, 0) | found != self._memory.get(place, 0)
            self._memory[place] = self._memory.get(place, 0) | found
        return changed

    def _depends_on(self, i: Instruction) -> int:
        if i.operation in _CONSTANT or i.callee.startswith(CLASSIFICATION):
            return 0
        found = 0
        for operand in carriers(i) if i.operation == "call" else i.operands:
            found |= self._values.get(operand.text, 0) | self._held(operand)
        return found


def carriers(i: Instruction) -> list[Value]:
    """The arguments of a call whose partials reach its result."""
    name = meaning(i.callee)
    if name is None:
        return i.operands
    if name in LOCALLY_CONSTANT:
        return []
    if name in ("graft", "united"):
        return i.operands[1:]
    if name == "powi":
        return i.operands[:1]
    if name == "seed":
        return i.operands[:1]
    row = row_of(name)
    if row is None:
        return i.operands
    return [o for o, text in zip(i.operands, row.partials, strict=True) if not is_zero(text)]
