"""The inner loop, one element after the other; LLVM makes vectors of it."""

from __future__ import annotations

from fwddiff._native.status import EXCEPTION, INTERRUPTED, NO_MEMORY, SHAPE_MISMATCH, STOPPED, TOO_DEEP
from fwddiff.engines.numba.schedule._ahead import Computed
from fwddiff.engines.numba.schedule._results import Results
from fwddiff.engines.numba.schedule._scratch import Scratch


class Elements:
    """Calls the core, which is inlined: the room for its results becomes registers."""

    def __init__(self, results: Results, core: str, vectorise: bool, scratch: Scratch, ahead: Computed):
        self.results, self.operands, self.out = results, results.operands, results.operands.out
        self._core, self._scratch, self._ahead = core, scratch, ahead
        self._numbers = [k for k in self.operands.outputs if not self.operands.is_array(k)]
        self._arrays = [k for k in self.operands.outputs if self.operands.is_array(k)]
        self._type = "{ " + ", ".join(self.operands.kinds[k] for k in self._numbers) + " }"
        self._room = self.out.room(self._type, "results")
        self._exception = self.out.room("ptr", "exception")
        # LLVM's loop vectoriser takes minutes where a core has many branches.
        self._tail = "" if vectorise else self.out.unvectorised()

    def row(self, n: str) -> None:
        """All elements of a row."""
        operands = self.operands
        fixed = {k: self._argument(k, "0") for k in operands.inputs if operands.letter(k) == "0"}
        ahead = self._ahead.row()

        def write(begin: str, end: str) -> None:
            with self.out.loop(end, start=begin, tail=self._tail) as i:
                given = [fixed[k] if k in fixed else self._argument(k, i) for k in operands.inputs]
                cells = {k: operands.cell(k, i) for k in self._arrays}
                values = self._called(given + ahead + [self._array(k, cell) for k, cell in cells.items()])
                self.results.check(values)
                self.results.store(values, i)
                for k, cell in cells.items():
                    self._take(k, cell)

        self.results.in_blocks(n, write)

    def _argument(self, k: int, i: str) -> str:
        """The types and values of what the core gets."""
        cell = self.operands.cell(k, i)
        if self.operands.is_array(k):
            self._scratch.fill(k, cell)
            return self._array(k, cell)
        value = self.operands.argument(k, self.operands.read(k, cell))
        return f"{self.operands.kinds[k]} {value}"

    def _array(self, k: int, cell: str) -> str:
        extents = [f"i64 {extent}" for extent in self.operands.extents[k]]
        return ", ".join([f"ptr {self._scratch.place(k, cell)}", *extents])

    def _take(self, k: int, cell: str) -> None:
        """Look at an array that the core has written, and bring it to where it belongs."""
        if not self._scratch.is_used(k) and k not in self.results.checked:
            return
        operands = self.operands
        with self.out.loop(operands.core_size(k), name="e") as e:
            value = self._scratch.result(k, cell, e)
            self.results.check({k: value})
            target = self.out.step(cell, e, operands.kinds[k])
            if operands.is_accumulated(k):
                operands.add(k, target, value)
            elif self._scratch.is_used(k):
                operands.write(k, target, value)

    def _called(self, arguments: list[str]) -> dict[int, str]:
        out = self.out
        # A path that raises stores no results: without this they would seem to be the previous element's.
        if self._numbers:
            out.line(f"store {self._type} poison, ptr {self._room}")
        places = [f"ptr {self._room}", f"ptr {self._exception}"]
        status = out.value(f"call i32 @{self._core}({', '.join([*places, *arguments])})", "status")
        with out.when(out.value(f"icmp ne i32 {status}, 0")):
            self._scratch.free()
            out.line(f"ret i64 {self._reason(status)}")
        return {k: self._result(j, k) for j, k in enumerate(self._numbers)}

    def _reason(self, status: str) -> str:
        """The kernel's status for a core's."""
        known = {str(STOPPED): INTERRUPTED, str(NO_MEMORY): NO_MEMORY, str(TOO_DEEP): TOO_DEEP}
        if any(map(self.operands.is_array, range(len(self.operands.slots)))):
            known[str(SHAPE_MISMATCH)] = SHAPE_MISMATCH
        found = str(EXCEPTION)
        for given, reason in known.items():
            is_known = self.out.value(f"icmp eq i32 {status}, {given}")
            found = self.out.value(f"select i1 {is_known}, i64 {reason}, i64 {found}")
        return found

    def _result(self, j: int, k: int) -> str:
        place = self.out.value(f"getelementptr {self._type}, ptr {self._room}, i32 0, i32 {j}", "p")
        return self.out.load(self.operands.kinds[k], place, "r")
