"""Operators with `sparsity=`: what `fwddiff.sparsity` makes of a point."""

from __future__ import annotations

import functools
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


class Several:
    """One sparse Jacobian for each of several arguments; `out` is a tuple of theirs."""

    def __init__(self, made: Sequence[Any]):
        self.made = made

    def __call__(self, *args: Any, out: Any = None) -> tuple:
        outs = [None] * len(self.made) if out is None else out
        return tuple(one(*args, out=place) for one, place in zip(self.made, outs, strict=True))

    def value_and(self, *args: Any, out: Any = None) -> tuple[Any, tuple]:
        first, *others = [None] * len(self.made) if out is None else out
        value, found = self.made[0].value_and(*args, out=first)
        pairs = zip(self.made[1:], others, strict=True)
        return value, (found, *(one(*args, out=place) for one, place in pairs))


def curried(name: str, f: Callable, choice: Any) -> Callable[..., Any]:
    """The operator of this name as a function of the arguments, and of `out`."""
    kind = _kind(name)
    return _form(name, choice, lambda point, sparsity: Curried(kind, point, sparsity, choice.check), f)


def prepared(name: str, f: Callable, args: tuple, choice: Any) -> Callable[..., Any]:
    """The operator of this name, prepared for arguments like these."""
    kind = _kind(name)
    return _form(name, choice, lambda point, sparsity: kind(point, args, sparsity, choice.check), f)


def _form(name: str, choice: Any, make: Callable[[Any, Any], Any], f: Callable) -> Callable[..., Any]:
    """What `make` makes of the points for one argument and the pattern, or of those for each of several."""
    argnum, sparsity = choice.argnum, choice.sparsity
    at = functools.partial(points, f, backend=choice.backend, chunk=choice.chunk)
    if isinstance(argnum, int | str):
        found = make(at(argnum), sparsity)
    else:
        pairs = zip(argnum, _patterns(name, argnum, sparsity), strict=True)
        found = Several([make(at(one), pattern) for one, pattern in pairs])
    return found.value_and if name.startswith("value_and_") else found


def points(f: Callable, argnum: Argnum, backend: str, chunk: int | None) -> Callable[..., At]:
    """Makes of arguments the function at a point."""
    return lambda *args: At(*located(operation_of(f, backend, chunk), args, argnum))


def _patterns(name: str, argnum: Sequence[int | str], sparsity: Any) -> Sequence[Any]:
    if not argnum:
        raise ArgumentError("argnum=() chooses no argument to differentiate by.")
    if len(argnum) > 1 and "hessian" in name:
        raise ArgumentError(
            f"{name} with sparsity= takes one argument to differentiate by: put them into one array."
        )
    if isinstance(sparsity, str) or (len(argnum) == 1 and not isinstance(sparsity, tuple)):
        return [sparsity] * len(argnum)
    if isinstance(sparsity, tuple) and len(sparsity) == len(argnum):
        return sparsity
    raise ArgumentError(
        f'{name} by {len(argnum)} arguments takes sparsity="detect", or a tuple of {len(argnum)} patterns.'
    )


def _kind(name: str) -> type[SparseDerivative]:
    kinds = {"jacobian": SparseJacobian, "hessian": SparseHessian}
    kind = kinds.get(name.removeprefix("value_and_"))
    if kind is None:
        raise ArgumentError(f"{name} takes no sparsity=: hessian, jacobian and their value_and_ forms do.")
    return kind
