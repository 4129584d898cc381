"""From what a framework's function returns to flat leaves, of one structure for all calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff import _tree
from fwddiff._errors import StructureError
from fwddiff._problem import Problem
from fwddiff._rule import Slot
from fwddiff.engines.foreign.framework import Framework


class Results:
    """Structure and slots of the results, fixed by the first one."""

    def __init__(self, problem: Problem, framework: Framework):
        self.problem, self.framework, self.name = problem, framework, problem.name
        self.tree: Any = None
        self.slots: tuple[Slot, ...] = ()

    def arrays(self, result: Any) -> tuple:
        """The framework's arrays in a result, in the dtypes of the slots."""
        leaves, tree = _tree.flatten(result)
        dtypes = [self._dtype(leaf, k) for k, leaf in enumerate(leaves)]
        found = [self._slot(d, self.framework.shape(leaf)) for d, leaf in zip(dtypes, leaves, strict=True)]
        self._fix(tree, found)
        return tuple(
            self.framework.own(leaf, slot.dtype) for leaf, slot in zip(leaves, self.slots, strict=True)
        )

    def tell(self, example: Any) -> list[tuple[int, ...]]:
        """Shapes of an example that the user gave (`out_shape=`); its floats have the arguments' dtype."""
        leaves, tree = _tree.flatten(example)
        kinds = [np.asarray(leaf).dtype for leaf in leaves]
        kinds = [self.problem.float_dtype if kind.kind == "f" else kind for kind in kinds]
        self._fix(tree, [self._slot(k, np.shape(x)) for k, x in zip(kinds, leaves, strict=True)])
        return [np.shape(leaf) for leaf in leaves]

    def _dtype(self, leaf: Any, position: int) -> np.dtype:
        if isinstance(leaf, bool | int):
            return np.dtype(type(leaf))
        if self.framework.lets_go and _is_plain_float(leaf):
            raise StructureError(
                f"{self.name} returns a {type(leaf).__name__} (output {position}), which has no derivative "
                f"in {self.framework.name}: somewhere an array turned into numbers of Python or NumPy "
                "(math.*, np.*, float(), .item()). Compute with the framework's functions; return its arrays."
            )
        if isinstance(leaf, float) and not isinstance(leaf, np.floating):
            return self.problem.float_dtype
        found = self.framework.dtype(leaf)
        if found is None:
            kind = f"{type(leaf).__name__} of dtype {leaf.dtype}" if hasattr(leaf, "dtype") else type(leaf)
            raise StructureError(
                f"{self.name} returns a {kind} (output {position}). Return real arrays of "
                f"{self.framework.name}"
                " in single or double precision, integers or bools, and tuples, NamedTuples, dataclasses or "
                "dicts of them."
            )
        return found

    def _slot(self, dtype: np.dtype, shape: Sequence[int]) -> Slot:
        reduce = self.problem.reduce
        if dtype.kind == "f":
            return Slot(dtype, len(shape), True, reduce)
        is_bool = dtype.kind == "b" and reduce is None
        return Slot(dtype if is_bool else self.problem.integer_dtype, len(shape), False, reduce)

    def _fix(self, tree: Any, slots: Sequence[Slot]) -> None:
        if self.tree is None:
            self.slots = tuple(slots)
            self.tree = tree
        if tree != self.tree:
            raise StructureError(
                f"{self.name} returns {tree} for some arguments and {self.tree} for others. Return one "
                "structure from every branch."
            )
        for position, (slot, known) in enumerate(zip(slots, self.slots, strict=True)):
            if slot.core_ndim != known.core_ndim or not _fits(slot, known):
                raise StructureError(
                    f"{self.name} returns {_shown(slot)} for some arguments and {_shown(known)} for others "
                    f"(output {position}). Return one kind from every branch, and tell that by out_shape=."
                )


def _is_plain_float(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind == "f"
    return isinstance(leaf, float | np.floating)


def _fits(slot: Slot, known: Slot) -> bool:
    """Whether a result loses nothing in the dtype that is known of it."""
    return slot.differentiable == known.differentiable and np.can_cast(slot.dtype, known.dtype, "safe")


def _shown(slot: Slot) -> str:
    return f"{slot.dtype} with {slot.core_ndim} axes"
