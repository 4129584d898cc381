"""Which floats are float32 and which float64, where both are among the leaves.

Constants and integers are weak: a number has the precision of the leaves that it is computed from, the
largest of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba.language._arguments import SYMBOL

_WEAK, _SINGLE, _DOUBLE = 0, 1, 2
_OF_DTYPE = {np.dtype(np.float32): _SINGLE, np.dtype(np.float64): _DOUBLE}
_CASTS = {"fwddiff.float32": _SINGLE, "fwddiff.float64": _DOUBLE}
# Sizes alone, as plain numbers.
_SIZES = ("fwddiff.magnitude", "fwddiff.magnitude2")


def precise(text: str, problem: Problem, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """The outputs' slots with the dtypes that the function's floats have."""
    floats = {slot.dtype for slot in problem.inputs if slot.dtype.kind == "f"} | {problem.float_dtype}
    if len(floats) == 1 and not any(f"{name}(" in text for name in _CASTS):
        return slots
    found = _Precisions(text, problem).outputs()
    dtypes = {kind: dtype for dtype, kind in _OF_DTYPE.items()} | {_WEAK: problem.float_dtype}
    places = iter(_offsets(slots))
    return tuple(
        dataclasses.replace(slot, dtype=dtypes[found.get(next(places), _WEAK)])
        if slot.dtype.kind == "f"
        else (next(places), slot)[1]
        for slot in slots
    )


def _offsets(slots: tuple[Slot, ...]) -> list[int]:
    """Where outputs lie: floats are double."""
    places, offset = [], 0
    for slot in slots:
        size = 8 if slot.dtype.kind == "f" else slot.dtype.itemsize
        offset = -(-offset // size) * size
        places.append(offset)
        offset += size
    return places


class _Precisions:
    """Of each value of the core function; memory that it takes has one precision."""

    def __init__(self, text: str, problem: Problem):
        function = llvm.parse_assembly(text).get_function(SYMBOL)
        result, _, *leaves = function.arguments
        self.of = {
            leaf.name: _OF_DTYPE.get(slot.dtype, _WEAK)
            for leaf, slot in zip(leaves, problem.inputs, strict=True)
        }
        self.memory, self.result = _WEAK, result.name
        self.instructions = [i for block in function.blocks for i in block.instructions]
        # Addresses behind the pointer to the results.
        self.places = {self.result: 0}
        for instruction in self.instructions:
            if instruction.opcode == "getelementptr":
                base, *indices = list(instruction.operands)
                if base.name in self.places and len(indices) == 1:
                    self.places[instruction.name] = int(str(indices[0]).split()[-1])
        while self._step():
            pass

    def outputs(self) -> dict[int, int]:
        """Precision by offset."""
        stores = [list(i.operands) for i in self.instructions if i.opcode == "store"]
        found: dict[int, int] = {}
        for value, place in stores:
            if place.name in self.places:
                offset = self.places[place.name]
                found[offset] = max(found.get(offset, _WEAK), self.of.get(value.name, _WEAK))
        return found

    def _step(self) -> bool:
        changed = False
        for instruction in self.instructions:
            operands = list(instruction.operands)
            if instruction.opcode == "store":
                if operands[1].name not in self.places:
                    new = max(self.memory, self.of.get(operands[0].name, _WEAK))
                    changed |= new != self.memory
                    self.memory = new
            elif str(instruction.type) == "double":
                new = self._precision(instruction, operands)
                changed |= new != self.of.get(instruction.name, _WEAK)
                self.of[instruction.name] = new
        return changed

    def _precision(self, instruction: Any, operands: list[Any]) -> int:
        if instruction.opcode == "load":
            return self.memory
        given = max((self.of.get(operand.name, _WEAK) for operand in operands), default=_WEAK)
        name = operands[-1].name if instruction.opcode == "call" else ""
        if name in _SIZES:
            return _WEAK
        return _CASTS.get(name, given) if given else _WEAK
