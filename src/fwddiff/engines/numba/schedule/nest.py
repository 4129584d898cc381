"""The loop nest of one call: what a kernel has to know of shapes and strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fwddiff._rule import Shape


class Operand(NamedTuple):
    """Loop strides in bytes (0 along broadcast axes), bytes and core extents of an element, and whether the
    loop revisits it (then also its number of numbers)."""

    strides: tuple[int, ...]
    step: int
    core: Shape
    dtype: np.dtype
    accumulated: bool = False
    size: int = 0

    @property
    def bytes(self) -> int:
        """Size of an output that is accumulated."""
        return self.size * self.dtype.itemsize


class Nest(NamedTuple):
    """Extents of the axes, the last one innermost, and each operand's strides along them."""

    extents: list[int]
    columns: list[list[int]]
    operands: list[Operand]
    n_inputs: int

    @property
    def outputs(self) -> range:
        """Numbers of the operands that are outputs."""
        return range(self.n_inputs, len(self.operands))

    def cut(self, axis: int, extent: int) -> Nest:
        """The same nest over part of an axis."""
        return self._replace(extents=[*self.extents[:axis], extent, *self.extents[axis + 1 :]])

    def table(self, cleared: Sequence[int]) -> list[int]:
        """What a kernel reads (see `_kernel`); of the outputs, it clears the operands `cleared`."""
        outer, inner = self.extents[:-1], self.extents[-1]
        table = [math.prod(outer) if inner else 0, inner, len(outer), *outer]
        for column in self.columns:
            table += column
        for operand in self.operands:
            table += operand.core
        return table + [self.operands[k].size if k in cleared else 0 for k in self.outputs]
