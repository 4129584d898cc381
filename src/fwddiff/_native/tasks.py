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
from numba import njit, types

from fwddiff._native import interrupts, kept
from fwddiff._native.memory import (
    c_function,
    call_0,
    call_2,
    call_4,
    fetch_and_add,
    global_word,
    load,
    pointer_to,
    stack,
    store,
)

EXCEPTION, SHAPE_MISMATCH, NO_MEMORY = 1, 2, 3
UNDEFINED = 4  # done, but a derivative is nan: what knows more of zeros should do it again
INTERRUPTED, STALE = interrupts.INTERRUPTED, interrupts.STALE  # by Ctrl-C, in the call and ahead of it
DTYPES = ("float64", "float32", "int64", "int32")  # of private sums, by their kind
WORTH_THREADS = 100_000  # nanoseconds of work left, below which no thread is started
SUPPORTED = hasattr(time, "CLOCK_MONOTONIC") and os.name == "posix"

_CLOCK = int(getattr(time, "CLOCK_MONOTONIC", 0))
_HEADER = 8  # words of the table before the lists
_STATE = 6  # words: kernel, pointers, layout, next task, status, scratch memory

_clock_gettime = c_function("clock_gettime", 2)
_pthread_create = c_function("pthread_create", 4)
_pthread_join = c_function("pthread_join", 2)
_malloc = c_function("malloc", 1)
_free = c_function("free", 1)
_memset = c_function("memset", 3)
_worker = global_word("fwddiff_worker")
_team = global_word("fwddiff_team")
_float64s, _float32s = pointer_to(types.float64), pointer_to(types.float32)
_int64s, _int32s = pointer_to(types.int64), pointer_to(types.int32)


class Runner(NamedTuple):
    """`call(kernel, pointers as bytes, address of the layout, threads) → status`; negative threads are those
    of the team, if there is one."""

    call: Any
    owners: tuple


@njit(inline="always")
def _word(table, index):
    return load(table + 8 * index)


@njit(inline="always")
def _now():
    time = stack(2)
    _clock_gettime(_CLOCK, time)
    return 1_000_000_000 * load(time) + load(time + 8)


@njit(inline="always")
def _run_task(state, pointers, task):
    """Run one task; `pointers` is room for the operands' addresses."""
    layout = _word(state, 2)
    operands, starts = _word(layout, 4), layout + 8 * _HEADER
    places, scratch = starts + 8 * operands, _word(state, 5) + task * _word(layout, 7)
    for k in range(operands):
        address = load(_word(state, 1) + 8 * k) + task * _word(starts, k)
        if _word(places, k) >= 0:
            address = scratch + _word(places, k)
        store(pointers + 8 * k, address)
    last = task == _word(layout, 0) - 1
    position = _word(layout, 3) if last else _word(layout, 2)
    status = call_2(_word(state, 0), pointers, layout + 8 * position)
    if status != 0:
        store(state + 32, status)


@njit(inline="always")
def _run_tasks(state):
    layout = _word(state, 2)
    pointers = stack(_word(layout, 4))
    task = fetch_and_add(state + 24, 1)
    while task < _word(layout, 0) and _word(state, 4) == 0:
        _run_task(state, pointers, task)
        task = fetch_and_add(state + 24, 1)


@njit(inline="always")
def _clear(state):
    layout, pointers = _word(state, 2), _word(state, 1)
    lists = layout + 8 * (_HEADER + 2 * _word(layout, 4))
    for i in range(_word(layout, 5)):
        _memset(_word(pointers, _word(lists, 2 * i)), 0, _word(lists, 2 * i + 1))


@njit(inline="always")
def _add_up(state):
    """Sum the tasks' copies of the outputs that all of them add to, in the order of the tasks."""
    layout, pointers = _word(state, 2), _word(state, 1)
    tasks, size, operands = _word(layout, 0), _word(layout, 7), _word(layout, 4)
    places = layout + 8 * (_HEADER + operands)
    lists = layout + 8 * (_HEADER + 2 * operands + 2 * _word(layout, 5))
    for i in range(_word(layout, 6)):
        operand, kind = _word(lists, 3 * i), _word(lists, 3 * i + 2)
        copy, target = _word(state, 5) + _word(places, operand), _word(pointers, operand)
        for element in range(_word(lists, 3 * i + 1)):
            if kind == 0:
                total = 0.0
                for task in range(tasks):
                    total += _float64s(copy + task * size)[element]
                _float64s(target)[element] = total
            elif kind == 1:
                total = 0.0
                for task in range(tasks):
                    total += types.float64(_float32s(copy + task * size)[element])
                _float32s(target)[element] = types.float32(total)
            elif kind == 2:
                count = 0
                for task in range(tasks):
                    count += _int64s(copy + task * size)[element]
                _int64s(target)[element] = count
            else:
                count = 0
                for task in range(tasks):
                    count += types.int64(_int32s(copy + task * size)[element])
                _int32s(target)[element] = types.int32(count)


@njit(inline="always")
def _share_out(state, threads):
    """Run the first task here, the others here or on several threads."""
    tasks = _word(_word(state, 2), 0)
    pointers = stack(_word(_word(state, 2), 4))
    begin = _now()
    store(state + 24, 1)
    _run_task(state, pointers, 0)
    if (_now() - begin) * (tasks - 1) < WORTH_THREADS:
        threads = 1
    threads = max(min(threads, tasks - 1), 1 - tasks)
    team = _team()
    if threads < -1 and team != 0:
        call_4(team, _worker(), state, -threads, 0)
        threads = 1
    threads = abs(threads)
    started = 0
    handles = stack(max(threads, 1))
    for _ in range(threads - 1):
        if _pthread_create(handles + 8 * started, 0, _worker(), state) & 0xFFFFFFFF == 0:
            started += 1
    _run_tasks(state)
    for i in range(started):
        _pthread_join(_word(handles, i), 0)


def _fwddiff_worker(state):
    _run_tasks(state)
    return 0


def _fwddiff_run(kernel, pointers, layout, threads):
    tasks = load(layout)
    if tasks == 1:
        return call_2(kernel, pointers, layout + 8 * _word(layout, 1))
    state = stack(_STATE)
    scratch = _malloc(tasks * _word(layout, 7)) if _word(layout, 7) > 0 else 0
    if scratch == 0 and _word(layout, 7) > 0:
        return NO_MEMORY
    store(state, kernel)
    store(state + 8, pointers)
    store(state + 16, layout)
    store(state + 32, 0)
    store(state + 40, scratch)
    _clear(state)
    _share_out(state, threads)
    status = _word(state, 4)
    if status == 0:
        _add_up(state)
    if scratch != 0:
        _free(scratch)
    return status


# Words that machine code reads by name: addresses of the worker and of `run`, number of threads for machine
# code's calls, address of the function that runs the worker in a host's team.
_cells = np.zeros(4, np.int64)
for _k, _name in enumerate(("fwddiff_worker", "fwddiff_runner", "fwddiff_threads", "fwddiff_team")):
    binding.add_symbol(_name, _cells.ctypes.data + 8 * _k)


_runner = global_word("fwddiff_runner")
_threads = global_word("fwddiff_threads")
_begin = global_word(interrupts.BEGIN)


@njit(inline="always")
def call_kernel(kernel, pointers, layout):
    """What machine code calls: `run`, if the call is divided. Whoever makes such a layout calls `runner`
    first."""
    begin = _begin()
    if begin != 0:
        call_0(begin)
    if load(layout) == 1:
        return call_2(kernel, pointers, layout + 8 * _word(layout, 1))
    return call_4(_runner(), kernel, pointers, layout, _threads())


_made: list[Runner] = []
_making = threading.Lock()


def runner() -> Runner:
    """Compiled, or found on disk, at the first call."""
    if not _made:
        with _making:  # of two runners one would be dropped, and the words above might lead to that one
            if not _made:
                _made.append(_make_runner())
    return _made[0]


def _make_runner() -> Runner:
    worker = kept.c_function("int64(int64)", _fwddiff_worker)
    _cells[0] = worker.address
    run = kept.c_function("int64(int64, int64, int64, int64)", _fwddiff_run)
    _cells[1:3] = run.address, default_threads()
    word = ctypes.c_int64
    call = ctypes.CFUNCTYPE(word, word, ctypes.c_char_p, word, word)(run.address)
    return Runner(call, (worker, run))


def use_team(address: int) -> None:
    """Calls with a negative number of threads are done by so many of a host's pool from now on.

    `address` is that of `void parallel(void (*function)(void *), void *argument, unsigned threads, unsigned
    flags)`, which OpenMP's compilers call. Such a pool does not survive `fork`: children start threads of
    their own.
    """
    _cells[3] = address
    os.register_at_fork(after_in_child=lambda: _cells.__setitem__(3, 0))


@functools.cache
def default_threads() -> int:
    """FWDDIFF_NUM_THREADS, else OMP_NUM_THREADS, else the number of cores that this process may use."""
    for variable in ("FWDDIFF_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text.isdigit() and int(text) > 0:
            return int(text)
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
