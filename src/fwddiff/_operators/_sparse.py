"""Operators with `sparsity=`: what `fwddiff.sparsity` makes of a point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fwddiff._chainrules import operation_of
from fwddiff._errors import ArgumentError
from fwddiff._operators._point import Argnum, Point, evaluated, located
from fwddiff.sparsity import Curried, SparseDerivative, SparseHessian, SparseJacobian


class At:
    """A function at a point: `rule`, its `inputs` that move, and the `leaves` of the arguments."""

    def __init__(self, point: Point, leaves: Sequence[Any]):
        self._point, self.leaves = point, leaves
        self.rule, self.inputs, self.name = point.rule, point.inputs, point.name
        self.tree, self.is_constant = point.tree, point.is_constant
        self.expect_arrays, self.expect_one_number = point.expect_arrays, point.expect_one_number

    def results(self) -> list[Any]:
        return evaluated(self.rule, self.leaves)

    def value(self) -> Any:
        return self._point.value(self.results())


def points(f: Callable, argnum: Argnum, backend: str, chunk: int | None) -> Callable[..., At]:
    """Makes of arguments the function at a point."""
    return lambda *args: At(*located(operation_of(f, backend, chunk), args, argnum))


def curried(name: str, point: Callable[..., At], sparsity: Any, check: bool | None) -> Callable[..., Any]:
    """The operator of this name as a function of the arguments, and of `out`."""
    return _form(name, Curried(_kind(name), point, sparsity, check))


def prepared(
    name: str, point: Callable[..., At], args: tuple, sparsity: Any, check: bool | None
) -> Callable[..., Any]:
    """The operator of this name, prepared for arguments like these."""
    return _form(name, _kind(name)(point, args, sparsity, check))


def _kind(name: str) -> type[SparseDerivative]:
    kinds = {"jacobian": SparseJacobian, "hessian": SparseHessian}
    kind = kinds.get(name.removeprefix("value_and_"))
    if kind is None:
        raise ArgumentError(f"{name} takes no sparsity=: hessian, jacobian and their value_and_ forms do.")
    return kind


def _form(name: str, derivative: Any) -> Callable[..., Any]:
    return derivative.value_and if name.startswith("value_and_") else derivative
