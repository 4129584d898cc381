"""Derivatives of plain functions at plain arguments: derivative, gradient, jacobian, hessian and products
with them.

The names and their meaning follow DifferentiationInterface.jl (Dalle and Hill, arXiv 2505.05542). Each
operator differentiates `f` with respect to its first argument; further arguments are constants. `backend` is
an engine: "numba" compiles `f`, "numpy" runs it as it is, "auto" compiles unless `f` itself calls fwddiff.
Operators nest: a derivative inside a function that is differentiated is differentiated too.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from fwddiff import _capture, _nesting, _tree
from fwddiff._errors import ArgumentError, ShapeError
from fwddiff._magnitude import magnitude
from fwddiff._wrapper import FwdDiff, fwddiff
from fwddiff.dual import level_of, strip

_PACKAGE = __name__.partition(".")[0]


def derivative(f: Callable, x: float, *constants: Any, backend: str = "auto") -> Any:
    """df/dx of a function of a number; mirrors the result of `f` (`None` for what has no derivative)."""
    at = _At(f, x, constants, backend)
    at.expect_a_number(x)
    return at.pushforward([1.0])


def value_and_derivative(f: Callable, x: float, *constants: Any, backend: str = "auto") -> tuple[Any, Any]:
    """`(f(x), df/dx)`."""
    at = _At(f, x, constants, backend)
    at.expect_a_number(x)
    return at.value(), at.pushforward([1.0])


def pushforward(f: Callable, x: Any, tangent: Any, *constants: Any, backend: str = "auto") -> Any:
    """Directional derivative of `f` at `x` along `tangent`, which mirrors `x`; mirrors the result of `f`."""
    at = _At(f, x, constants, backend)
    return at.pushforward(at.mirrored(tangent))


def value_and_pushforward(
    f: Callable, x: Any, tangent: Any, *constants: Any, backend: str = "auto"
) -> tuple[Any, Any]:
    """`(f(x), directional derivative)`."""
    at = _At(f, x, constants, backend)
    return at.value(), at.pushforward(at.mirrored(tangent))


def pullback(f: Callable, x: Any, cotangent: Any, *constants: Any, backend: str = "auto") -> Any:
    """Cotangent of `x` for a `cotangent` that mirrors the result of `f`."""
    at = _At(f, x, constants, backend)
    return at.pullback(at.cotangents(cotangent))


def value_and_pullback(
    f: Callable, x: Any, cotangent: Any, *constants: Any, backend: str = "auto"
) -> tuple[Any, Any]:
    """`(f(x), cotangent of x)`."""
    at = _At(f, x, constants, backend)
    return at.value(), at.pullback(at.cotangents(cotangent))


def gradient(f: Callable, x: Any, *constants: Any, backend: str = "auto") -> Any:
    """Gradient of a function that returns one number; mirrors `x`."""
    at = _At(f, x, constants, backend)
    at.expect_one_number("gradient", "jacobian")
    return at.pullback([1.0])


def value_and_gradient(f: Callable, x: Any, *constants: Any, backend: str = "auto") -> tuple[Any, Any]:
    """`(f(x), gradient)`."""
    at = _At(f, x, constants, backend)
    at.expect_one_number("gradient", "jacobian")
    return at.value(), at.pullback([1.0])


def jacobian(f: Callable, x: Any, *constants: Any, backend: str = "auto") -> np.ndarray:
    """Derivatives of every element of an array (or number) by every element of `x`: shape = result + x."""
    return value_and_jacobian(f, x, *constants, backend=backend)[1]


def value_and_jacobian(f: Callable, x: Any, *constants: Any, backend: str = "auto") -> tuple[Any, np.ndarray]:
    """`(f(x), jacobian)`."""
    at = _At(f, x, constants, backend)
    (position,) = at.expect_one_array("jacobian")
    if len(at.rule.differentiable_outputs) != 1 or not at.tree().is_leaf():
        raise ArgumentError(
            f"jacobian needs a function that returns one float array or number; {at.name} does not."
        )
    columns = at.along_basis(at.rule.pushforward((position,)), position)
    return at.value(), np.moveaxis(columns, 0, -1).reshape(columns.shape[1:] + at.shape(position))


def hessian(f: Callable, x: Any, *constants: Any, backend: str = "auto") -> np.ndarray:
    """Second derivatives of a function that returns one number: shape = x + x."""
    at = _At(f, x, constants, backend)
    at.expect_one_number("hessian", "jacobian")
    (position,) = at.expect_one_array("hessian")
    rule = at.rule.pullback((position,)).pushforward((position,))
    columns = at.along_basis(rule, position, before=[np.array(1.0)])
    return columns.reshape(at.shape(position) * 2)


def hvp(f: Callable, x: Any, tangent: Any, *constants: Any, backend: str = "auto") -> Any:
    """Hessian of `f` (which returns one number) times `tangent`; mirrors `x`."""
    at = _At(f, x, constants, backend)
    at.expect_one_number("hvp", "pullback")
    rule = at.rule.pullback(at.inputs).pushforward(at.inputs)
    return at.like_x(at.evaluate(rule, [*at.leaves, 1.0, *at.mirrored(tangent)]))


class _At:
    """A function at a point: its rule, and the leaves of all arguments (floats, arrays, or duals in nested
    calls)."""

    def __init__(self, f: Callable, x: Any, constants: Sequence[Any], backend: str):
        wrapped = f if isinstance(f, FwdDiff) else fwddiff(f)
        if backend == "auto" and (_nesting.depth() or _refers_to_us(wrapped)):
            backend = "numpy"
        if backend != "auto":
            wrapped = FwdDiff(wrapped.target.original, **{**wrapped.options, "engine": backend})
        self.name = wrapped.target.name
        arguments = (x, *constants)
        leaves, spec = _tree.flatten(arguments)
        plain = _tree.unflatten(spec, [_stripped(leaf) for leaf in leaves])
        self.call = wrapped.whole.prepare(*plain)
        self.rule, self.python = self.call.rule, hasattr(self.call.rule, "core") and backend == "numpy"
        given = [
            leaves[k] if k < len(leaves) else self.call.inputs[i] for i, k in enumerate(self.call.dynamic)
        ]
        self.leaves = given
        self.x_spec = _tree.flatten(x)[1]
        count = self.x_spec.num_leaves
        self.x_leaves = {k: i for i, k in enumerate(self.call.dynamic) if k < count}
        self.inputs = tuple(i for i in self.x_leaves.values() if self.rule.inputs[i].differentiable)
        if not self.inputs:
            raise ArgumentError(f"{self.name}: the first argument, {x!r}, holds no float to differentiate.")

    def evaluate(self, rule: Any, leaves: Sequence[Any]) -> Sequence[Any]:
        if self.python:
            return rule.on_leaves(leaves)
        arrays = [np.asarray(leaf, slot.dtype) for leaf, slot in zip(leaves, rule.inputs, strict=True)]
        return [array.item() if array.ndim == 0 else array for array in rule(arrays)]

    def tree(self) -> Any:
        return self.call.result_tree()

    def shape(self, position: int) -> tuple[int, ...]:
        return np.shape(_stripped(self.leaves[position]))

    def value(self) -> Any:
        return _tree.unflatten(self.tree(), self.evaluate(self.rule, self.leaves))

    def pushforward(self, tangents: Sequence[Any]) -> Any:
        """Mirrors the result; `tangents` belong to `self.inputs`."""
        moved = iter(self.evaluate(self.rule.pushforward(self.inputs), [*self.leaves, *tangents]))
        leaves = [next(moved) if slot.differentiable else None for slot in self.rule.outputs]
        return _tree.unflatten(self.tree(), leaves)

    def pullback(self, cotangents: Sequence[Any]) -> Any:
        return self.like_x(self.evaluate(self.rule.pullback(self.inputs), [*self.leaves, *cotangents]))

    def like_x(self, cotangents: Sequence[Any]) -> Any:
        found = dict(zip(self.inputs, cotangents, strict=True))
        leaves = [
            found.get(self.x_leaves[k]) if k in self.x_leaves else None for k in range(self.x_spec.num_leaves)
        ]
        return _tree.unflatten(self.x_spec, leaves)

    def mirrored(self, tangent: Any) -> list[Any]:
        """Leaves of a tangent of x, those of its float leaves."""
        leaves = [tangent] if self.x_spec.is_leaf() else self.x_spec.flatten_up_to(tangent)
        chosen = [leaves[k] for k, i in self.x_leaves.items() if i in self.inputs]
        for leaf, i in zip(chosen, self.inputs, strict=True):
            if np.shape(_stripped(leaf)) != self.shape(i):
                raise ShapeError(
                    f"a tangent has shape {np.shape(_stripped(leaf))}, its argument {self.shape(i)}."
                )
        return chosen

    def cotangents(self, cotangent: Any) -> list[Any]:
        leaves = [cotangent] if self.tree().is_leaf() else self.tree().flatten_up_to(cotangent)
        return [leaf for leaf, slot in zip(leaves, self.rule.outputs, strict=True) if slot.differentiable]

    def expect_a_number(self, x: Any) -> None:
        if len(self.inputs) != 1 or self.rule.inputs[self.inputs[0]].core_ndim:
            raise ArgumentError(
                f"derivative needs a function of a number; {self.name} got {x!r}. Use gradient or jacobian."
            )

    def expect_one_number(self, operator: str, other: str) -> None:
        slots = self.rule.differentiable_outputs
        if len(slots) != 1 or slots[0].core_ndim:
            raise ArgumentError(
                f"{operator} needs a function that returns one number, and {self.name} returns {len(slots)} "
                f"float leaves{', an array' if len(slots) == 1 else ''}. Perhaps you meant {other}."
            )

    def expect_one_array(self, operator: str) -> tuple[int, ...]:
        if not self.x_spec.is_leaf():
            raise ArgumentError(
                f"{operator} needs a number or an array as first argument, not a struct. Use gradient."
            )
        return self.inputs

    def along_basis(self, rule: Any, position: int, before: Sequence[Any] = ()) -> np.ndarray:
        """Stacked results of `rule` for the tangents e_1, e_2, … of the one input that moves."""
        shape = self.shape(position)
        basis = np.eye(int(np.prod(shape)), dtype=self.rule.inputs[position].dtype).reshape(-1, *shape)
        fixed = [np.asarray(leaf)[None] for leaf in (*self.leaves, *before)]
        leaves = [np.asarray(a, slot.dtype) for a, slot in zip([*fixed, basis], rule.inputs, strict=True)]
        return rule(leaves, 1)[0]


def _refers_to_us(wrapped: FwdDiff) -> bool:
    """Whether the function calls fwddiff itself: then it runs as Python, and the inner derivative is
    differentiated."""
    if not _capture.has_code(wrapped.target.function):
        return False
    plan = wrapped.caller.plan()
    if plan not in _answers:
        _answers[plan] = any(_is_ours(value) for node in plan.nodes() for value in _mentioned(node))
    return _answers[plan]


# A plan is made anew when a name in the code leads elsewhere.
_answers: weakref.WeakKeyDictionary[_capture.Function, bool] = weakref.WeakKeyDictionary()


def _mentioned(node: _capture.Function) -> Iterator[Any]:
    """What the names in the code of a function, and of those defined inside, lead to."""
    code = node.function.__code__
    for part in (code, *_capture.nested_codes(code)):
        for use in _capture.uses(part):
            yield node.lookup(_capture.attributes(use.path))


def _is_ours(value: Any) -> bool:
    ours = isinstance(value, FunctionType) and value.__module__.partition(".")[0] == _PACKAGE
    return ours and value is not magnitude


def _is_dual(leaf: Any) -> bool:
    return level_of(leaf) >= 0


def _stripped(leaf: Any) -> Any:
    return strip(leaf) if _is_dual(leaf) else leaf
