"""Machine code of one kernel, and its call from Python."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from llvmlite import ir

import numba
from fwddiff._errors import FwdDiffError, StructureError
from fwddiff._mistakes import named
from fwddiff._native import interrupts, tasks
from fwddiff._native.machine_code import Code, needs_of
from fwddiff._native.status import STOPPED
from fwddiff._problem import Problem
from fwddiff._rule import Shape, Slot
from fwddiff.engines.numba import groups, loops, polls
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.lanes import has_many_blocks, has_polls, side_by_side
from fwddiff.engines.numba.options import INTERNAL
from fwddiff.engines.numba.schedule import NO_CHECKS, Checks
from numba.core import types
from numba.extending import intrinsic

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64)


class Kernel:
    """A C function `int64 kernel(int64 *pointers, int64 *layout)` at `address`.

    `owner` keeps the machine code alive. `raising` makes a Numba function of the same work that raises what
    the C function only reports as a status. `assembly` gives the machine code as text, to see whether a loop
    is vectorised. `polls`: whether Ctrl-C stops it.
    """

    __slots__ = ("address", "assembly", "call", "owner", "polls", "raising")

    def __init__(self, code: Code, raising: Callable[[], Any], assembly: Callable[[], str]):
        self.address, self.owner, self.polls = code
        self.raising, self.assembly = raising, assembly
        self.call = interrupts.caller() if self.polls else _PROTOTYPE(self.address)


def build(
    core: Any,
    inputs: tuple[Slot, ...],
    outputs: tuple[Slot, ...],
    pattern: str,
    loops_inside: bool = False,
    checks: Checks = NO_CHECKS,
) -> Kernel:
    """Compile `core(*leaves) → tuple`, applied along operands of this pattern; one that loops or branches
    much is applied to several elements side by side where it can be."""
    kinds = tuple(map(loops.leaf_type, inputs))
    is_tangled = has_many_blocks(core, kinds)
    scalar = loops.kernel_function(core, inputs, outputs, pattern, checks, vectorise=not is_tangled)
    kernel = scalar
    if (loops_inside or is_tangled) and not any(slot.core_ndim for slot in (*inputs, *outputs)):
        lanes = side_by_side(core, kinds, [letter != "0" for letter in pattern[: len(inputs)]])
        kernel = scalar if lanes is None else groups.kernel_function(lanes, inputs, outputs, pattern, checks)
    inner = numba.njit(_signature(pattern), **INTERNAL)(kernel)
    owner = _without_exceptions(inner, len(pattern), polls.definition(has_polls(core, kinds)))
    looks = interrupts.expect(needs_of(owner._library._final_module))
    code = Code(owner.address, owner, looks)
    return Kernel(code, lambda: _of_python(scalar, pattern), owner._library.get_asm_str)


def raising(core: Any, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...], pattern: str) -> Any:
    """A function of Numba's that does a kernel's work element by element, and raises what it raises."""
    return _of_python(loops.kernel_function(core, inputs, outputs, pattern), pattern)


def _of_python(function: Any, pattern: str) -> Any:
    return numba.njit(_signature(pattern), nogil=True, error_model="numpy")(function)


def _signature(pattern: str) -> Any:
    return types.int64(*[types.int64] * (1 + len(pattern)))


def _without_exceptions(kernel: Any, operands: int, poll: Any) -> Any:
    """C function `(pointers, layout) → status`: an exception that left a `cfunc` would return garbage.

    It reads the status that compiled functions return; a `try` block would take a third of all compile time.
    """
    (compiled,) = kernel.overloads.values()

    @intrinsic
    def run(typing_context, pointers, layout):
        def codegen(context, builder, signature, arguments):
            base = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
            places = [builder.gep(base, [ir.IntType(64)(k)]) for k in range(operands)]
            addresses = [builder.load(place) for place in places]
            context.active_code_library.add_linking_library(compiled.library)
            context.active_code_library.add_linking_library(poll)
            status, result = context.call_internal_no_propagate(
                builder, compiled.fndesc, compiled.signature, [arguments[1], *addresses]
            )
            was_stopped = builder.icmp_signed("==", status.code, status.code.type(STOPPED))
            word = ir.IntType(64)
            failure = builder.select(was_stopped, word(tasks.INTERRUPTED), word(tasks.EXCEPTION))
            return builder.select(status.is_ok, result, failure)

        return types.int64(types.int64, types.int64), codegen

    native = compile_function("native", "def native(p, layout):\n    return run(p, layout)\n", {"run": run})
    return numba.cfunc(types.int64(types.int64, types.int64), nogil=True)(native)


class Launch:
    """A kernel with its layout: `launch(*addresses of inputs and outputs)` runs it without the GIL.

    `outputs` are the shapes and dtypes of the arrays that the caller provides, C-contiguous. `tasks` is the
    number of parts into which several threads may divide the call; 1 means that it runs on the calling
    thread. `again()` is the launch of the exact kernel (`zeros`), for results that are nan.
    """

    __slots__ = (
        "_again",
        "_call",
        "_pack",
        "_table",
        "_table_address",
        "_undivided",
        "kernel",
        "name",
        "outputs",
        "problem",
        "tasks",
    )

    def __init__(
        self,
        kernel: Kernel,
        table: np.ndarray,
        parts: int,
        outputs: list[tuple[Shape, np.dtype]],
        name: str,
        problem: Problem,
        again: Callable[[], Launch],
    ):
        self._again = again
        self.kernel, self.outputs, self.name, self.tasks = kernel, outputs, name, parts
        self.problem = problem
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
        addresses = struct.unpack(f"{len(pointers) // 8}q", pointers)
        with named(self.problem):
            self.kernel.raising()(self._table.ctypes.data + 8 * self._undivided, *addresses)
        raise FwdDiffError(f"{self.name} raised an exception on one thread, but not when called again.")
