"""Rules made of rules: a straight line of steps, whose pushforward and pullback are straight lines again.

Values are numbered: first the inputs of the program, then the outputs of one step after the other. A step
that is differentiated becomes a step of its rule's pushforward or pullback, so a program is closed under
differentiation to any order as long as the rules of its steps are. `Combination` is the one rule made here:
cotangents of a value that was used twice are added.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fwddiff._rule import Rule, Shape, Slot, derived_slots


class Step(NamedTuple):
    """A rule and the numbers of the values that it takes."""

    rule: Rule
    sources: tuple[int, ...]


class Program(Rule):
    """The rule that evaluates `steps`; `results` are the numbers of the values that it returns, which have
    the slots `outputs`."""

    def __init__(
        self,
        name: str,
        inputs: Sequence[Slot],
        steps: Sequence[Step],
        results: Sequence[int],
        outputs: Sequence[Slot],
    ):
        self.name, self.inputs, self.results = name, tuple(inputs), tuple(results)
        self.steps, self._outputs = tuple(steps), tuple(outputs)

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    @property
    def storable(self) -> bool:
        return False

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        values = list(arrays)
        needed = self._needed
        for k, (rule, sources) in enumerate(self.steps):
            if not needed[k]:
                values += [np.empty(0)] * len(rule.outputs)
                continue
            pairs = zip(sources, rule.inputs, strict=True)
            values += rule([np.asarray(values[s], slot.dtype) for s, slot in pairs], batch_ndim)
        # A result that depends on no batched input has a batch axis of one: all have the same.
        shapes = self.output_shapes([array.shape for array in arrays], batch_ndim)
        found = zip(self.results, shapes, self.outputs, strict=True)
        return tuple(_given(values[r], shape, slot) for r, shape, slot in found)

    @functools.cached_property
    def _needed(self) -> list[bool]:
        """Which steps the results depend on."""
        wanted, starts = set(self.results), self._starts
        needed = [False] * len(self.steps)
        for k in reversed(range(len(self.steps))):
            rule, sources = self.steps[k]
            if not wanted.isdisjoint(range(starts[k], starts[k] + len(rule.outputs))):
                needed[k] = True
                wanted.update(sources)
        return needed

    @functools.cached_property
    def _starts(self) -> list[int]:
        """The number of each step's first value."""
        starts, count = [], len(self.inputs)
        for rule, _ in self.steps:
            starts.append(count)
            count += len(rule.outputs)
        return starts

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        shapes = [tuple(shape) for shape in core_inputs]
        for rule, sources in self.steps:
            shapes += rule.core_shapes([shapes[s] for s in sources])
        return tuple(shapes[r] for r in self.results)

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        inputs, outputs = derived_slots(kind, self.inputs, self.outputs, active)
        build = Builder(inputs)
        # The steps of this program again: their inputs come first in the derived one, too.
        places = list(range(len(self.inputs)))
        derive = _pushed if kind == "pushforward" else _pulled
        results = derive(self, build, places, active)
        return build.program(f"{kind} of {self.name}", results, outputs)


def _given(value: np.ndarray, shape: Shape, slot: Slot) -> np.ndarray:
    return np.array(np.broadcast_to(value, shape), slot.dtype, order="C")


class Builder:
    """A program while it is written."""

    def __init__(self, inputs: Sequence[Slot]):
        self.inputs, self.steps = tuple(inputs), []
        self.slots = list(inputs)

    def add(self, rule: Rule, sources: Sequence[int]) -> list[int]:
        """Numbers of the outputs of one more step."""
        first = len(self.slots)
        self.steps.append(Step(rule, tuple(sources)))
        self.slots += rule.outputs
        return list(range(first, len(self.slots)))

    def combine(self, values: Sequence[int], factor: float = 1.0) -> int:
        """factor · (the sum of the values), which are of one shape."""
        if len(values) == 1 and factor == 1.0:
            return values[0]
        slot = replace(self.slots[values[0]], reduce=None, differentiable=True)
        return self.add(Combination(slot, len(values), factor), values)[0]

    def zeros_like(self, value: int) -> int:
        return self.combine([value], 0.0)

    def program(self, name: str, results: Sequence[int], outputs: Sequence[Slot]) -> Program:
        return Program(name, self.inputs, self.steps, results, outputs)


def _replayed(program: Program, build: Builder, places: list[int]) -> list[tuple[Step, list[int]]]:
    """The program's own steps, taken over one at a time: each with the new numbers of its outputs."""
    taken = []
    for step in program.steps:
        sources = tuple(places[s] for s in step.sources)
        outputs = build.add(step.rule, sources)
        places += outputs
        taken.append((Step(step.rule, sources), outputs))
    return taken


def _pushed(program: Program, build: Builder, places: list[int], active: Sequence[int]) -> list[int]:
    """Tangents of the results: each step's pushforward for those of its sources that move."""
    tangents = {a: len(program.inputs) + k for k, a in enumerate(active)}
    for step, outputs in _replayed(program, build, places):
        moving = [
            k for k, s in enumerate(step.sources) if s in tangents and step.rule.inputs[k].differentiable
        ]
        results = [v for v, slot in zip(outputs, step.rule.outputs, strict=True) if slot.differentiable]
        if moving and results:
            directions = [tangents[step.sources[k]] for k in moving]
            moved = build.add(step.rule.pushforward(moving), [*step.sources, *directions])
            tangents.update(zip(results, moved, strict=True))
    pairs = zip(program.results, program.outputs, strict=True)
    wanted = [places[r] for r, slot in pairs if slot.differentiable]
    return [tangents[v] if v in tangents else build.zeros_like(v) for v in wanted]


def _pulled(program: Program, build: Builder, places: list[int], active: Sequence[int]) -> list[int]:
    """Cotangents of the inputs: each step's pullback, last step first."""
    steps = _replayed(program, build, places)
    depends = set(active)
    for step, outputs in steps:
        if any(s in depends and step.rule.inputs[k].differentiable for k, s in enumerate(step.sources)):
            depends.update(
                v for v, slot in zip(outputs, step.rule.outputs, strict=True) if slot.differentiable
            )
    cotangents: dict[int, list[int]] = {}
    pairs = zip(program.results, program.outputs, strict=True)
    given = [places[r] for r, slot in pairs if slot.differentiable]
    for k, value in enumerate(given):
        cotangents.setdefault(value, []).append(len(program.inputs) + k)
    for step, outputs in reversed(steps):
        _pull_step(build, step, outputs, depends, cotangents)
    return [build.combine(cotangents[a]) if a in cotangents else build.zeros_like(a) for a in active]


def _pull_step(
    build: Builder, step: Step, outputs: list[int], depends: set[int], cotangents: dict[int, list[int]]
) -> None:
    wanted = [k for k, s in enumerate(step.sources) if s in depends and step.rule.inputs[k].differentiable]
    results = [v for v, slot in zip(outputs, step.rule.outputs, strict=True) if slot.differentiable]
    if not wanted or not any(v in cotangents for v in results):
        return
    bars = [build.combine(cotangents[v]) if v in cotangents else build.zeros_like(v) for v in results]
    pulled = build.add(step.rule.pullback(wanted), [*step.sources, *bars])
    for k, value in zip(wanted, pulled, strict=True):
        cotangents.setdefault(step.sources[k], []).append(value)


class Combination(Rule):
    """factor · (x₁ + … + xₙ) of arrays of one slot and one shape, batch axes of one apart."""

    def __init__(self, slot: Slot, count: int, factor: float):
        self.name, self.factor = "sum", factor
        self.inputs, self._outputs = (slot,) * count, (slot,)

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    @property
    def storable(self) -> bool:
        return False

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        if self.factor == 0.0:  # also of what is infinite
            return (np.zeros(np.broadcast_shapes(*[array.shape for array in arrays]), arrays[0].dtype),)
        total = functools.reduce(np.add, arrays)
        return (np.asarray(total * total.dtype.type(self.factor), order="C"),)

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return (tuple(core_inputs[0]),)

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        inputs, outputs = derived_slots(kind, self.inputs, self.outputs, active)
        build = Builder(inputs)
        given = range(len(self.inputs), len(inputs))
        if kind == "pushforward":
            results = [build.combine(list(given), self.factor)]
        else:
            results = [build.combine([given[0]], self.factor)] * len(active)
        return build.program(f"{kind} of {self.name}", results, outputs)


__all__ = ["Builder", "Combination", "Program", "Step"]
