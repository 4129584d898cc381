"""A function at a point, seen as a function of its float leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _tree
from fwddiff._capture import STANDS_FOR
from fwddiff._errors import ArgumentError
from fwddiff._wrapper import FwdDiff, Operation, fwddiff


class Point:
    """An operation with arguments without a host.

    `leaves` are the float leaves to differentiate, as arrays; `names` how to call each of them.
    """

    def __init__(self, f: Callable, args: tuple, kwargs: dict[str, Any]):
        self.operation = operation_of(f)
        self.args, self.kwargs = args, kwargs
        self.all_leaves, self.spec = _tree.flatten(args)
        wrapped = self.operation.wrapped
        given = wrapped.target.given_positions(len(args))
        wrt = wrapped.caller.subject.options.wrt
        owners = [k for k, child in enumerate(self.spec.children()) for _ in range(child.num_leaves)]
        self.active = [
            k
            for k, leaf in enumerate(self.all_leaves)
            if _is_float(leaf) and (wrt is None or given[owners[k]] in wrt)
        ]
        if not self.active:
            raise ArgumentError(f"{self.name}: no argument holds a float to differentiate.")
        self.names = [self._name(k, given[owners[k]]) for k in self.active]
        self.leaves = [np.asarray(self.all_leaves[k]) for k in self.active]

    @property
    def name(self) -> str:
        return self.operation.__name__

    def _name(self, leaf: int, position: int) -> str:
        path = _tree.leaf_paths(self.spec)[leaf].partition("]")[2]
        return self.operation.wrapped.target.argument_name(position).strip("'") + path

    def arguments(self, leaves: Sequence[Any]) -> tuple:
        """The arguments with other active leaves: arrays of any host, or of another dtype."""
        everything = list(self.all_leaves)
        for k, leaf in zip(self.active, leaves, strict=True):
            everything[k] = leaf
        return _tree.unflatten(self.spec, everything)

    def mirrored(self, leaves: Sequence[Any]) -> tuple:
        """A tangent of the arguments: `None` where there is no derivative."""
        everything: list[Any] = [None] * len(self.all_leaves)
        for k, leaf in zip(self.active, leaves, strict=True):
            everything[k] = leaf
        return _tree.unflatten(self.spec, everything)

    def outputs(self, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Float outputs at these leaves, computed in float64 without a host and without derivatives."""
        return float_outputs(self.operation(*self.arguments([_number(x) for x in leaves]), **self.kwargs))

    def with_engine(self, engine: str) -> Operation:
        """The same operation by another engine; custom rules keep their own."""
        wrapped = self.operation.wrapped
        if self.is_custom or wrapped.options["engine"] == engine:
            return self.operation
        again = FwdDiff(wrapped.target.original, **{**wrapped.options, "engine": engine})
        return again._operations[self.operation.kind]

    @property
    def is_custom(self) -> bool:
        """Whether the derivative is a custom rule's, or an implicit function's, which no engine computes."""
        wrapped = self.operation.wrapped
        return wrapped.meaning.rule is not None or type(wrapped).with_engine is not FwdDiff.with_engine


def operation_of(f: Callable) -> Operation:
    """The operation that `f` is, or the call of the whole function."""
    f = getattr(f, STANDS_FOR, f)
    if isinstance(f, Operation):
        return f
    return f.whole if isinstance(f, FwdDiff) else fwddiff(f).whole


def float_outputs(result: Any) -> list[np.ndarray]:
    """Float leaves of a result, as arrays."""
    return [np.asarray(leaf) for leaf in _tree.flatten(result)[0] if _is_float(leaf)]


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, float | np.floating) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f")


def _number(leaf: np.ndarray) -> Any:
    """A leaf in float64; numbers as Python's own, as a user would pass them."""
    wide = np.asarray(leaf, np.float64)
    return wide.item() if wide.ndim == 0 else wide
