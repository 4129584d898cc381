"""Rules that run Python code."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fwddiff import _derive, _nesting, dual
from fwddiff._capture import Function, has_code, holds_host_array, plan
from fwddiff._errors import ArgumentError, CaptureError, DerivativeError
from fwddiff._problem import Problem
from fwddiff._rule import Rule, Shape, Slot, derived_core_shapes, derived_slots
from fwddiff.engines.numpy.loop import evaluate
from fwddiff.engines.numpy.rebuild import Rebuilt
from fwddiff.engines.numpy.results import Results
from fwddiff.engines.numpy.seeding import Block, Cotangents, primitives
from fwddiff.engines.numpy.structs import Structs, method_plans, struct_classes

# A function is asked what it returns before it is called: with ones, or where it does not take them, with
# others.
_PROBES = (1.0, 0.5, 2.0, 0.1)
_EXTENTS = (1, 2, 3, 4, 5, 8, 16)
_PACKAGES = (str(Path(_derive.__file__).parent), str(Path(np.__file__).parent))
_READ_ONLY = re.compile("read-only")


class PythonRule(Rule):
    """A rule whose core function is Python code; `core()` makes one for one evaluation in one thread."""

    depth: int
    chunk: int | None
    has_jacobian = True

    def core(self) -> Callable[..., Sequence[Any]]:
        """A function of leaves that returns the outputs' leaves."""
        raise NotImplementedError

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        with np.errstate(all="ignore"), _nesting.nested():
            return evaluate(self, self.core(), arrays, batch_ndim)

    def on_leaves(self, leaves: Sequence[Any]) -> Sequence[Any]:
        """Evaluate one element on numbers, arrays or duals of an evaluation that this one is nested in."""
        with np.errstate(all="ignore"), _nesting.nested():
            return self.core()(*leaves)

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        return DerivedRule(self, kind, active)


class BaseRule(PythonRule):
    """The user's own function."""

    depth = 0
    dear = True

    def __init__(self, problem: Problem):
        self.problem, self.name, self.inputs = problem, problem.name, problem.inputs
        self.mode, self.passes, self.chunk = problem.mode, problem.passes, problem.chunk
        self.results = Results(problem)
        self._core_shapes: dict[tuple[Shape, ...], tuple[Shape, ...]] = {}
        self.method_plans: dict[type, dict[str, Function]] = {}
        self._refuse_lost_captures()

    def _refuse_lost_captures(self) -> None:
        owned = self.problem.plan.owned
        for spec in (self.problem.arguments, *self.problem.captured):
            for cls in struct_classes(spec):
                self.method_plans[cls] = method_plans(cls, owned)
        for static in self.problem.statics.values():
            if callable(static) and has_code(static):
                _plan_of_static(static, owned)

    # --- evaluation -----------------------------------------------------------------------------------------

    def core(self) -> Callable[..., Sequence[Any]]:
        structs = Structs(self.problem.plan.owned, self.method_plans)
        rebuilt = Rebuilt(self.problem.plan, structs)
        statics = {k: _rebuilt_static(s, structs) for k, s in self.problem.statics.items()}
        problem = replace(self.problem, statics=statics)
        adopts = any(structs(cls) for spec in self._specs() for cls in struct_classes(spec))

        def core(*leaves: Any) -> list[Any]:
            arguments, captured = problem.bind(leaves)
            if adopts:
                arguments, captured = structs.adopted(arguments), structs.adopted(captured)
            rebuilt.set_captured(captured)
            positional, keywords = _split(self.problem.plan, arguments)
            try:
                result = rebuilt.call(*positional, **keywords)
            except ValueError as error:
                self._explain_write(error, arguments)
                raise
            found = self.results.leaves(structs.restored(result))
            self._note_shapes(leaves, found)
            return found

        return core

    def _specs(self) -> Sequence[Any]:
        return self.problem.arguments, *self.problem.captured

    def _note_shapes(self, leaves: Sequence[Any], found: Sequence[Any]) -> None:
        if any(slot.core_ndim for slot in self.results.slots):
            key = tuple(np.shape(dual.strip(leaf)) for leaf in leaves)
            self._core_shapes.setdefault(key, tuple(np.shape(dual.strip(leaf)) for leaf in found))

    def _explain_write(self, error: ValueError, arguments: Sequence[Any]) -> None:
        """NumPy says only that an array is read-only: find the argument."""
        if not _READ_ONLY.search(str(error)):
            return
        names = _parameter_names(self.problem.plan)
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
            f"are read-only. Work on a copy: `{written[0]} = {written[0]}.copy()`."
        ) from error

    # --- what the function returns --------------------------------------------------------------------------

    def learn(self, leaves: Sequence[Any]) -> None:
        """Find out what the function returns by a call of its own arguments, unless that is known."""
        if self.results.tree is None:
            self.on_leaves(leaves)

    @property
    def outputs(self) -> tuple[Slot, ...]:
        if self.results.tree is None:
            self._probe([[(extent,) * slot.core_ndim for slot in self.inputs] for extent in _EXTENTS])
        return self.results.slots

    def result_tree(self) -> Any:
        """Structure of the results."""
        self.outputs  # noqa: B018 - runs the function, if nothing has yet
        return self.results.tree

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        if self.results.tree is not None and all(slot.core_ndim == 0 for slot in self.results.slots):
            return ((),) * len(self.results.slots)
        key = tuple(map(tuple, core_inputs))
        if key not in self._core_shapes:
            self._probe([key])
        return self._core_shapes.get(key, ((),) * len(self.results.slots))

    def stores(self, active: Sequence[int], shapes: Sequence[Shape]) -> bool:
        # The first question of a host that comes with shapes: better to probe with these than with guessed
        # ones.
        if self.results.tree is None:
            self.core_shapes(
                [s[len(s) - slot.core_ndim :] for slot, s in zip(self.inputs, shapes, strict=True)]
            )
        return super().stores(active, shapes)

    def _probe(self, choices: Sequence[Sequence[Shape]]) -> None:
        """Run the function on made-up arguments; its first exception is raised if all of them fail."""
        first: Exception | None = None
        for number, shapes in ((number, shapes) for number in _PROBES for shapes in choices):
            leaves = [
                _probe_leaf(number, shape, slot) for shape, slot in zip(shapes, self.inputs, strict=True)
            ]
            try:
                self.on_leaves(leaves)
                return
            except (CaptureError, DerivativeError, ArgumentError):
                raise
            except Exception as error:
                first = first or error
        assert first is not None
        raise first


class DerivedRule(PythonRule):
    """Pushforward, pullback or partials of another rule."""

    def __init__(self, base: PythonRule, kind: str, active: tuple[int, ...]):
        self.base, self.kind, self.active = base, kind, active
        self.depth, self.chunk, self.dear = base.depth + 1, base.chunk, base.dear
        self.name = f"{kind} of {base.name}"
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
        seeds = 1 if self.kind == "pushforward" else len(self.active)
        namespace = primitives(level, self.chunk or _derive.CHUNK, seeds)
        namespace["f"] = self.base.core()
        exec(self.code, namespace)
        derived = namespace[self.kind]

        return lambda *leaves: [
            x.array() if isinstance(x, Cotangents | Block) else x for x in derived(*leaves)
        ]

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return derived_core_shapes(self.kind, self.base, self.active, core_inputs)


# --- arguments ----------------------------------------------------------------------------------------------


def _split(node: Function, arguments: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments from the engine's order: positional, keyword-only, then `*rest`."""
    code = node.function.__code__
    count = code.co_argcount - (node.bound is not None)
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    rest = arguments[count + len(names) :]
    return [*arguments[:count], *rest], dict(zip(names, arguments[count:], strict=False))


def _parameter_names(node: Function) -> Iterator[str]:
    code = node.function.__code__
    yield from code.co_varnames[node.bound is not None : code.co_argcount + code.co_kwonlyargcount]


def _probe_leaf(number: float, shape: Shape, slot: Slot) -> Any:
    array = np.full(shape, number if slot.dtype.kind == "f" else 1, slot.dtype)
    array.flags.writeable = False
    return array if shape else array[()] if slot.dtype.kind == "f" else array.item()


def _plan_of_static(static: Callable, owned: Callable[[Any], bool]) -> Function:
    node = plan(static, owned)
    for capture, value in zip(node.captures, node.values(), strict=True):
        if holds_host_array(value, owned):
            raise CaptureError(
                f"the function argument `{node.function.__name__}` captures `{capture.name}`. Pass that "
                "value as an argument of its own."
            )
    return node


def _rebuilt_static(static: Any, structs: Structs) -> Any:
    if not callable(static) or not has_code(static):
        return static
    node = plan(static, structs.owned)
    rebuilt = Rebuilt(node, structs)
    rebuilt.set_captured(node.values())
    return rebuilt.call
