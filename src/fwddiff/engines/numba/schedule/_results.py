"""What becomes of the core's results: looked at, stored, added up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from fwddiff._native.status import UNDEFINED
from fwddiff._native.text import Variable
from fwddiff.engines.numba.schedule._operands import Operands

BLOCK = 256  # elements whose sum is kept in a register


class Checks(NamedTuple):
    """Outputs that are looked at for nan, and whether for infinities too."""

    outputs: tuple[int, ...]
    infinities: bool


NO_CHECKS = Checks((), False)


class Results:
    """`values` are results of one element, by their operand's number."""

    def __init__(self, operands: Operands, checks: Checks):
        self.operands, self.out, self._infinities = operands, operands.out, checks.infinities
        self.checked = [operands.n_in + j for j in sorted(set(checks.outputs))]
        self.sums = [k for k in operands.outputs if operands.is_register_sum(k)]
        self._undefined = self.out.variable("i8", "0", "undefined") if self.checked else None
        self._blocks: dict[int, Variable] = {}

    def status(self) -> str:
        if self._undefined is None:
            return "0"
        undefined = self.out.value(f"icmp ne i8 {self._undefined.get()}, 0")
        return self.out.value(f"select i1 {undefined}, i64 {UNDEFINED}, i64 0")

    # --- nan ------------------------------------------------------------------------------------------------

    def check(self, values: Mapping[int, str], but: Collection[int] = ()) -> None:
        """Look at the results of one element. Sums are looked at in the end."""
        wanted = [k for k in self.checked if k in values and k not in self.sums and k not in but]
        by_kind: dict[str, list[str]] = {}
        for k in wanted:
            by_kind.setdefault(self.operands.kinds[k], []).append(values[k])
        for kind, found in by_kind.items():
            self._look(kind, found)

    def _look(self, kind: str, values: list[str]) -> None:
        if kind not in ("float", "double") or self._undefined is None:
            return
        if self._infinities:  # inf - inf is nan
            values = [self.out.value(f"fsub {kind} {value}, {value}") for value in values]
        # One comparison tells of two numbers whether one is nan.
        for a, b in itertools.zip_longest(values[::2], values[1::2]):
            found = self.out.value(f"fcmp uno {kind} {a}, {b or a}")
            # Not a bit: LLVM merges a single comparison into the loop's condition, and vectorises no more.
            self._undefined.update("or", self.out.value(f"zext i1 {found} to i8"))

    # --- stores ---------------------------------------------------------------------------------------------

    def store(self, values: Mapping[int, str], i: str) -> None:
        for k, value in values.items():
            if k in self.sums:
                # Float additions that LLVM may reorder, so that sums vectorise; nothing else is reordered.
                self._blocks[k].update("fadd reassoc nsz", value)
            elif self.operands.is_accumulated(k):
                self.operands.add(k, self.operands.cell(k, i), value)
            else:
                self.operands.write(k, self.operands.cell(k, i), value)

    # --- sums -----------------------------------------------------------------------------------------------

    def in_blocks(self, n: str, write: Callable[[str, str], None]) -> None:
        """The inner loop, which `write(begin, end)` writes: whole, or if there are sums in blocks, whose sums
        are added with their rounding errors kept (Neumaier 1974)."""
        if not self.sums:
            write("0", n)
            return
        out = self.out
        totals = {k: [out.variable("double", "0.0", name) for name in ("total", "lost")] for k in self.sums}
        with out.loop(n, step=BLOCK, name="block") as begin:
            kinds = self.operands.kinds
            self._blocks = {k: out.variable(kinds[k], "0.0", "sum") for k in self.sums}
            whole = out.value(f"add nuw nsw i64 {begin}, {BLOCK}")
            end = out.value(f"call i64 @llvm.smin.i64(i64 {whole}, i64 {n})")
            write(begin, end)
            for k, (total, lost) in totals.items():
                self._add_block(total, lost, self._as_double(k, self._blocks[k].get()))
        for k, (total, lost) in totals.items():
            self._add_total(k, total.get(), lost.get())
        for total in [totals[k][0].get() for k in self.sums if k in self.checked]:
            self._look("double", [total])

    def _add_block(self, total: Variable, lost: Variable, block: str) -> None:
        out, before = self.out, total.get()
        both = out.value(f"fadd double {before}, {block}")
        sizes = [out.value(f"call double @llvm.fabs.f64(double {x})") for x in (before, block)]
        is_larger = out.value(f"fcmp oge double {sizes[0]}, {sizes[1]}")
        larger = out.value(f"select i1 {is_larger}, double {before}, double {block}")
        smaller = out.value(f"select i1 {is_larger}, double {block}, double {before}")
        error = out.value(f"fadd double {out.value(f'fsub double {larger}, {both}')}, {smaller}")
        lost.update("fadd", error)
        total.set(both)

    def _add_total(self, k: int, total: str, lost: str) -> None:
        """An overflowing or nan total has no meaningful rounding error: inf - inf would turn it into nan."""
        out, operands = self.out, self.operands
        is_number = out.value(f"fcmp ord double {lost}, 0.0")
        corrected = out.value(f"fadd double {total}, {lost}")
        term = out.value(f"select i1 {is_number}, double {corrected}, double {total}")
        cell = operands.cell(k, "0")
        found = out.value(f"fadd double {self._as_double(k, operands.read(k, cell))}, {term}")
        if operands.kinds[k] != "double":
            found = out.value(f"fptrunc double {found} to {operands.kinds[k]}")
        operands.write(k, cell, found)

    def _as_double(self, k: int, value: str) -> str:
        kind = self.operands.kinds[k]
        return value if kind == "double" else self.out.value(f"fpext {kind} {value} to double")
