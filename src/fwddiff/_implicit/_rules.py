"""The implicit function theorem as rules.

`conditions(z, args) = 0` makes z a function of args. With C the rule of the conditions, a function of all
leaves (z, then the arguments, then what the conditions capture), and J = ∂C/∂z at the solution:

    pushforward    ż  = −J⁻¹ (C.pushforward of the moving arguments)
    pullback       λ  =  J⁻ᵀ z̄,    cotangents of the arguments = −(C.pullback at λ)

Both are programs of three rules: `Solution` (z itself), those of C, and `LinearSolve`. Derivatives of these
are such programs again, so every order comes from these two formulas and from that of a linear system,
J x = b:

    pushforward    ẋ  =  J⁻¹ (ḃ − J̇ x),             J̇ x the pushforward of C's own pushforward along x
    pullback       b̄  =  J⁻ᵀ x̄,    (z̄, …) = −(pullback of C's pushforward along x, at b̄)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fwddiff._implicit._program import Builder
from fwddiff._implicit._system import System
from fwddiff._rule import Rule, Shape, Slot, derived_slots


class Solution(Rule):
    """(z found by the solver, arguments, captured values) → z, as the function of the arguments that the
    conditions make it. The found z is no argument to differentiate by: it is the value."""

    def __init__(self, system: System, inputs: Sequence[Slot], tree: Any):
        self.system, self.inputs, self.tree = system, tuple(inputs), tree
        self.name = system.name
        self._outputs = tuple(replace(slot, differentiable=True) for slot in inputs[: system.count])

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    @property
    def storable(self) -> bool:
        return False

    def result_tree(self) -> Any:
        """Structure of z."""
        return self.tree

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        shapes = self.output_shapes([array.shape for array in arrays], batch_ndim)
        self.system.check_shapes(self.inputs, arrays)
        found = zip(arrays, shapes, strict=False)
        return tuple(np.array(np.broadcast_to(array, shape), order="C") for array, shape in found)

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return tuple(tuple(shape) for shape in core_inputs[: self.system.count])

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        inputs, outputs = derived_slots(kind, self.inputs, self.outputs, active)
        build, system = Builder(inputs), self.system
        own = list(range(len(self.inputs)))
        given = range(len(self.inputs), len(inputs))
        point = [*build.add(self, own), *own[system.count :]]
        if kind == "pushforward":
            moved = build.add(system.conditions.pushforward(active), [*point, *given])
            found = build.add(LinearSolve(system, False, is_strict=True), [*point, *moved])
        else:
            weights = build.add(LinearSolve(system, True), [*point, *given])
            found = build.add(system.conditions.pullback(active), [*point, *weights])
        results = [build.combine([value], -1.0) for value in found]
        return build.program(f"{kind} of {self.name}", results, outputs)


class LinearSolve(Rule):
    """(z, arguments, captured values, b) → x with J x = b, or Jᵀ x = b (`transposed`).

    A cotangent of zero asks for nothing, so neither does a b of zero, where J is singular too. Not so the b
    of a pushforward of z (`is_strict`): z² = a² has such a one at a = 0, and no derivative.
    """

    def __init__(self, system: System, transposed: bool, is_strict: bool = False):
        self.system, self.transposed, self.is_strict = system, transposed, is_strict
        self.name = f"linear solve of {system.name}"
        self.unknowns = tuple(range(system.count))
        conditions = system.conditions
        slots = [
            replace(slot, reduce=None, differentiable=True) for slot in conditions.inputs[: system.count]
        ]
        self.inputs, self._outputs = (*conditions.inputs, *slots), tuple(slots)

    @property
    def outputs(self) -> tuple[Slot, ...]:
        return self._outputs

    @property
    def storable(self) -> bool:
        return False

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        loop = self.loop_shape([array.shape for array in arrays], batch_ndim)
        aligned = self.aligned_loops([array.shape for array in arrays], batch_ndim)
        spread = [
            array.reshape(own + array.shape[array.ndim - slot.core_ndim :])
            for array, own, slot in zip(arrays, aligned, self.inputs, strict=True)
        ]
        return self.system.solved(spread, loop, self.transposed, self.is_strict)

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return tuple(tuple(shape) for shape in core_inputs[: self.system.count])

    def _product(self) -> Rule:
        """(z, arguments, captured values, x) → J x, or Jᵀ x."""
        conditions = self.system.conditions
        return (
            conditions.pullback(self.unknowns) if self.transposed else conditions.pushforward(self.unknowns)
        )

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        inputs, outputs = derived_slots(kind, self.inputs, self.outputs, active)
        build = Builder(inputs)
        own = list(range(len(self.inputs)))
        given = list(range(len(self.inputs), len(inputs)))
        size = len(self.system.conditions.inputs)
        point, right = own[:size], own[size:]
        moving = [a for a in active if a < size]
        solution = build.add(self, own)
        name = f"{kind} of {self.name}"
        if kind == "pullback":
            bars = build.add(LinearSolve(self.system, not self.transposed), [*point, *given])
            found = dict(zip(right, bars, strict=True))
            if moving:
                pulled = build.add(self._product().pullback(moving), [*point, *solution, *bars])
                found |= {a: build.combine([v], -1.0) for a, v in zip(moving, pulled, strict=True)}
            return build.program(name, [found[a] for a in active], outputs)
        tangents = dict(zip(active, given, strict=True))
        moved: list[int | None] = [None] * len(right)
        if moving:
            directions = [tangents[a] for a in moving]
            pushed = build.add(self._product().pushforward(moving), [*point, *solution, *directions])
            moved = [build.combine([value], -1.0) for value in pushed]
        sides = [
            build.combine([v for v in (tangents.get(b), t) if v is not None] or [b], 1.0)
            if b in tangents or t is not None
            else build.zeros_like(b)
            for b, t in zip(right, moved, strict=True)
        ]
        results = build.add(LinearSolve(self.system, self.transposed), [*point, *sides])
        return build.program(name, results, outputs)
