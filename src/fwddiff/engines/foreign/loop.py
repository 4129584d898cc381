"""Evaluation of a core along loop axes, in the framework's own arrays, and reductions of the results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff._rule import Rule, Shape
from fwddiff.engines.foreign.framework import Core, Framework


def evaluate(rule: Rule, core: Core, leaves: Sequence[Any], batch_ndim: int, framework: Framework) -> tuple:
    """Outputs of a rule with this core. Without loop axes it is called; with some, it is mapped over them if
    the framework can, else it runs for one element after the other."""
    shapes = [framework.shape(leaf) for leaf in leaves]
    loop = rule.loop_shape(shapes, batch_ndim)
    if not loop:
        return core(*leaves)
    if not math.prod(loop):
        empty = zip(rule.output_shapes(shapes, batch_ndim), rule.outputs, strict=True)
        return tuple(framework.own(np.zeros(shape, slot.dtype), slot.dtype) for shape, slot in empty)
    aligned = rule.aligned_loops(shapes, batch_ndim)
    cores = [s[len(s) - slot.core_ndim :] for s, slot in zip(shapes, rule.inputs, strict=True)]
    results = _mapped(core, leaves, loop, aligned, cores, framework)
    if results is None:
        results = _one_by_one(core, leaves, loop, aligned, cores, framework)
    kept = [rule.reduced_loop(slot, loop, shapes, batch_ndim) for slot in rule.outputs]
    return tuple(
        _reduced(y, loop, keep, batch_ndim, framework) for y, keep in zip(results, kept, strict=True)
    )


def _mapped(
    core: Core,
    leaves: Sequence[Any],
    loop: Shape,
    aligned: Sequence[Shape],
    cores: Sequence[Shape],
    framework: Framework,
) -> Sequence[Any] | None:
    """Results with all loop axes; `None` where the core cannot be mapped."""
    axes = [[0 if extents[axis] == n else None for extents in aligned] for axis, n in enumerate(loop)]
    mapped = framework.mapped(core, axes)
    if mapped is None:
        return None
    given = [
        framework.shaped(leaf, tuple(e for e, n in zip(extents, loop, strict=True) if e == n) + own)
        for leaf, extents, own in zip(leaves, aligned, cores, strict=True)
    ]
    try:
        return mapped(*given)
    except framework.unmappable:
        return None


def _one_by_one(
    core: Core,
    leaves: Sequence[Any],
    loop: Shape,
    aligned: Sequence[Shape],
    cores: Sequence[Shape],
    framework: Framework,
) -> Sequence[Any]:
    views = [
        framework.shaped(leaf, extents + own)
        for leaf, extents, own in zip(leaves, aligned, cores, strict=True)
    ]
    rows = []
    for index in np.ndindex(loop):
        places = [
            tuple(0 if e == 1 else i for e, i in zip(extents, index, strict=True)) for extents in aligned
        ]
        rows.append(core(*[_element(view[place]) for view, place in zip(views, places, strict=True)]))
    return [framework.stacked(column, loop) for column in zip(*rows, strict=True)]


def _element(leaf: Any) -> Any:
    """Integers and bools without axes are Python's own."""
    is_integer = not np.shape(leaf) and not str(leaf.dtype).rpartition(".")[2].startswith("float")
    return leaf.item() if is_integer and hasattr(leaf, "item") else leaf


def _reduced(array: Any, loop: Shape, kept: Shape, batch_ndim: int, framework: Framework) -> Any:
    """Sum over the loop axes that are not kept."""
    core = framework.shape(array)[len(loop) :]
    padded = kept[:batch_ndim] + (1,) * (len(loop) - len(kept)) + kept[batch_ndim:]
    axes = tuple(axis for axis, extent in enumerate(loop) if padded[axis] != extent)
    return framework.shaped(framework.total(array, axes) if axes else array, kept + core)
