"""A call's loop nest divided into tasks, for threads to take: the table that `fwddiff._native.tasks`
reads."""

from __future__ import annotations

import math

import numpy as np

from fwddiff._native import tasks
from fwddiff.engines.numba.schedule.nest import Nest

MOST_TASKS = 128
CHEAP_TASK = 4096  # elements of a function without loops (a nanosecond each, or a few) that make up a task
DEAR_TASK = 64  # elements of a function that loops
LINE = 16  # an inner loop is cut at multiples of this many elements


def divided(nest: Nest, dear: bool) -> tuple[np.ndarray, int]:
    """The table of a call and its number of tasks, 1 where it is too small, or adding up would cost too
    much."""
    whole = nest.table(nest.outputs)
    wanted = _wanted(math.prod(nest.extents), dear or any(operand.core for operand in nest.operands))
    axis = _best_axis(nest, wanted) if wanted > 1 and tasks.SUPPORTED else None
    if axis is None:
        return np.array([1, 2, *whole], np.int64), 1
    extent = nest.extents[axis]
    step = -(-extent // wanted)
    if axis == len(nest.extents) - 1 and extent > LINE * wanted:
        step = -(-step // LINE) * LINE
    count = -(-extent // step)
    if count == 1:
        return np.array([1, 2, *whole], np.int64), 1
    return _table(nest, axis, step, count, whole), count


def _wanted(elements: int, dear: bool) -> int:
    if dear:
        return min(MOST_TASKS, max(min(elements, 16), elements // DEAR_TASK))
    return min(MOST_TASKS, elements // CHEAP_TASK) if elements >= 4 * CHEAP_TASK else 1


def _best_axis(nest: Nest, wanted: int) -> int | None:
    """The outermost axis long enough, else the longest, of those along which few sums are shared."""
    limit = math.prod(nest.extents) // 4
    possible = [
        axis
        for axis, extent in enumerate(nest.extents)
        if extent > 1
        and all(nest.operands[k].dtype.name in tasks.DTYPES for k in _private(nest, axis))
        and wanted * sum(nest.operands[k].size for k in _private(nest, axis)) <= max(limit, wanted)
    ]
    long = [axis for axis in possible if nest.extents[axis] >= wanted]
    return min(long, default=max(possible, key=lambda axis: nest.extents[axis], default=None))


def _private(nest: Nest, axis: int) -> list[int]:
    """Outputs that every task adds to: each task gets a copy."""
    return [k for k in nest.outputs if nest.operands[k].accumulated and nest.columns[k][axis] == 0]


def _table(nest: Nest, axis: int, step: int, count: int, whole: list[int]) -> np.ndarray:
    private = _private(nest, axis)
    places, scratch = [-1] * len(nest.operands), 0
    for k in private:
        places[k] = scratch
        # Each copy starts on a cache line of its own.
        scratch += -(-nest.operands[k].bytes // 64) * 64
    starts = [0 if k in private else column[axis] * step for k, column in enumerate(nest.columns)]
    shared = [k for k in nest.outputs if nest.operands[k].accumulated and k not in private]
    lists = [number for k in shared for number in (k, nest.operands[k].bytes)]
    for k in private:
        lists += [k, nest.operands[k].size, tasks.DTYPES.index(nest.operands[k].dtype.name)]
    most = nest.cut(axis, step).table(private)
    last = nest.cut(axis, nest.extents[axis] - (count - 1) * step).table(private)
    head = 8 + 2 * len(nest.operands) + len(lists)
    positions = [head, head + len(whole), head + len(whole) + len(most)]
    header = [count, *positions, len(nest.operands), len(shared), len(private), scratch]
    return np.array([*header, *starts, *places, *lists, *whole, *most, *last], np.int64)
