"""Functions whose derivative the user writes: one rule, every host (`custom_rule`), or every engine
(`scalar_rule`)."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _tree, rules
from fwddiff._errors import ArgumentError, DerivativeError, ShapeError, StructureError
from fwddiff._problem import Problem
from fwddiff._rule import Rule, Shape, Slot, derived_slots
from fwddiff._sizes import FunctionRule, Shapes
from fwddiff._thunk import unthunk
from fwddiff._wrapper import FwdDiff
from fwddiff.engines.numpy.function import plans_of_methods
from fwddiff.engines.numpy.loop import evaluate
from fwddiff.engines.numpy.outline import outline


def custom_rule(
    f: Callable,
    *,
    rrule: Callable | None = None,
    frule: Callable | None = None,
    wrt: Any = None,
    out_shape: Any = None,
) -> FwdDiff:
    """Give `f` a derivative of your own; the result works in every host, and in `fd.rrule` and `fd.frule`.

    Args:
        f: Any Python function of numbers, NumPy arrays and structs of them. It is called, never compiled.
        rrule: `rrule(*args) → (y, pullback)`, `pullback(cotangent of y) → one cotangent per argument`;
            thunks, and `None` for an argument without derivative, are fine.
        frule: `frule(primals, tangents) → (y, dy)`.
        wrt: Names or positions of the arguments to differentiate.
        out_shape: What a result looks like, as in `fwddiff`: for hosts that trace.

    Returns:
        A callable like that of `fwddiff`, with `broadcast` and `sum`. Second derivatives are not defined by a
        rule of first order: asking for them raises DerivativeError. So does reverse mode without `rrule` and
        forward mode without `frule`.
    """
    if rrule is None and frule is None:
        raise ArgumentError("custom_rule needs rrule=, frule= or both.")
    engine = functools.partial(_CustomRule, rrule=rrule, frule=frule)
    return FwdDiff(f, engine, wrt, "recompute", "single", None, out_shape)


def scalar_rule(function: Callable, *partials: str, value: str | None = None) -> Callable:
    """Teach the engines a scalar function: one partial per argument, as text.

    Args:
        function: A Python function of numbers. A compiling engine compiles it (or `value`) for the value.
        partials: Expressions in the function's argument names, `y` (its value), integers, `pi`,
            `where(condition, a, b)` and the functions of the rules table, this one included:
            `scalar_rule(sigmoid, "y * (1 - y)")`.
        value: Scalar code of the same language for the value, instead of calling `function`.

    Returns:
        `function`, so that this can stand below its definition.

    Raises:
        ArgumentError: an expression is not of the language, or the number of partials is not that of the
            arguments.
    """
    if not function.__name__.isidentifier():
        raise ArgumentError(f"scalar_rule needs a function with a name, not {function.__name__!r}: use def.")
    names = list(inspect.signature(function).parameters)
    row = rules.add_rule(function, f"{function.__name__}({', '.join(names)})", partials, value)
    numba_engine = sys.modules.get("fwddiff.engines.numba")
    if numba_engine is not None:
        numba_engine.add_row(row)
    return function


class _CustomRule(FunctionRule):
    """A rule of whole Python calls, looped over in Python where arguments have loop axes."""

    def __init__(self, problem: Problem, rrule: Callable | None, frule: Callable | None):
        self._start(problem)
        self.rrule, self.frule = rrule, frule
        self._tree: Any = None

    @property
    def knows_results(self) -> bool:
        return self._tree is not None

    @property
    def outputs(self) -> tuple[Slot, ...]:
        if self._tree is None:
            self.find_structure()
        return self._outputs

    def result_tree(self) -> Any:
        self.outputs  # noqa: B018 - finds the structure
        return self._tree

    def _outline(self, cores: Shapes) -> Shapes:
        leaves, tree = outline(self.problem, plans_of_methods(self.problem), cores, self.integers)
        return tuple(map(np.shape, self._noted(leaves, tree)))

    def _run_first(self, leaves: Sequence[np.ndarray]) -> Shapes:
        found = self._run(leaves)
        self.keep_first(leaves, found)
        return tuple(map(np.shape, found))

    def _twin(self) -> _CustomRule:
        twin = _CustomRule(self.problem, self.rrule, self.frule)
        twin._tree, twin._outputs = self._tree, self._outputs
        return twin

    def arguments(self, leaves: Sequence[np.ndarray]) -> tuple:
        """The user's arguments: numbers as Python's own, arrays read-only."""
        return self.problem.bind([_user_leaf(leaf) for leaf in leaves])[0]

    def _run(self, leaves: Sequence[np.ndarray]) -> list[Any]:
        result = self.problem.plan.original(*self.arguments(leaves))
        return self._noted(*_tree.flatten(result))

    def _noted(self, found: list[Any], tree: Any) -> list[Any]:
        if self._tree is None:
            self._outputs = tuple(self._slot(leaf) for leaf in found)
            self._tree = tree
        elif tree != self._tree:
            raise StructureError(
                f"{self.name} returned {tree} after {self._tree}: results must have one structure."
            )
        return found

    def _slot(self, leaf: Any) -> Slot:
        kind = np.asarray(leaf).dtype.kind
        if kind not in "fiub":
            raise StructureError(
                f"{self.name} returned a {type(leaf).__name__}: return numbers and arrays of numbers."
            )
        dtype = {"f": self.problem.float_dtype, "b": np.dtype(bool)}.get(kind, self.problem.integer_dtype)
        return Slot(dtype, np.ndim(leaf), kind == "f", self.problem.reduce)

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        return self.as_told(arrays, evaluate(self, lambda *leaves: self._run(leaves), arrays, batch_ndim))

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        if kind == "pullback" and self.rrule is not None:
            return _CustomPullback(self, active)
        if kind == "pushforward":
            # Without frule too: JAX records a pushforward in reverse mode, transposes it, and never runs it.
            return _CustomPushforward(self, active)
        raise self.missing("rrule")

    def missing(self, needed: str) -> DerivativeError:
        return DerivativeError(
            f"the custom rule of {self.name} has no {needed}, which this derivative needs: give {needed}=."
        )


class _CustomDerivative(Rule):
    """Pullback or pushforward by the user's rule."""

    kind: str

    def __init__(self, base: _CustomRule, active: tuple[int, ...]):
        self.base, self.active, self.name = base, active, f"{self.kind} of {base.name}"
        self.inputs, self._outputs = derived_slots(self.kind, base.inputs, base.outputs, active)

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    @property
    def storable(self) -> bool:
        return False

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        return evaluate(self, lambda *leaves: self._run(leaves), arrays, batch_ndim)

    def _run(self, leaves: Sequence[np.ndarray]) -> list[Any]:
        raise NotImplementedError

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        raise DerivativeError(
            f"the custom rule of {self.base.name} defines first derivatives only; a second one was "
            "asked for. "
            "Compose the function of differentiable parts, or use fwddiff."
        )

    def _mirror(self, tree: Any, spec: Any, what: str) -> list[Any]:
        if tree is None:
            return [None] * spec.num_leaves
        try:
            return [tree] if spec.is_leaf() else spec.flatten_up_to(tree)
        except (ValueError, TypeError) as error:
            raise StructureError(
                f"the custom rule of {self.base.name} returned {what} of another structure: {error}"
            ) from None


class _CustomPullback(_CustomDerivative):
    kind = "pullback"

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return tuple(tuple(core_inputs[a]) for a in self.active)

    def _run(self, leaves: Sequence[np.ndarray]) -> list[Any]:
        base = self.base
        arguments = base.arguments(leaves[: len(base.inputs)])
        given = iter(leaves[len(base.inputs) :])
        cotangents = [_user_leaf(next(given)) if slot.differentiable else None for slot in base.outputs]
        assert base.rrule is not None
        _, pullback = base.rrule(*arguments)
        returned = tuple(map(unthunk, pullback(_tree.unflatten(base.result_tree(), cotangents))))
        found = zip(self.active, self._leaves(returned), strict=True)
        return [self._cotangent(a, leaf, leaves[a]) for a, leaf in found]

    def _leaves(self, returned: tuple) -> list[Any]:
        """Cotangents of the active inputs from those of the arguments."""
        children = self.base.problem.arguments.children()
        if len(returned) != len(children):
            raise StructureError(
                f"the pullback of {self.base.name} returned {len(returned)} cotangents for "
                f"{len(children)} arguments."
            )
        leaves = [
            leaf
            for k, (tree, spec) in enumerate(zip(returned, children, strict=True))
            for leaf in self._mirror(tree, spec, f"a cotangent of argument {k}")
        ]
        dynamic = [k for k in range(len(leaves)) if k not in self.base.problem.statics]
        return [leaves[dynamic[a]] for a in self.active]

    def _cotangent(self, a: int, leaf: Any, argument: Any) -> Any:
        if leaf is None:
            return np.zeros_like(argument)
        found = np.asarray(leaf, self.inputs[a].dtype)
        if found.shape != np.shape(argument):
            raise ShapeError(
                f"the custom rule of {self.base.name} returned a cotangent of shape {found.shape} for an "
                f"argument of shape {np.shape(argument)}."
            )
        return found


class _CustomPushforward(_CustomDerivative):
    kind = "pushforward"

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        self.base.learn(arrays[: len(self.base.inputs)])
        return super().__call__(arrays, batch_ndim)

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        shapes = self.base.core_shapes(core_inputs[: len(self.base.inputs)])
        return tuple(s for s, slot in zip(shapes, self.base.outputs, strict=True) if slot.differentiable)

    def _run(self, leaves: Sequence[np.ndarray]) -> list[Any]:
        base, count = self.base, len(self.base.inputs)
        primals = base.arguments(leaves[:count])
        moving = dict(zip(self.active, leaves[count:], strict=True))
        tangents = [moving.get(i, np.zeros_like(leaf)) for i, leaf in enumerate(leaves[:count])]
        if base.frule is None:
            raise base.missing("frule")
        _, dy = base.frule(primals, base.arguments(tangents))
        found = self._mirror(dy, base.result_tree(), "a tangent")
        shapes = base.core_shapes([np.shape(leaf) for leaf in leaves[:count]])
        return [
            np.zeros(shape) if d is None else d
            for d, slot, shape in zip(found, base.outputs, shapes, strict=True)
            if slot.differentiable
        ]


def _user_leaf(leaf: np.ndarray) -> Any:
    if np.ndim(leaf) == 0:
        return np.asarray(leaf).item()
    view = np.asarray(leaf).view()
    view.flags.writeable = False
    return view
