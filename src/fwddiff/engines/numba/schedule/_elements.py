"""The inner loop, one element after the other; LLVM makes vectors of it."""

from __future__ import annotations

from fwddiff._native.status import EXCEPTION, INTERRUPTED, STOPPED
from fwddiff.engines.numba.schedule._results import Results


class Elements:
    """Calls the core, which is inlined: the room for its results becomes registers."""

    def __init__(self, results: Results, core: str, vectorise: bool):
        self.results, self.operands, self.out = results, results.operands, results.operands.out
        self._core = core
        self._type = "{ " + ", ".join(self.operands.kinds[k] for k in self.operands.outputs) + " }"
        self._room = self.out.room(self._type, "results")
        self._exception = self.out.room("ptr", "exception")
        # LLVM's loop vectoriser takes minutes where a core has many branches.
        self._tail = "" if vectorise else self.out.unvectorised()

    def row(self, n: str) -> None:
        """All elements of a row."""
        operands = self.operands
        fixed = {k: self._argument(k, "0") for k in operands.inputs if operands.letter(k) == "0"}

        def write(begin: str, end: str) -> None:
            with self.out.loop(end, start=begin, tail=self._tail) as i:
                given = [fixed[k] if k in fixed else self._argument(k, i) for k in operands.inputs]
                values = self._called(given)
                self.results.check(values)
                self.results.store(values, i)

        self.results.in_blocks(n, write)

    def _argument(self, k: int, i: str) -> str:
        return self.operands.argument(k, self.operands.read(k, self.operands.cell(k, i)))

    def _called(self, arguments: list[str]) -> dict[int, str]:
        out, operands = self.out, self.operands
        # A path that raises stores no results: without this they would seem to be the previous element's.
        out.line(f"store {self._type} poison, ptr {self._room}")
        places = [f"ptr {self._room}", f"ptr {self._exception}"]
        given = [f"{operands.kinds[k]} {x}" for k, x in zip(operands.inputs, arguments, strict=True)]
        status = out.value(f"call i32 @{self._core}({', '.join([*places, *given])})", "status")
        stopped = out.value(f"icmp eq i32 {status}, {STOPPED}")
        failure = out.value(f"select i1 {stopped}, i64 {INTERRUPTED}, i64 {EXCEPTION}")
        out.leave_unless(out.value(f"icmp eq i32 {status}, 0"), failure)
        return {k: self._result(k) for k in operands.outputs}

    def _result(self, k: int) -> str:
        j = k - self.operands.n_in
        place = self.out.value(f"getelementptr {self._type}, ptr {self._room}, i32 0, i32 {j}", "p")
        return self.out.load(self.operands.kinds[k], place, "r")
