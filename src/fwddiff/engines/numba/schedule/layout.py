"""From shapes and strides to a kernel's pattern and layout: which axis is innermost, which can be fused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fwddiff._rule import Rule, Shape
from fwddiff.engines.numba.schedule.division import divided
from fwddiff.engines.numba.schedule.nest import Nest, Operand


class Plan(NamedTuple):
    """All that a call needs: the kernel's pattern, its layout table, the outputs' shapes, the number of
    tasks."""

    pattern: str
    layout: np.ndarray
    output_shapes: tuple[Shape, ...]
    tasks: int


def plan(rule: Rule, shapes: Sequence[Shape], strides: Sequence[Shape], batch_ndim: int) -> Plan:
    """Plan a call with inputs of these shapes and strides (bytes); outputs are C-contiguous."""
    loop = rule.loop_shape(shapes, batch_ndim)
    aligned = rule.aligned_loops(shapes, batch_ndim)
    output_shapes = rule.output_shapes(shapes, batch_ndim)
    operands = [
        _input_operand(slot, shape, stride, own)
        for slot, shape, stride, own in zip(rule.inputs, shapes, strides, aligned, strict=True)
    ]
    for slot, shape in zip(rule.outputs, output_shapes, strict=True):
        kept = rule.reduced_loop(slot, loop, shapes, batch_ndim)
        operands.append(_output_operand(slot, shape, kept, loop, batch_ndim))
    operands = [
        operand._replace(strides=_padded(operand.strides, len(loop), batch_ndim)) for operand in operands
    ]
    extents, columns = _simplified(loop, [operand.strides for operand in operands])
    pattern = "".join(_letter(operand, column[-1]) for operand, column in zip(operands, columns, strict=True))
    table, tasks = divided(Nest(extents, columns, operands, len(rule.inputs)), rule.dear)
    return Plan(pattern, table, output_shapes, tasks)


def contiguous_strides(shape: Shape, itemsize: int) -> tuple[int, ...]:
    strides, step = [], itemsize
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def _input_operand(slot, shape, strides, own_loop) -> Operand:
    ndim = len(shape) - slot.core_ndim
    used = tuple(
        0 if extent == 1 else stride for extent, stride in zip(shape[:ndim], strides[:ndim], strict=True)
    )
    core = tuple(shape[ndim:])
    return Operand(used, slot.dtype.itemsize * math.prod(core), core, slot.dtype)


def _output_operand(slot, shape, kept, loop, batch_ndim) -> Operand:
    core = tuple(shape[len(kept) :])
    step = slot.dtype.itemsize * math.prod(core)
    used = tuple(
        0 if extent == 1 else s for extent, s in zip(kept, contiguous_strides(kept, step), strict=True)
    )
    accumulated = math.prod(kept) != math.prod(loop)
    return Operand(used, step, core, slot.dtype, accumulated, math.prod(shape))


def _padded(strides, ndim: int, batch_ndim: int) -> tuple[int, ...]:
    return strides[:batch_ndim] + (0,) * (ndim - len(strides)) + strides[batch_ndim:]


def _simplified(loop: Shape, columns: list[tuple[int, ...]]) -> tuple[list[int], list[list[int]]]:
    """Drop axes of extent 1, sort the rest by stride, fuse neighbours that are one axis in every operand.

    The last axis becomes the inner loop. Sorting by the sum of strides puts the axis that most operands hold
    contiguously innermost, transposed inputs included.
    """
    axes = [axis for axis, extent in enumerate(loop) if extent != 1]
    axes.sort(key=lambda axis: -sum(abs(column[axis]) for column in columns))
    extents = [loop[axis] for axis in axes]
    kept = [[column[axis] for axis in axes] for column in columns]
    for axis in range(len(axes) - 1, 0, -1):
        if all(column[axis - 1] == column[axis] * extents[axis] for column in kept):
            extents[axis - 1 : axis + 1] = [extents[axis - 1] * extents[axis]]
            for column in kept:
                del column[axis - 1]
    if not axes:
        return [1], [[0] for _ in columns]
    return extents, kept


def _letter(operand: Operand, inner_stride: int) -> str:
    if inner_stride == 0:
        return "Z" if operand.accumulated else "0"
    letter = "c" if inner_stride == operand.step else "s"
    return letter.upper() if operand.accumulated else letter
