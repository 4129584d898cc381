"""Rules whose derivative the user wrote: `fd.custom_rule`, called directly.

The value is the user's function, the pullback one call of `rrule`, the pushforward one of `frule`; where one
of them is not given, its part is computed through duals by the other (`ruled.UserCall`). Both run as Python
code on duals, too: derivatives of them are those of any function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fwddiff import _tree, dual
from fwddiff._capture import UserRule
from fwddiff._problem import Problem
from fwddiff._rule import Rule, Shape, derived_core_shapes, derived_slots, split_kind
from fwddiff.engines.numpy.rebuild import Rebuilt
from fwddiff.engines.numpy.results import Results
from fwddiff.engines.numpy.rule import BaseRule, DerivedRule, PythonRule
from fwddiff.engines.numpy.ruled import UserCall
from fwddiff.engines.numpy.standins import duals
from fwddiff.engines.numpy.structs import Structs


class UserBaseRule(BaseRule):
    """The user's function itself."""

    def __init__(self, problem: Problem, given: UserRule):
        super().__init__(problem)
        self.given = given
        self.results = _UserResults(problem)

    def _twin(self) -> UserBaseRule:
        twin = UserBaseRule(self.problem, self.given)
        twin.results = self.results
        return twin

    def call(self) -> UserCall:
        """The function by its rule, for one evaluation."""
        plan = self.problem.plan
        structs = Structs(plan.owned, {}, duals())
        return UserCall(plan, self.given, structs, Rebuilt(plan, structs).again)

    @property
    def storable(self) -> bool:
        return False

    def _derive(self, kind: str, active: tuple[int, ...]) -> Rule:
        rules = {"pullback": self.given.rrule, "pushforward": self.given.frule}
        is_given = rules.get(split_kind(kind)[0]) is not None
        return (_UserDerivative if is_given else DerivedRule)(self, kind, active)


class _UserResults(Results):
    """A function that is not compiled may compute in float64: results have the dtype of the arguments."""

    def _kind(self, leaf: Any, position: int) -> np.dtype:
        found = super()._kind(leaf, position)
        return self.problem.float_dtype if found.kind == "f" else found


class _UserDerivative(PythonRule):
    """Pullback or pushforward by one call of the user's rule; values are those of the user's function."""

    def __init__(self, base: UserBaseRule, kind: str, active: tuple[int, ...]):
        self.base, self.kind, self.active = base, kind, active
        self.depth, self.chunk, self.dear = base.depth + 1, base.chunk, base.dear
        self.name = f"{kind} of {base.name}"
        self.inputs, self._outputs = derived_slots(kind, base.inputs, base.outputs, active)

    @property
    def outputs(self) -> tuple:
        return self._outputs

    @property
    def storable(self) -> bool:
        return False

    def core(self) -> Callable[..., Sequence[Any]]:
        call, count = self.base.call(), len(self.base.inputs)
        kind, with_values = split_kind(self.kind)
        run = self._pullback if kind == "pullback" else self._pushforward
        values = self.base.core() if with_values else lambda *inputs: []
        return lambda *leaves: [*values(*leaves[:count]), *run(call, leaves[:count], leaves[count:])]

    def core_shapes(self, core_inputs: Sequence[Shape]) -> tuple[Shape, ...]:
        return derived_core_shapes(self.kind, self.base, self.active, core_inputs)

    def _values(self, inputs: Sequence[Any]) -> tuple[list[Any], Any, list[int]]:
        """All leaves of the arguments, their structure, and which of the leaves are the inputs."""
        problem = self.base.problem
        leaves, spec = _tree.flatten(problem.bind(inputs)[0])
        return leaves, spec, [k for k in range(len(leaves)) if k not in problem.statics]

    def _pullback(self, call: Any, inputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        leaves, spec, dynamic = self._values(inputs)
        given = iter(cotangents)
        mirrored = [next(given) if slot.differentiable else None for slot in self.base.outputs]
        found = call.pull(leaves, spec, mirrored, self.base.result_tree())
        return [_or_zero(found[dynamic[a]], inputs[a]) for a in self.active]

    def _pushforward(self, call: Any, inputs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        leaves, spec, dynamic = self._values(inputs)
        direction: list[Any] = [0] * len(leaves)
        for a, tangent in zip(self.active, tangents, strict=True):
            direction[dynamic[a]] = tangent
        plain = [np.asarray(dual.strip(x)) for x in inputs]
        self.base.learn(plain)
        shapes = self.base.core_shapes([x.shape for x in plain])
        results = [
            np.zeros(s)[()] if slot.differentiable else 0
            for s, slot in zip(shapes, self.base.outputs, strict=True)
        ]
        found = call.push(leaves, spec, direction, results, self.base.result_tree())
        moved = [
            (d, y)
            for d, y, slot in zip(found, results, self.base.outputs, strict=True)
            if slot.differentiable
        ]
        return [_or_zero(d, y) if d is None or type(d) is int else d + y * 0 for d, y in moved]


def _or_zero(leaf: Any, like: Any) -> Any:
    return np.zeros(np.shape(dual.strip(like)))[()] if leaf is None or type(leaf) is int else leaf
