"""Memory for arrays between a core and operands that are not there as the core takes them."""

from __future__ import annotations

from fwddiff._native.status import NO_MEMORY
from fwddiff.engines.numba.schedule._operands import Operands

_BYTES = 8  # of an element: cores know numbers of 64 bits, and smaller integers


class Scratch:
    """Arrays that are added up are written here first, and those of single precision are double here."""

    def __init__(self, operands: Operands):
        self.operands, self.out = operands, operands.out
        self._places: dict[int, str] = {}
        for k, slot in enumerate(operands.slots):
            if slot.core_ndim and (operands.is_accumulated(k) or self.is_single(k)):
                self._places[k] = self._new(k)

    def is_single(self, k: int) -> bool:
        return self.operands.kinds[k] == "float"

    def _new(self, k: int) -> str:
        size = self.out.value(f"mul nuw nsw i64 {self.operands.core_size(k)}, {_BYTES}")
        whole = self.out.value(f"add nuw nsw i64 {size}, {_BYTES}")  # never none
        place = self.out.value(f"call ptr @malloc(i64 {whole})", "scratch")
        with self.out.when(self.out.value(f"icmp eq ptr {place}, null")):
            self.free()
            self.out.line(f"ret i64 {NO_MEMORY}")
        return place

    def free(self) -> None:
        for place in self._places.values():
            self.out.line(f"call void @free(ptr {place})")

    def place(self, k: int, cell: str) -> str:
        """Where the core finds, or writes, what belongs to this cell."""
        return self._places.get(k, cell)

    def fill(self, k: int, cell: str) -> None:
        """An input of single precision, as doubles."""
        if k not in self._places:
            return
        out, place = self.out, self._places[k]
        with out.loop(self.operands.core_size(k), name="e") as e:
            number = self.operands.read(k, out.step(cell, e, "float"))
            wide = out.value(f"fpext float {number} to double")
            out.line(f"store double {wide}, ptr {out.step(place, e, 'double')}")

    def result(self, k: int, cell: str, e: str) -> str:
        """Number e of an array that the core has written."""
        kind = self.operands.kinds[k]
        if k not in self._places:
            return self.operands.read(k, self.out.step(cell, e, kind))
        inside = "double" if self.is_single(k) else kind
        found = self.out.load(inside, self.out.step(self._places[k], e, inside))
        return self.out.value(f"fptrunc double {found} to float") if self.is_single(k) else found

    def is_used(self, k: int) -> bool:
        return k in self._places
