"""Machine code of one kernel, and its call from Python."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from fwddiff._errors import StructureError
from fwddiff._native import interrupts, tasks
from fwddiff._native.machine_code import Code
from fwddiff._rule import Shape

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64)


class Kernel:
    """A C function `int64 kernel(int64 *pointers, int64 *layout)` at `address`.

    `owner` keeps the machine code alive. `assembly` gives it as text, to see whether a loop is vectorised.
    `polls`: whether Ctrl-C stops it.
    """

    __slots__ = ("address", "assembly", "call", "owner", "polls")

    def __init__(self, code: Code, assembly: Callable[[], str]):
        self.address, self.owner, self.polls = code
        self.assembly = assembly
        self.call = interrupts.caller() if self.polls else _PROTOTYPE(self.address)


class Launch:
    """A kernel with its layout: `launch(*addresses of inputs and outputs)` runs it without the GIL.

    `outputs` are the shapes and dtypes of the arrays that the caller provides, C-contiguous. `tasks` is the
    number of parts into which several threads may divide the call; 1 means that it runs on the calling
    thread. `again()` is the launch of the exact kernel (`ssa.differentiate`), for results that are nan.
    `fail(addresses)` raises what the function raises.
    """

    __slots__ = (
        "_again",
        "_call",
        "_fail",
        "_pack",
        "_table",
        "_table_address",
        "_undivided",
        "kernel",
        "name",
        "outputs",
        "tasks",
    )

    def __init__(
        self,
        kernel: Kernel,
        table: np.ndarray,
        parts: int,
        outputs: list[tuple[Shape, np.dtype]],
        name: str,
        again: Callable[[], Launch],
        fail: Callable[[Sequence[int]], NoReturn],
    ):
        self._again, self._fail = again, fail
        self.kernel, self.outputs, self.name, self.tasks = kernel, outputs, name, parts
        self._call = kernel.call
        self._table, self._undivided = table.copy(), int(table[1])
        self._table_address = self._table.ctypes.data
        if parts == 1:
            self._table_address += 8 * self._undivided
            if kernel.polls:
                self._table[self._undivided - 1] = kernel.address  # for `interrupts.caller`
        self._pack: Any = None

    def __call__(self, *addresses: int, threads: int = 0) -> bool:
        """Run; `False` where derivatives are nan (or infinite, if they are partials to be stored).

        At most `threads` threads work, by default as many as `default_threads` says; `-threads` of the team,
        where a host lends one (`tasks.use_team`). Raises what the user's function raises, `StructureError`
        where an array result has another shape than expected, and `MemoryError`.
        """
        if self._pack is None:
            self._pack = struct.Struct(f"{len(addresses)}q").pack
        return self.run(self._pack(*addresses), threads)

    def run(self, pointers: bytes, threads: int = 0) -> bool:
        """The same of packed addresses."""
        if self.tasks == 1:
            status = self._call(pointers, self._table_address)
        else:
            status = self._share_out(pointers, threads or tasks.default_threads())
        return status == 0 or self._answer(status, pointers, threads)

    def _share_out(self, pointers: bytes, threads: int) -> int:
        if self.kernel.polls and interrupts.begin():
            return tasks.STALE
        return tasks.runner().call(self.kernel.address, pointers, self._table_address, threads)

    def bound(self, *addresses: int, threads: int = 0) -> Callable[[], bool]:
        """The same call, for operands that stay where they are: their addresses are packed once."""
        return functools.partial(self.run, struct.pack(f"{len(addresses)}q", *addresses), threads)

    def _answer(self, status: int, pointers: bytes, threads: int) -> bool:
        if status in (tasks.INTERRUPTED, tasks.STALE):
            interrupts.deliver(status)
            return self.run(pointers, threads)
        if status != tasks.UNDEFINED:
            self._raise(status, pointers)
        self._again().run(pointers, threads)
        return False

    def _raise(self, status: int, pointers: bytes) -> NoReturn:
        if status == tasks.SHAPE_MISMATCH:
            raise StructureError(
                f"{self.name} returns an array whose shape depends on the values of its arguments. Return an "
                "array whose shape follows from the shapes of the arguments."
            )
        if status == tasks.NO_MEMORY:
            raise MemoryError(f"{self.name}: no memory for the sums of {self.tasks} tasks.")
        if status == tasks.TOO_DEEP:
            raise RecursionError(f"{self.name}: maximum recursion depth exceeded")
        self._fail(struct.unpack(f"{len(pointers) // 8}q", pointers))

    def succeeds(self, *addresses: int) -> bool:
        """Whether no element raises; for who looks for the one that does."""
        pointers = struct.pack(f"{len(addresses)}q", *addresses)
        if self.tasks == 1:
            return self._call(pointers, self._table_address) != tasks.EXCEPTION
        return self._share_out(pointers, 1) != tasks.EXCEPTION
