"""Operands of a loop: where their elements are, and how they are read and written."""

from __future__ import annotations

import numpy as np

from fwddiff._native.text import Function, Variable
from fwddiff._rule import Slot

_FLOATS = {4: "float", 8: "double"}
_EXTENTS = 3  # place of the outer axes' extents in the layout


def kind_of(dtype: np.dtype) -> str:
    """LLVM's type of an element in memory, and in a call of the core (a bool is a byte)."""
    return _FLOATS[dtype.itemsize] if dtype.kind == "f" else f"i{8 * dtype.itemsize}"


class Operands:
    """The operands, inputs first, in a function of `ptr %pointers, ptr %layout`.

    Outputs overlap with nothing else, which each load and store says (`alias.scope` metadata): LLVM need not
    check.
    """

    def __init__(self, out: Function, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...], pattern: str):
        self.out, self.slots, self.pattern, self.n_in = out, (*inputs, *outputs), pattern, len(inputs)
        self.kinds = [kind_of(slot.dtype) for slot in self.slots]
        self.sizes = [slot.dtype.itemsize for slot in self.slots]
        self._marks = self._scopes()
        numbers = range(len(self.slots))
        self.bases = [self._base(k) for k in numbers]
        self.axes = self.word(2)
        self._columns = out.value(f"add nuw nsw i64 {self.axes}, {_EXTENTS}")
        self._height = out.value(f"add nuw nsw i64 {self.axes}, 1")
        self.steps = [self._step(k) for k in numbers]
        self.rows: list[str] = []
        self.extents = self._core_extents()

    @property
    def inputs(self) -> range:
        return range(self.n_in)

    @property
    def outputs(self) -> range:
        return range(self.n_in, len(self.slots))

    def is_array(self, k: int) -> bool:
        return self.slots[k].core_ndim > 0

    def letter(self, k: int) -> str:
        """How operand k goes along the inner loop: `c`, `s` or `0`."""
        return self.pattern[k].lower().replace("z", "0")

    def is_accumulated(self, k: int) -> bool:
        return self.pattern[k].isupper()

    def is_register_sum(self, k: int) -> bool:
        return self.pattern[k] == "Z" and self.slots[k].dtype.kind == "f" and not self.is_array(k)

    def _scopes(self) -> list[str]:
        """What is said of every load and store of each operand."""
        meta, numbers = self.out.metadata, range(len(self.slots))
        domain = meta('!"operands"', distinct=True)
        scopes = [meta(domain, f'!"operand {k}"', distinct=True) for k in numbers]
        marks = []
        for k in numbers:
            first = self.n_in if k < self.n_in else 0
            others = [scope for j, scope in enumerate(scopes) if j >= first and j != k]
            marks.append(f"!alias.scope {meta(scopes[k])}, !noalias {meta(*others)}")
        return marks

    # --- layout ---------------------------------------------------------------------------------------------

    def word(self, position: str | int) -> str:
        """A number of the layout."""
        return self.out.load("i64", self.out.step("%layout", str(position), "i64"), "layout")

    def _base(self, k: int) -> str:
        return self.out.load("ptr", self.out.step("%pointers", str(k), "i64"), "base")

    def _column(self, k: int) -> str:
        """Place of operand k's strides in the layout."""
        offset = self.out.value(f"mul nuw nsw i64 {self._height}, {k}")
        return self.out.value(f"add nuw nsw i64 {self._columns}, {offset}")

    def _step(self, k: int) -> str:
        """Bytes from one element of the inner loop to the next."""
        if self.letter(k) == "0":
            return "0"
        if self.letter(k) == "c" and not self.is_array(k):
            return str(self.sizes[k])
        return self.word(self.out.value(f"add nuw nsw i64 {self._column(k)}, {self.axes}"))

    def _behind_strides(self, offset: int) -> str:
        """Place in the layout behind the strides of all operands."""
        return self.out.value(f"add nuw nsw i64 {self._column(len(self.slots))}, {offset}")

    def _core_extents(self) -> list[list[str]]:
        """Of each operand; a number has none."""
        found, position = [], 0
        for slot in self.slots:
            axes = range(position, position + slot.core_ndim)
            found.append([self.word(self._behind_strides(axis)) for axis in axes])
            position += slot.core_ndim
        return found

    def core_size(self, k: int) -> str:
        """Numbers in an element of operand k."""
        total = "1"
        for extent in self.extents[k]:
            total = self.out.value(f"mul nuw nsw i64 {total}, {extent}")
        return total

    def clear(self) -> None:
        """Outputs that are accumulated start from zero, whose bytes are 0 in every type."""
        first = self._behind_strides(sum(slot.core_ndim for slot in self.slots))
        for j, k in enumerate(self.outputs):
            if self.is_accumulated(k):
                elements = self.word(self.out.value(f"add nuw nsw i64 {first}, {j}"))
                size = self.out.value(f"mul nuw nsw i64 {elements}, {self.sizes[k]}")
                self.out.line(f"call void @llvm.memset.p0.i64(ptr {self.bases[k]}, i8 0, i64 {size}, i1 0)")

    def begin_row(self, number: str) -> None:
        """Find where the operands begin in the row (a run of the inner loop) of this number."""
        out = self.out
        places = [out.variable("ptr", base, f"a{k}") for k, base in enumerate(self.bases)]
        rest = out.variable("i64", number, "rest")
        # Volatile: for a number that it knows to be the same in every row, LLVM would write the whole loop
        # twice, with outer axes and without.
        axes = out.value("load volatile i64, ptr " + out.step("%layout", "2", "i64"), "axes")
        with out.loop(axes, name="turn", tail=out.plain()) as turn:
            # The last axis moves fastest.
            axis = out.value(f"sub nsw i64 {axes}, {out.value(f'add nuw nsw i64 {turn}, 1')}")
            extent = self.word(out.value(f"add nuw nsw i64 {axis}, {_EXTENTS}"))
            index = out.value(f"urem i64 {rest.get()}, {extent}")
            rest.update("udiv", extent)
            for k, place in enumerate(places):
                self._advance(k, place, axis, index)
        self.rows = [place.get() for place in places]

    def _advance(self, k: int, place: Variable, axis: str, index: str) -> None:
        stride = self.word(self.out.value(f"add nuw nsw i64 {self._column(k)}, {axis}"))
        place.set(self.out.step(place.get(), self.out.value(f"mul nsw i64 {index}, {stride}")))

    # --- elements -------------------------------------------------------------------------------------------

    def cell(self, k: int, i: str) -> str:
        """Address of operand k's element number i of the row."""
        letter, row = self.letter(k), self.rows[k]
        if letter == "0":
            return row
        if letter == "c" and not self.is_array(k):
            return self.out.step(row, i, self.kinds[k])
        return self.out.step(row, self.out.value(f"mul nsw i64 {i}, {self.steps[k]}"))

    def read(self, k: int, cell: str) -> str:
        return self.out.load(self.kinds[k], cell, "x", f", align {self.sizes[k]}, {self._marks[k]}")

    def write(self, k: int, cell: str, value: str) -> None:
        self.out.line(f"store {self.kinds[k]} {value}, ptr {cell}, align {self.sizes[k]}, {self._marks[k]}")

    def add(self, k: int, cell: str, value: str) -> None:
        """`*cell += value`"""
        operation = "fadd" if self.slots[k].dtype.kind == "f" else "add"
        found = self.out.value(f"{operation} {self.kinds[k]} {self.read(k, cell)}, {value}")
        self.write(k, cell, found)

    def argument(self, k: int, value: str) -> str:
        """An element as the core takes it: of a bool, any byte but 0 is true."""
        if self.slots[k].dtype.kind != "b":
            return value
        return self.out.value(f"zext i1 {self.out.value(f'icmp ne i8 {value}, 0')} to i8")
