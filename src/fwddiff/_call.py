"""From the arguments of one call to what evaluates or differentiates it.

At every call: flatten, build the signature, look up what has been decided for it (`_recipe`, `_decisions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _capture, _host, _tree
from fwddiff._decisions import Current, Recipe, Record, records
from fwddiff._function import Target
from fwddiff._recipe import Gathered, Options, Subject, make_recipe
from fwddiff._rule import Rule
from fwddiff._sizes import Given

_MOST_TRIES = 3


class Call(NamedTuple):
    """A call ready to be evaluated or differentiated."""

    rule: Rule
    inputs: list
    dynamic: tuple[int, ...]
    host: ModuleType | None
    spec: Any
    detached: frozenset[int]
    current: Current | None = None

    def result_tree(self) -> Any:
        rule: Any = self.rule
        tree = vars(rule).get("_result_tree")
        if tree is None:
            tree = rule.result_tree()
            _tree.check_rebuilding(tree)  # before it is kept: a second call is refused too
            _tree.check_result(tree)
            rule._result_tree = tree
        return tree


class Caller:
    """Prepares the calls of one wrapped function."""

    def __init__(self, target: Target, meaning: _capture.Meaning, options: Options):
        self.subject = Subject(target, meaning, options)
        self.target = target
        self._record: Record | None = None

    def plan(self) -> _capture.Function:
        """What the function captures now."""
        return self.find()[0].plan

    def live_plan(self) -> _capture.Function:
        """A plan that reads and checks the names of this very function one by one, for Dynamo."""
        record = self._record
        # What the traced code assigns is not written yet: the data may be missing.
        plan = record.plan if record is not None and self._holds(record) else self.plan()
        return self._planned() if plan.has_let_go else plan

    def is_home(self, host: ModuleType | None) -> bool:
        """Whether a call belongs to the framework that the function is written for, which differentiates the
        function itself."""
        rule = self.subject.meaning.rule
        return (
            host is not None and isinstance(rule, _capture.Foreign) and host is _host.host_module(rule.engine)
        )

    def runs_itself(self, gathered: Gathered) -> bool:
        """Whether a whole call is a call of the user's function, with nothing of ours around it."""
        if not isinstance(self.subject.meaning.rule, _capture.Foreign):
            return self.recipe(gathered).host is None
        return self.subject.options.wrt is None and self.is_home(
            _host.common_owner(gathered.leaves, self.target.name)
        )

    def traced(self, captured: Sequence[Any]) -> Record:
        """What has been decided about the function whose captured values Dynamo has read."""
        for record in (self._record, *records.of(self._key())):
            if record is not None and self._holds(record) and len(record.plan.captures) == len(captured):
                return record
        return self.find()[0]

    def _holds(self, record: Record) -> bool:
        return record.plan.holds_for(self.target.live, self.target.bound)

    def _key(self) -> tuple:
        """Of records of functions of the same code."""
        return (
            self.target.live.__code__ if self.target.has_code else None,
            self.subject.options,
            self.subject.meaning,
        )

    def _planned(self) -> _capture.Function:
        with_state = self.subject.has_own_rule
        meaning = self.subject.meaning._replace(wrt=None)  # of the outermost call: hosts hand over constants
        return _capture.plan(self.target.function, _host.is_owned, meaning, with_state)

    def find(self) -> tuple[Record, list[Any]]:
        """What has been decided about the function as it is now, and the values that it captures."""
        record, target = self._record, self.target
        if record is not None:
            values = record.plan.guard(target.live, target.bound)
            if values is not None:
                return record, values
        return self._found()

    def _found(self) -> tuple[Record, list[Any]]:
        target = self.target
        if self._record is not None:
            target.refresh()
        key = self._key()
        known = records.of(key) if key[0] is not None else []
        for record in known:
            values = record.plan.guard(target.live, target.bound)
            if values is not None:
                self._record = record
                records.touch(record)
                return record, values
        for _ in range(_MOST_TRIES):
            record = Record(self._planned())
            values = record.plan.guard(target.live, target.bound)
            if values is not None:
                self._record = record
                if key[0] is not None:
                    # A custom rule calls the function itself, which therefore may not be let go of.
                    keep = not self.subject.has_own_rule and record.plan.is_small(values)
                    records.add(key, record, keep)
                return record, values
        return record, record.plan.values()  # names that lead to something new at each reading

    def gather(
        self,
        kind: str,
        args: tuple,
        kwargs: dict[str, Any],
        values: Sequence[Any],
        complete: bool = False,
    ) -> tuple[tuple, list]:
        """Structure and leaves of a call with these captured values. `complete`: presets and defaults are
        among `args`."""
        core = kwargs.pop("signature", None) if kwargs and kind != "whole" else None
        target = self.target
        if not complete and (kwargs or len(args) != target.arity):
            args = target.bind(args, kwargs)
        leaves, spec = _tree.flatten(args)
        if not values:
            return (kind, core, spec), leaves
        captured = []
        for value in values:
            more, captured_spec = _tree.flatten(value)
            leaves += more
            captured.append(captured_spec)
        return (kind, core, spec, *captured), leaves

    def recipe(self, gathered: Gathered) -> Recipe:
        signature = gathered.signature()
        recipes = gathered.record.recipes
        found = recipes.get(signature)
        if found is None or not found.holds():
            found = recipes[signature] = make_recipe(self.subject, gathered)
        return found

    def call(self, gathered: Gathered) -> Call:
        recipe = self.recipe(gathered)
        leaves = gathered.leaves
        inputs = [leaves[k] for k in recipe.dynamic]
        if recipe.detached:
            inputs = [
                recipe.host.detach(leaf) if k in recipe.detached else leaf  # type: ignore[union-attr]
                for k, leaf in zip(recipe.dynamic, inputs, strict=True)
            ]
        rule = recipe.rule()
        if not rule.is_settled:
            rule = _settled(rule, inputs, recipe.host)
        return Call(
            rule, inputs, recipe.dynamic, recipe.host, gathered.arguments, recipe.detached, recipe.current
        )


def _settled(rule: Any, inputs: Sequence[Any], host: ModuleType | None) -> Rule:
    """The rule for these inputs, which knows what it returns."""

    def values() -> Sequence[np.ndarray] | None:
        found = [_host.values(leaf, host) for leaf in inputs]
        if any(array is None for array in found):
            return None
        return [np.asarray(array, slot.dtype) for array, slot in zip(found, rule.inputs, strict=True)]

    shapes = [np.shape(x) if host is None or not host.owns(x) else host.shape(x) for x in inputs]
    return rule.settled(Given(rule.inputs, inputs, shapes, values))
