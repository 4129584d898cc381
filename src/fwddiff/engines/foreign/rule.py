"""Rules of functions written for a framework. Their derivatives are functions of the framework again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff._capture import Foreign
from fwddiff._errors import DerivativeError
from fwddiff._problem import Problem
from fwddiff._rule import Rule, Shape, Slot, Unbounded, derived_core_shapes, derived_slots, split_kind
from fwddiff._sizes import FunctionRule, Given, Shapes
from fwddiff.engines.foreign.framework import Core, Framework, Like
from fwddiff.engines.foreign.loop import evaluate
from fwddiff.engines.foreign.results import Results

Found = tuple[Sequence[Any], Sequence[Any]]  # outputs of a base, and derivatives of them


class FrameworkRule(Rule):
    """A rule whose core runs in a framework."""

    framework: Framework
    given: Foreign
    stored: int | None = None  # of partials: the number of values that they come after
    dear = True
    has_jacobian = True

    def core(self) -> Core:
        """A function of the framework's leaves that returns the outputs' leaves."""
        raise NotImplementedError

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        arrays = [np.asarray(x, slot.dtype) for x, slot in zip(arrays, self.inputs, strict=True)]
        with self.framework.session([slot.dtype for slot in self.inputs]):
            core, is_compiled = self._ready()
            leaves = arrays if is_compiled else self._lent(arrays)
            found = evaluate(self, core, leaves, batch_ndim, self.framework)
            results = tuple(
                self.framework.taken(y, slot.dtype, arrays)
                for y, slot in zip(found, self.outputs, strict=True)
            )
        return results if self.stored is None or _bounded(results[self.stored :]) else Unbounded(results)

    def _ready(self) -> tuple[Core, bool]:
        """The core, and whether it is compiled and takes NumPy arrays as they are; made once."""
        found = vars(self).get("_core")
        if found is None:
            numbers = [slot for slot in self.inputs if slot.dtype.kind != "f" and not slot.core_ndim]
            compiled = None if numbers else self.framework.compiled(self.core(), self.given.function)
            found = self._core = (compiled or self.core(), compiled is not None)
        return found

    def _lent(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        return [
            x.item() if slot.dtype.kind != "f" and not x.ndim else self.framework.lent(x)
            for x, slot in zip(arrays, self.inputs, strict=True)
        ]

    def is_home(self, leaves: Sequence[Any]) -> bool:
        """Whether arrays of the framework itself are among the leaves."""
        return any(map(self.framework.owns, leaves))

    def within(self, leaves: Sequence[Any], batch_ndim: int = 0) -> tuple:
        """Evaluate on the framework's own arrays, traced or recorded ones too: it differentiates that."""
        given = [self.framework.own(x, slot.dtype) for x, slot in zip(leaves, self.inputs, strict=True)]
        return evaluate(self, self.core(), given, batch_ndim, self.framework)

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        return Derivative(self, kind, active)


class ForeignRule(FunctionRule, FrameworkRule):
    """The user's function."""

    def __init__(self, problem: Problem, given: Foreign, framework: Framework):
        self._start(problem)
        self.given, self.framework = given, framework
        self.results = Results(problem, framework)
        self._call = _calling(given.function)

    def _twin(self) -> ForeignRule:
        twin = ForeignRule(self.problem, self.given, self.framework)
        twin.results = self.results
        return twin

    # --- evaluation -----------------------------------------------------------------------------------------

    def core(self) -> Core:
        return lambda *leaves: self.results.arrays(self._call(self.problem.bind(leaves, "guarded")[0]))

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        return self.as_told(arrays, super().__call__(arrays, batch_ndim))

    def _lent(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        return self.framework.guarded(super()._lent(arrays))

    # --- what the function returns --------------------------------------------------------------------------

    @property
    def knows_results(self) -> bool:
        return self.results.tree is not None

    @property
    def outputs(self) -> tuple[Slot, ...]:
        if not self.knows_results:
            self.find_structure()
        return self.results.slots

    def result_tree(self) -> Any:
        """Structure of the results."""
        self.outputs  # noqa: B018 - finds the structure, if nothing has yet
        return self.results.tree

    def settled(self, given: Given) -> Rule:
        # Frameworks tell shapes without values: nothing runs for that where they can.
        cores = given.cores()
        if not self.knows_results and not any(None in core for core in cores):
            self._outlined(cores)
        return super().settled(given)

    def _outline(self, cores: Shapes) -> Shapes:
        if self.problem.out_shape is not None:
            return self._told(self.problem.out_shape.value, cores)
        shapes: list[Shape] = []
        core = self.core()

        def measured(*leaves: Any) -> tuple:
            arrays = core(*leaves)
            shapes[:] = [self.framework.shape(y) for y in arrays]
            return arrays

        inputs = [
            self.integers[k] if k in self.integers else Like(shape, slot.dtype)
            for k, (shape, slot) in enumerate(zip(cores, self.inputs, strict=True))
        ]
        with self.framework.session([slot.dtype for slot in self.inputs]):
            self.framework.outline(measured, inputs)
        return tuple(shapes)

    def _told(self, told: Any, cores: Shapes) -> Shapes:
        examples = [
            self.integers[k] if k in self.integers else np.broadcast_to(slot.dtype.type(0), shape)
            for k, (shape, slot) in enumerate(zip(cores, self.inputs, strict=True))
        ]
        example = told(*self.problem.bind(examples)[0]) if callable(told) else told
        return tuple(self.results.tell(example))

    def _run_first(self, leaves: Sequence[np.ndarray]) -> Shapes:
        given = [np.asarray(leaf, slot.dtype) for leaf, slot in zip(leaves, self.inputs, strict=True)]
        with self.framework.session([slot.dtype for slot in self.inputs]):
            return tuple(self.framework.shape(y) for y in self.core()(*self._lent(given)))


class Derivative(FrameworkRule):
    """Pullback, pushforward, partials or jacobian of another rule, by the framework's own modes, with or
    without the values of that rule ahead."""

    def __init__(self, base: FrameworkRule, kind: str, active: tuple[int, ...]):
        self.base, self.kind, self.active, self.framework = base, kind, active, base.framework
        self.given, self.name = base.given, f"{kind} of {base.name}"
        self.stored = len(base.outputs) if kind == "partials" else None
        self.smooth = tuple(j for j, slot in enumerate(base.outputs) if slot.differentiable)
        if not self.smooth:
            raise DerivativeError(
                f"{base.name} has no output that depends smoothly on its arguments: all are integers."
            )
        self.inputs, self._outputs = derived_slots(kind, base.inputs, base.outputs, active)

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return derived_core_shapes(self.kind, self.base, self.active, core_inputs)

    def core(self) -> Core:
        base, count = self.base.core(), len(self.base.inputs)
        kind, has_values = split_kind(self.kind)
        run = getattr(self, f"_{kind}")

        def derived(*leaves: Any) -> tuple:
            values, found = run(base, leaves[:count], leaves[count:])
            return self._in_dtypes([*values, *found] if has_values else found)

        return derived

    def _in_dtypes(self, arrays: Sequence[Any]) -> tuple:
        return tuple(self.framework.own(y, s.dtype) for y, s in zip(arrays, self._outputs, strict=True))

    def _pullback(self, base: Core, leaves: Sequence[Any], cotangents: Sequence[Any]) -> Found:
        outputs, back = self.framework.vjp(base, leaves, self.active, self.smooth)
        return outputs, back(cotangents)

    def _pushforward(self, base: Core, leaves: Sequence[Any], tangents: Sequence[Any]) -> Found:
        return self.framework.jvp(base, leaves, self.active, tangents, self.smooth)

    def _partials(self, base: Core, leaves: Sequence[Any], _: Sequence[Any]) -> Found:
        outputs, back = self.framework.vjp(base, leaves, self.active, self.smooth)
        units = np.eye(len(self.smooth))
        rows = [back(self._numbers(unit)) for unit in units]
        return outputs, [partial for row in rows for partial in row]

    def _numbers(self, values: Any) -> list[Any]:
        """One cotangent per float output, all of which are numbers."""
        slots = [self.base.outputs[j] for j in self.smooth]
        return [
            self.framework.own(np.asarray(x, s.dtype), s.dtype) for x, s in zip(values, slots, strict=True)
        ]

    def _jacobian(self, base: Core, leaves: Sequence[Any], _: Sequence[Any]) -> Found:
        """By rows or by columns, whichever are fewer."""
        outputs, back = self.framework.vjp(base, leaves, self.active, self.smooth)
        results = [self.framework.shape(outputs[j]) for j in self.smooth]
        sources = [self.framework.shape(leaves[a]) for a in self.active]
        if not all(map(_size, (*results, *sources))):
            shapes = [y + x for y in results for x in sources]
            slots = self._outputs[-len(shapes) :]
            return outputs, [np.zeros(s, slot.dtype) for s, slot in zip(shapes, slots, strict=True)]
        if sum(map(_size, results)) <= sum(map(_size, sources)):
            return outputs, self._rows(back, results)
        columns = [
            self._columns(base, leaves, a, shape) for a, shape in zip(self.active, sources, strict=True)
        ]
        return outputs, [column[j] for j in range(len(results)) for column in columns]

    def _rows(self, back: Callable, shapes: Sequence[Shape]) -> list[Any]:
        """For each output and input the block of derivatives, the output's axes first."""
        dtypes = [self.base.outputs[j].dtype for j in self.smooth]
        zeros = [self.framework.own(np.zeros(s, d), d) for s, d in zip(shapes, dtypes, strict=True)]
        blocks = []
        for j, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True)):
            along = self._along_basis(
                lambda ct, j=j: tuple(back([*zeros[:j], ct, *zeros[j + 1 :]])), shape, dtype
            )
            blocks += along
        return blocks

    def _columns(self, base: Core, leaves: Sequence[Any], a: int, shape: Shape) -> list[Any]:
        dtype = self.base.inputs[a].dtype
        found = self._along_basis(
            lambda t: tuple(self.framework.jvp(base, leaves, (a,), (t,), self.smooth)[1]), shape, dtype
        )
        return [self.framework.moved(block, len(shape)) for block in found]

    def _along_basis(self, function: Core, shape: Shape, dtype: np.dtype) -> list[Any]:
        """Results of a linear function for the unit arrays of this shape, the unit's axes first."""
        basis = np.eye(_size(shape), dtype=dtype).reshape(_size(shape), *shape)
        units = self.framework.own(basis, dtype)
        mapped = self.framework.mapped(function, [[0]])
        if mapped is not None:
            return [self.framework.shaped(y, shape + self.framework.shape(y)[1:]) for y in mapped(units)]
        rows = [function(unit) for unit in units]
        return [self.framework.stacked(column, shape) for column in zip(*rows, strict=True)]


def _calling(function: Callable) -> Callable[[tuple], Any]:
    """The function of all its parameters' values, in the order of `Target.bind`."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # functions written in C
        return lambda values: function(*values)
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    positional = sum(p.kind is not p.KEYWORD_ONLY for p in named)
    keywords = [p.name for p in named[positional:]]

    def call(values: tuple) -> Any:
        fixed, rest = values[: len(named)], values[len(named) :]
        return function(*fixed[:positional], *rest, **dict(zip(keywords, fixed[positional:], strict=True)))

    return call


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _bounded(partials: Sequence[np.ndarray]) -> bool:
    return all(np.isfinite(partial).all() for partial in partials)
