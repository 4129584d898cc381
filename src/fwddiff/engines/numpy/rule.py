"""Rules that run Python code."""

from __future__ import annotations

import operator
import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fwddiff import _derive, _nesting, _tree, dual
from fwddiff._errors import ArgumentError, DerivativeError
from fwddiff._mistakes import named
from fwddiff._problem import Problem
from fwddiff._rule import (
    Rule,
    Shape,
    Slot,
    Unbounded,
    derived_core_shapes,
    derived_slots,
    split_kind,
)
from fwddiff._sizes import FunctionRule, Shapes
from fwddiff.engines.numpy.function import UserFunction, parameter_names, plans_of_methods
from fwddiff.engines.numpy.loop import evaluate, usable_leaf
from fwddiff.engines.numpy.outline import outline
from fwddiff.engines.numpy.results import Results
from fwddiff.engines.numpy.seeding import Block, Cotangents, primitives
from fwddiff.engines.numpy.standins import duals

_PACKAGES = (str(Path(_derive.__file__).parent), str(Path(np.__file__).parent))
_READ_ONLY = re.compile("read-only")


class PythonRule(Rule):
    """A rule whose core function is Python code; `core()` makes one for one evaluation in one thread."""

    depth: int
    chunk: int | None
    has_jacobian = True
    stored: int | None = None  # of partials: the number of values that they come after

    def core(self) -> Callable[..., Sequence[Any]]:
        """A function of leaves that returns the outputs' leaves."""
        raise NotImplementedError

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        with np.errstate(all="ignore"), _nesting.nested():
            results = evaluate(self, self.core(), arrays, batch_ndim)
        return results if self.stored is None or _bounded(results[self.stored :]) else Unbounded(results)

    def on_leaves(self, leaves: Sequence[Any]) -> Sequence[Any]:
        """Evaluate one element on numbers, arrays or duals of an evaluation that this one is nested in."""
        with np.errstate(all="ignore"), _nesting.nested():
            return self.core()(*leaves)

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        return DerivedRule(self, kind, active)


class BaseRule(FunctionRule, PythonRule):
    """The user's own function."""

    depth = 0
    dear = True

    def __init__(self, problem: Problem, not_compiled: str = ""):
        self._start(problem)
        self.not_compiled = not_compiled
        self.chunk = problem.chunk
        self.results = Results(problem)
        self.method_plans = plans_of_methods(problem)

    # --- evaluation -----------------------------------------------------------------------------------------

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        return self.as_told(arrays, super().__call__(arrays, batch_ndim))

    def core(self) -> Callable[..., Sequence[Any]]:
        self.problem.refuse_changes()
        function = UserFunction(self.problem, self.method_plans, duals())

        def core(*leaves: Any) -> list[Any]:
            try:
                with named(self.problem):
                    result = function(*leaves)
            except ValueError as error:
                self._explain_write(error, function.arguments)
                raise
            return self.results.leaves(result)

        return core

    def _explain_write(self, error: ValueError, arguments: Sequence[Any]) -> None:
        """NumPy says only that an array is read-only: find the argument."""
        if not _READ_ONLY.search(str(error)):
            return
        names = parameter_names(self.problem.plan)
        arrays = [n for n, a in zip(names, arguments, strict=False) if np.ndim(dual.strip(a)) > 0] or [
            "captured values"
        ]
        frames = traceback.extract_tb(error.__traceback__)
        line = next(
            (f.line or "" for f in reversed(frames) if not f.filename.startswith(_PACKAGES)), ""
        ).strip()
        written = [name for name in arrays if re.match(rf"{re.escape(name)}\b", line)] or arrays
        raise ArgumentError(
            f"{self.name} writes to its argument {' or '.join(map(repr, written))} (`{line}`); arguments "
            f"are read-only. Work on a copy: `{written[0]} = {written[0]}.copy()`, or take a buffer from a "
            "`fd.DiffCache`."
        ) from error

    # --- what the function returns --------------------------------------------------------------------------

    @property
    def knows_results(self) -> bool:
        return self.results.tree is not None

    @property
    def outputs(self) -> tuple[Slot, ...]:
        if self.results.tree is None:
            self.find_structure()
        return self.results.slots

    def result_tree(self) -> Any:
        """Structure of the results."""
        self.outputs  # noqa: B018 - finds the structure, if nothing has yet
        return self.results.tree

    def _outline(self, cores: Shapes) -> Shapes:
        leaves, tree = outline(self.problem, self.method_plans, cores, self.integers)
        found = self.results.leaves(_tree.unflatten(tree, leaves))
        return tuple(map(np.shape, found))

    def _run_first(self, leaves: Sequence[np.ndarray]) -> Shapes:
        given = [usable_leaf(leaf, slot.dtype) for leaf, slot in zip(leaves, self.inputs, strict=True)]
        found = self.on_leaves(given)
        plain = [dual.strip(leaf) for leaf in found]
        if all(map(operator.is_, plain, found)):  # a function defined inside another may capture duals
            self.keep_first(given, found)
        return tuple(map(np.shape, plain))

    def _twin(self) -> BaseRule:
        twin = BaseRule(self.problem)
        twin.results = self.results
        return twin

    def decide(self, active: Sequence[int], shapes: Sequence[Shape], habit: Any = "plain") -> Any:
        # The first question of a host that comes with shapes: an outline of these is better than of others.
        if self.results.tree is None:
            self.core_shapes(
                [s[len(s) - slot.core_ndim :] for slot, s in zip(self.inputs, shapes, strict=True)]
            )
        return super().decide(active, shapes, habit)


class DerivedRule(PythonRule):
    """Pushforward, pullback or partials of another rule."""

    def __init__(self, base: PythonRule, kind: str, active: tuple[int, ...]):
        self.base, self.kind, self.active = base, kind, active
        self.depth, self.chunk, self.dear = base.depth + 1, base.chunk, base.dear
        self.name = f"{kind} of {base.name}"
        self.stored = len(base.outputs) if kind == "partials" else None
        if not base.differentiable_outputs:
            raise DerivativeError(
                f"{base.name} has no output that depends smoothly on its arguments: all are integers."
            )
        self.inputs, self._outputs = derived_slots(kind, base.inputs, base.outputs, active)
        text = _derive.derived_source(kind, base.inputs, base.outputs, active, base.chunk)
        self.code = compile(text, f"<{self.name}>", "exec")

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    def core(self) -> Callable[..., Sequence[Any]]:
        level = _nesting.depth() * _derive.OUTERMOST_LEVEL - self.depth
        kind, _ = split_kind(self.kind)
        seeds = 1 if kind == "pushforward" else len(self.active)
        namespace = primitives(level, self.chunk or _derive.CHUNK, seeds)
        namespace["f"] = self.base.core()
        exec(self.code, namespace)
        derived = namespace[self.kind]

        return lambda *leaves: [
            x.array() if isinstance(x, Cotangents | Block) else x for x in derived(*leaves)
        ]

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return derived_core_shapes(self.kind, self.base, self.active, core_inputs)


def _bounded(partials: Sequence[np.ndarray]) -> bool:
    return all(np.isfinite(partial).all() for partial in partials)
