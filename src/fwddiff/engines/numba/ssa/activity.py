"""Which values depend on which inputs: the structure of the derivative, known before it is written.

A set of inputs is an integer, one bit for each. Values whose set is empty have no partials at all, so slopes
that are infinite there meet nothing. Memory (the function's own, and what arguments point to) is as active
as the most active of what is stored there.
"""

from __future__ import annotations

from collections.abc import Mapping

from fwddiff import rules
from fwddiff.engines.numba.ssa.code import Code, Instruction, Refused, Value
from fwddiff.engines.numba.ssa.expressions import is_zero
from fwddiff.engines.numba.ssa.functions import meaning, memory_function

# Results without derivatives: of these functions, and of conversions to and from integers.
LOCALLY_CONSTANT = frozenset({"value", "constant", "held", "magnitude", "magnitude2"})
# What LLVM makes of a look at a float's bits.
CLASSIFICATION = "llvm.is.fpclass."
_POINTING = ("getelementptr", "phi", "select", "bitcast", "freeze")
# The bits of a float, made an integer without these, may become a float again.
_CONSTANT = ("icmp", "fcmp", "fptosi", "fptoui", "sitofp", "uitofp")


class Activity:
    """`of(value)`: the inputs that a float depends on, or that what a pointer points to does. Integers and
    whatever else holds the bits of an active float are as active as it is."""

    def __init__(self, code: Code, arguments: Mapping[str, int]):
        pointers = [a.text for a in code.arguments if a.type == "ptr"]
        self._values = {name: bits for name, bits in arguments.items() if name not in pointers}
        # Pointers: the memory that they may point to, by the name of what made it.
        self._places: dict[str, frozenset[str]] = {name: frozenset({name}) for name in pointers}
        self._memory: dict[str, int] = {name: arguments.get(name, 0) for name in pointers}
        instructions = code.instructions
        while self._spread(instructions):
            pass

    def of(self, value: Value) -> int:
        return self._values.get(value.text, 0) | self._held(value)

    def is_own(self, pointer: Value) -> bool:
        """Whether it points to memory of the function's own, or of its arguments."""
        return bool(self._places.get(pointer.text))

    def _held(self, pointer: Value) -> int:
        found = 0
        for place in self._places.get(pointer.text, ()):
            found |= self._memory.get(place, 0)
        return found

    def _spread(self, instructions: list[Instruction]) -> bool:
        changed = False
        for i in instructions:
            if i.operation == "store":
                changed |= self._store(i)
            elif memory_function(i.callee) in ("memcpy", "memmove"):
                changed |= self._write(i.operands[0], self._held(i.operands[1]))
            else:
                changed |= self._result(i)
        return changed

    def _store(self, i: Instruction) -> bool:
        given, pointer = i.operands
        if given.type == "ptr" and self.is_own(given):
            raise Refused(f"a pointer in memory: {i.text}")
        return self._write(pointer, self.of(given))

    def _write(self, pointer: Value, found: int) -> bool:
        changed = False
        for place in self._places.get(pointer.text, ()) if found else ():
            changed |= self._memory.get(place, 0) | found != self._memory.get(place, 0)
            self._memory[place] = self._memory.get(place, 0) | found
        return changed

    def _result(self, i: Instruction) -> bool:
        if i.result is None:
            return False
        name, kind = i.result.text, i.result.type
        if kind == "ptr":
            return self._point(i, name)
        found = self._depends_on(i)
        if found == self._values.get(name, 0):
            return False
        self._values[name] = found
        return True

    def _point(self, i: Instruction, name: str) -> bool:
        is_new = i.operation == "alloca" or memory_function(i.callee) == "allocate"
        found = frozenset({name}) if is_new else frozenset()
        if i.operation in _POINTING:
            found = frozenset().union(*[self._places.get(o.text, frozenset()) for o in i.operands])
        changed = found != self._places.get(name, frozenset())
        self._places[name] = found
        held = self._held(Value("ptr", name))
        for place in found:  # one shadow of the pointer serves all of them
            changed |= held != self._memory.get(place, 0)
            self._memory[place] = held
        return changed

    def _depends_on(self, i: Instruction) -> int:
        if i.operation in _CONSTANT or i.callee.startswith(CLASSIFICATION):
            return 0
        found = 0
        for operand in carriers(i) if i.operation == "call" else i.operands:
            found |= self.of(operand)
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
    if name not in rules.TABLE:
        return i.operands
    row = rules.TABLE[name]
    return [o for o, text in zip(i.operands, row.partials, strict=True) if not is_zero(text)]
