"""From what a function returns to flat leaves, of one structure for all elements."""

from __future__ import annotations

from typing import Any

import numpy as np
from fwddiff import _tree, dual
from fwddiff._errors import StructureError
from fwddiff._problem import Problem
from fwddiff._rule import Slot

_ADVICE = "Return numbers, small arrays, and tuples, NamedTuples, dataclasses or dicts of them."


class Results:
    """Structure and slots of the results, fixed by the first one."""

    def __init__(self, problem: Problem):
        self.problem, self.name = problem, problem.name
        self.tree: Any = None
        self.slots: tuple[Slot, ...] = ()

    def leaves(self, result: Any) -> list[Any]:
        """Flat leaves of a result. Raises StructureError where its structure is not that of those before."""
        leaves, tree = _tree.flatten(result)
        found = [_plain(leaf) for leaf in leaves]
        if self.tree is None:
            self.slots = tuple(self._slot(leaf, position) for position, leaf in enumerate(found))
            self.tree = tree
            return found
        if tree != self.tree:
            raise StructureError(
                f"{self.name} returns {_structure(tree)} for some arguments and {_structure(self.tree)} for "
                "others. Return one structure from every branch."
            )
        for position, (leaf, slot) in enumerate(zip(found, self.slots, strict=True)):
            self._check(leaf, slot, position)
        return found

    def _slot(self, leaf: Any, position: int) -> Slot:
        dtype, ndim = self._kind(leaf, position), np.ndim(dual.strip(leaf))
        reduce = self.problem.reduce
        if dtype.kind == "f":
            return Slot(dtype, ndim, True, reduce)
        if dtype.kind == "b" and reduce is None:
            return Slot(dtype, ndim, False, reduce)
        return Slot(self.problem.integer_dtype, ndim, False, reduce)

    def _kind(self, leaf: Any, position: int) -> np.dtype:
        plain = dual.strip(leaf)
        if isinstance(plain, float) and not isinstance(plain, np.floating):
            return self.problem.float_dtype
        if not isinstance(plain, bool | int | np.generic | np.ndarray):
            raise self._unusable(f"a value of type {type(plain).__name__}", position)
        dtype = np.asarray(plain).dtype
        if dtype.kind not in "fiub":
            raise self._unusable(f"a value of dtype {dtype}", position)
        return dtype

    def _unusable(self, what: str, position: int) -> StructureError:
        return StructureError(f"{self.name} returns {what} (output {position}). {_ADVICE}")

    def _check(self, leaf: Any, slot: Slot, position: int) -> None:
        kind = self._kind(leaf, position).kind
        if kind == "f" and not slot.differentiable:
            raise StructureError(
                f"{self.name} returns an integer for some arguments and a float for others (output "
                f"{position}), and the derivative of the float would be lost. Return floats from every "
                "branch, such as 0.0 instead of 0."
            )
        if kind != "b" and slot.dtype.kind == "b":
            raise StructureError(
                f"{self.name} returns a bool for some arguments and a number for others (output "
                f"{position}). Return one kind from every branch."
            )
        if np.ndim(dual.strip(leaf)) != slot.core_ndim:
            raise StructureError(
                f"{self.name} returns {np.ndim(dual.strip(leaf))} axes for some arguments and "
                f"{slot.core_ndim} for others (output {position}). Return arrays of the same number of axes "
                "from every branch."
            )


def _plain(leaf: Any) -> Any:
    """Arrays of no axes as numbers."""
    return leaf[()] if isinstance(leaf, np.ndarray) and leaf.ndim == 0 else leaf


def _structure(tree: Any) -> str:
    return (
        str(tree).replace("PyTreeSpec", "").replace(", NoneIsLeaf", "").replace(", namespace='fwddiff'", "")
    )
