"""How a compiled function's result nests: from its Numba type to a tree of outputs."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff import _tree
from fwddiff._errors import StructureError
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.numba.frontend import structs
from numba import types


def tree_of(kind: types.Type, count: int) -> Any:
    """Tree specification of a result of this type, which has so many leaves."""
    return _tree.flatten(build(kind, iter(range(count))))[1]


def slots_of(problem: Problem, kinds: Sequence[types.Type]) -> tuple[Slot, ...]:
    """The outputs, from the types of the result's leaves; raises `StructureError` where one cannot be."""
    return tuple(_slot(problem, position, kind) for position, kind in enumerate(kinds))


def _slot(problem: Problem, position: int, kind: types.Type) -> Slot:
    ndim = kind.ndim if isinstance(kind, types.Array) else 0
    element = kind.dtype if ndim or isinstance(kind, types.Array) else kind
    if isinstance(element, types.Float):
        return Slot(problem.float_dtype, ndim, True, problem.reduce)
    if isinstance(element, types.Boolean):
        dtype = problem.integer_dtype if problem.reduce else np.dtype(bool)
        return Slot(dtype, ndim, False, problem.reduce)
    if isinstance(element, types.Integer):
        return Slot(problem.integer_dtype, ndim, False, problem.reduce)
    if isinstance(kind, types.Optional | types.NoneType):
        raise StructureError(
            f"{problem.name} returns a number on one path and None on another (output {position}). A path "
            "without `return` gives None: return a number on each."
        )
    raise StructureError(
        f"{problem.name} returns a value of type {kind} (output {position}). Return numbers, small arrays, "
        "and tuples, "
        "NamedTuples, dataclasses or dicts of them."
    )


def build(kind: types.Type, leaves: Any) -> Any:
    """The result with `next(leaves)` in the place of each leaf."""
    if isinstance(kind, types.NoneType):
        return None
    if not structs.is_node(kind):
        return next(leaves)
    parts = [build(child, leaves) for child, _ in structs.children(kind)]
    return _assembled(kind, parts)


def _assembled(kind: types.Type, parts: Sequence[Any]) -> Any:
    if isinstance(kind, structs.StructType):
        if kind.is_dict:
            return dict(zip(kind.names, parts, strict=True))
        _tree.register_dataclass(kind.cls)
        instance = object.__new__(kind.cls)
        for name, part in zip(kind.names, parts, strict=True):
            object.__setattr__(instance, name, part)
        if kind.beside is not None:
            kind.beside.give_to(instance, with_mark=True)  # who takes the result says what is lost
        return instance
    if isinstance(kind, types.BaseNamedTuple):
        return kind.instance_class(*parts)
    if isinstance(kind, types.BaseTuple):
        return tuple(parts)
    raise StructureError(f"a result of type {kind} cannot be returned.")
