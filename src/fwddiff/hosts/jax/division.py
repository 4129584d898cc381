"""How a call divides among the devices of a mesh: along the axes of its loop, never along core axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jax.sharding import PartitionSpec

from fwddiff._rule import Rule, Shape

Names = tuple[str, ...]  # mesh axes along which one axis of an array is divided
Axes = tuple[int | None, ...]  # for each axis of an array the axis of the loop, None where there is none


class Correspondence(NamedTuple):
    """Which axes of inputs and outputs are axes of the loop; `None` for core axes and axes of extent 1."""

    loop: Shape
    inputs: list[Axes]
    outputs: list[Axes]

    def summed(self, output: int) -> list[int]:
        """Axes of the loop along which an output is summed."""
        return [axis for axis in range(len(self.loop)) if axis not in self.outputs[output]]


def correspondence(rule: Rule, shapes: Sequence[Shape], batch_ndim: int) -> Correspondence:
    """For a call with inputs of these shapes."""
    loop = rule.loop_shape(shapes, batch_ndim)
    inputs = []
    for slot, shape in zip(rule.inputs, shapes, strict=True):
        own = len(shape) - slot.core_ndim
        axes = [k if k < batch_ndim else k + len(loop) - own for k in range(own)]
        found = [axis if n == loop[axis] != 1 else None for axis, n in zip(axes, shape, strict=False)]
        inputs.append((*found, *[None] * slot.core_ndim))
    batch = [axis if loop[axis] != 1 else None for axis in range(batch_ndim)]
    every = [axis if n != 1 else None for axis, n in enumerate(loop)]
    outputs = []
    for slot in rule.outputs:
        if slot.reduce is None:
            kept = every
        elif slot.reduce == "sum":
            kept = batch
        else:
            core = rule.inputs[slot.reduce].core_ndim
            kept = [*batch, *inputs[slot.reduce][batch_ndim : len(shapes[slot.reduce]) - core]]
        outputs.append((*kept, *[None] * slot.core_ndim))
    return Correspondence(loop, inputs, outputs)


class Division(NamedTuple):
    """Mesh axes of every axis of every input and output, and those along which each output is summed."""

    inputs: list[tuple[Names, ...]]
    outputs: list[tuple[Names, ...]]
    summed: list[Names]


def divide(
    found: Correspondence, specs: Sequence[tuple[Axes, Sequence[Names]]], sizes: Mapping[str, int]
) -> Division:
    """A division that fits the given ones: the first array that is divided along an axis of the loop decides.

    `specs` has, for arrays of the call, their axes in the loop and the mesh axes of each; `sizes` the extents
    of mesh axes. Parts are equal, so that no kernel runs on padding.
    """
    chosen: dict[int, Names] = {}
    for axes, names in specs:
        for axis, own in zip(axes, names, strict=True):
            if axis is not None and not chosen.get(axis):
                used = {name for other in chosen.values() for name in other}
                chosen[axis] = _dividing(found.loop[axis], [name for name in own if name not in used], sizes)

    def along(axes: Axes) -> tuple[Names, ...]:
        return tuple(() if axis is None else chosen.get(axis, ()) for axis in axes)

    summed = [
        tuple(name for axis in found.summed(j) for name in chosen.get(axis, ()))
        for j in range(len(found.outputs))
    ]
    return Division([*map(along, found.inputs)], [*map(along, found.outputs)], summed)


def _dividing(extent: int, names: Sequence[str], sizes: Mapping[str, int]) -> Names:
    """The longest beginning of `names` whose devices divide the extent."""
    kept = list(names)
    while kept and extent % math.prod(sizes[name] for name in kept):
        kept.pop()
    return tuple(kept)


def names_of(spec: Any, ndim: int) -> list[Names]:
    """Mesh axes of each axis of an array, from its `PartitionSpec`."""
    entries = [*spec, *[None] * (ndim - len(spec))]
    return [(e,) if isinstance(e, str) else tuple(e) if isinstance(e, tuple) else () for e in entries]


def spec_of(names: Sequence[Names]) -> PartitionSpec:
    return PartitionSpec(*(own or None for own in names))
