"""A kernel's call, divided into tasks that several threads take one after another.

`run(kernel, pointers, layout, threads) → status` does the whole call. The table `layout` starts with

    [tasks T, position of the layout of the undivided call,
     and if T > 1: positions of the layouts of every task but the last, and of the last,
     operands n, shared sums m, private sums q, bytes of scratch memory per task,
     for each operand the bytes between the starts of two tasks,
     for each operand its place in a task's scratch memory, -1 if it has none,
     m times: operand, bytes              (outputs that tasks add to, each its own part: cleared first)
     q times: operand, elements, kind     (outputs that every task adds to: each has a copy, added up in the
     end)]

positions counted in words. Whether threads are worth starting is measured on the spot: the first task is run
and timed, and the others are shared out if they will take longer than starting a thread does by far. What is
added to what depends on the tasks alone, so results are the same for any number of threads.

Threads are started for one call and joined in it. A pool would save some 10 µs of a call that takes at least
100, and would have to survive `fork`, interpreter exit and callers on threads of their own. Where a host has
a pool whose threads wait busily, threads of ours would have to share the cores with them: it is lent to us
(`use_team`).
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import time
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding

from fwddiff._native import interrupts, kept
from fwddiff._native.machine_code import Code
from fwddiff._native.status import (
    EXCEPTION,
    INTERRUPTED,
    NO_MEMORY,
    SHAPE_MISMATCH,
    STALE,
    TOO_DEEP,
    UNDEFINED,
)
from fwddiff._native.words import Word, Words

__all__ = ["EXCEPTION", "INTERRUPTED", "NO_MEMORY", "SHAPE_MISMATCH", "STALE", "TOO_DEEP", "UNDEFINED"]

DTYPES = ("float64", "float32", "int64", "int32")  # of private sums, by their kind
WORTH_THREADS = 100_000  # nanoseconds of work left, below which no thread is started
SUPPORTED = hasattr(time, "CLOCK_MONOTONIC") and os.name == "posix"

_CLOCK = int(getattr(time, "CLOCK_MONOTONIC", 0))
_HEADER = 8  # words of the table before the lists
# Words of the state that threads share.
_STATE = 6
_KERNEL, _POINTERS, _LAYOUT, _NEXT, _STATUS, _SCRATCH = range(_STATE)
# Words of the table.
_TASKS, _WHOLE, _MOST, _LAST, _OPERANDS, _SHARED, _PRIVATE, _BYTES = range(_HEADER)


class Runner(NamedTuple):
    """`call(kernel, pointers as bytes, address of the layout, threads) → status`; negative threads are those
    of the team, if there is one."""

    call: Any
    owner: Code


# --- what is compiled ---------------------------------------------------------------------------------------


def runner_text() -> str:
    """LLVM's text of `fwddiff_run` and of what its threads run."""
    return "\n".join([_task_text(), _worker_text(), _run_text()])


def _task_text() -> str:
    """Run one task; `pointers` is room for the operands' addresses."""
    c = Words("fwddiff_task", "state", "pointers", "task")
    state, pointers, task = c.parameters
    layout = state[_LAYOUT]
    operands, starts = layout[_OPERANDS], layout + 8 * _HEADER
    places, scratch = starts + 8 * operands, state[_SCRATCH] + task * layout[_BYTES]
    with c.loop(operands) as k:
        address = state[_POINTERS][k] + task * starts[k]
        pointers[k] = c.choose(places[k] >= 0, scratch + places[k], address)
    is_last = task.is_(layout[_TASKS] - 1)
    position = c.choose(is_last, layout[_LAST], layout[_MOST])
    status = c.call(state[_KERNEL], pointers, layout + 8 * position)
    with c.when(status.is_not(0)):
        state[_STATUS] = status
    c.end(0)
    return str(c)


def _worker_text() -> str:
    """Take the tasks that are left, until one fails."""
    c = Words("fwddiff_worker", "state")
    (state,) = c.parameters
    layout = state[_LAYOUT]
    pointers = c.stack(layout[_OPERANDS])
    with c.endless() as leave:
        task = c.fetch_and_add(state + 8 * _NEXT, 1)
        leave.unless(task < layout[_TASKS])
        leave.unless(state[_STATUS].is_(0))
        c.call_by_name("fwddiff_task", state, pointers, task)
    c.end(0)
    return str(c)


def _run_text() -> str:
    c = Words("fwddiff_run", "kernel", "pointers", "layout", "threads")
    kernel, pointers, layout, threads = c.parameters
    with c.when(layout[_TASKS].is_(1)):
        c.leave(c.call(kernel, pointers, layout + 8 * layout[_WHOLE]))
    state, scratch = c.stack(_STATE), c.variable(0)
    with c.when(layout[_BYTES] > 0):
        scratch.value = c.call_library("malloc", layout[_TASKS] * layout[_BYTES])
        with c.when(scratch.value.is_(0)):
            c.leave(NO_MEMORY)
    state[_KERNEL], state[_POINTERS], state[_LAYOUT] = kernel, pointers, layout
    state[_STATUS], state[_SCRATCH] = 0, scratch.value
    _clear(c, layout, pointers)
    _share_out(c, state, threads)
    status = state[_STATUS]
    with c.when(status.is_(0)):
        _add_up(c, layout, pointers, scratch.value)
    with c.when(scratch.value.is_not(0)):
        c.call_library("free", scratch.value)
    c.end(status)
    return str(c)


def _now(c: Words) -> Word:
    """Nanoseconds."""
    time = c.stack(2)
    c.call_library("clock_gettime", _CLOCK, time)
    return 1_000_000_000 * time[0] + time[1]


def _clear(c: Words, layout: Word, pointers: Word) -> None:
    lists = layout + 8 * (_HEADER + 2 * layout[_OPERANDS])
    with c.loop(layout[_SHARED]) as i:
        c.call_library("memset", pointers[lists[2 * i]], 0, lists[2 * i + 1])


def _share_out(c: Words, state: Word, threads: Word) -> None:
    """Run the first task here, the others here or on several threads."""
    layout = state[_LAYOUT]
    tasks, workers = layout[_TASKS], c.variable(threads)
    begin = _now(c)
    state[_NEXT] = 1
    c.call_by_name("fwddiff_task", state, c.stack(layout[_OPERANDS]), 0)
    with c.when((_now(c) - begin) * (tasks - 1) < WORTH_THREADS):
        workers.value = 1
    workers.value = c.larger(c.smaller(workers.value, tasks - 1), -(tasks - 1))
    worker, team = c.address_of("fwddiff_worker"), c.known_word(TEAM)
    with c.when(workers.value < -1), c.when(team.is_not(0)):
        c.call(team, worker, state, -workers.value, 0)
        workers.value = 1
    count = c.larger(workers.value, -workers.value)
    handles, started = c.stack(c.larger(count, 1)), c.variable(0)
    with c.loop(count - 1):
        handle = handles + 8 * started.value
        failed = c.call_library("pthread_create", handle, 0, worker, state) & 0xFFFFFFFF
        with c.when(failed.is_(0)):
            started.value += 1
    c.call_by_name("fwddiff_worker", state)
    with c.loop(started.value) as i:
        c.call_library("pthread_join", handles[i], 0)


# LLVM's types of private sums by their kind: of an element and of its sum, and the ways there and back.
_SUMS = (
    ("double", "double", "", ""),
    ("float", "double", "fpext", "fptrunc"),
    ("i64", "i64", "", ""),
    ("i32", "i64", "sext", "trunc"),
)


def _add_up(c: Words, layout: Word, pointers: Word, scratch: Word) -> None:
    """Sum the tasks' copies of the outputs that all of them add to, in the order of the tasks."""
    places = layout + 8 * (_HEADER + layout[_OPERANDS])
    lists = layout + 8 * (_HEADER + 2 * layout[_OPERANDS] + 2 * layout[_SHARED])
    with c.loop(layout[_PRIVATE]) as i:
        operand, elements, kind = (lists[3 * i + part] for part in range(3))
        copy, target = scratch + places[operand], pointers[operand]
        for number in range(len(DTYPES)):
            with c.when(kind.is_(number)), c.loop(elements) as element:
                _add_element(c, number, layout, copy, target, element)


def _add_element(c: Words, kind: int, layout: Word, copy: Word, target: Word, element: Word) -> None:
    (stored, summed, widen, narrow), text = _SUMS[kind], c.text
    total = text.variable(summed, "0.0" if summed == "double" else "0", "total")
    with c.loop(layout[_TASKS]) as task:
        place = text.step(c.pointer(copy + task * layout[_BYTES]), element.text, stored)
        term = text.load(stored, place)
        term = text.value(f"{widen} {stored} {term} to {summed}") if widen else term
        total.update("fadd" if summed == "double" else "add", term)
    found = total.get()
    found = text.value(f"{narrow} {summed} {found} to {stored}") if narrow else found
    text.line(f"store {stored} {found}, ptr {text.step(c.pointer(target), element.text, stored)}")


def call_kernel(c: Words, kernel: Word, pointers: Word, layout: Word) -> Word:
    """What machine code calls: `run`, if the call is divided. Whoever makes such a layout calls `runner`
    first."""
    begin, status = c.known_word(interrupts.BEGIN), c.variable(0)
    with c.when(begin.is_not(0)):
        c.call(begin)
    with c.when(layout[_TASKS].is_(1)):
        status.value = c.call(kernel, pointers, layout + 8 * layout[_WHOLE])
    with c.when(layout[_TASKS].is_not(1)):
        run, threads = c.known_word(RUNNER), c.known_word(THREADS)
        status.value = c.call(run, kernel, pointers, layout, threads)
    return status.value


# --- what Python knows of it --------------------------------------------------------------------------------

# Words that machine code reads by name: address of `run`, number of threads for machine code's calls, address
# of the function that runs the worker in a host's team.
RUNNER, THREADS, TEAM = "fwddiff_runner", "fwddiff_threads", "fwddiff_team"
_cells = np.zeros(3, np.int64)
for _k, _name in enumerate((RUNNER, THREADS, TEAM)):
    binding.add_symbol(_name, _cells.ctypes.data + 8 * _k)


_made: list[Runner] = []
_making = threading.Lock()


def runner() -> Runner:
    """Compiled, or found on disk, at the first call."""
    if not _made:
        with _making:  # of two runners one would be dropped, and a word above might lead to that one
            if not _made:
                _made.append(_make_runner())
    return _made[0]


def _make_runner() -> Runner:
    run = kept.function("fwddiff_run", runner_text())
    _cells[:2] = run.address, default_threads()
    word = ctypes.c_int64
    call = ctypes.CFUNCTYPE(word, word, ctypes.c_char_p, word, word)(run.address)
    return Runner(call, run)


def use_team(address: int) -> None:
    """Calls with a negative number of threads are done by so many of a host's pool from now on.

    `address` is that of `void parallel(void (*function)(void *), void *argument, unsigned threads, unsigned
    flags)`, which OpenMP's compilers call. Such a pool does not survive `fork`: children start threads of
    their own.
    """
    _cells[2] = address
    os.register_at_fork(after_in_child=lambda: _cells.__setitem__(2, 0))


@functools.cache
def default_threads() -> int:
    """FWDDIFF_NUM_THREADS, else OMP_NUM_THREADS, else the number of cores that this process may use."""
    for variable in ("FWDDIFF_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
