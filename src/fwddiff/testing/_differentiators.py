"""Ways to the operators: engines, frameworks by the operators' `backend=`, frameworks by themselves, and a
user's own."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from fwddiff import _operators, _wrapper
from fwddiff._errors import ArgumentError, FwdDiffError
from fwddiff._operators._forms import FORMS
from fwddiff.testing import _frameworks
from fwddiff.testing._reference import Reference
from fwddiff.testing._scenarios import Scenario

OPERATORS = tuple(FORMS)
_ENGINES = ("numba", "numpy")


@dataclass(frozen=True)
class Differentiator:
    """A backend of operators, to be compared with others by `run`.

    Args:
        name: In tables.
        operators: Name of an operator ("gradient", "value_and_hvp", …) → `make(f, argnum)`, which returns a
            function that is called as the curried operator is: `(*args)`, with the tangent or cotangent
            after the first argument where the operator takes one. `argnum` is a position or a tuple of
            them. What is missing is unsupported.
        namespace: The module that formulas of scenarios get ("jax.numpy"). Where a scenario has none, `f` is
            its plain function.
        refusals: Errors by which it says that it cannot do something; all others are failures.
        counts_memory: Whether its arrays are NumPy's, whose memory is told.
    """

    name: str
    operators: Mapping[str, Callable[[Callable, Any], Callable]] = field(repr=False)
    namespace: str = "numpy"
    refusals: tuple[type[Exception], ...] = (FwdDiffError, NotImplementedError)
    counts_memory: bool = True

    def ways(self, operator: str, reference: Reference) -> list[Callable]:
        """Functions of the operator's arguments, called one after the other, which all have to give the same.
        The last one is timed."""
        make = self.operators.get(operator)
        if make is None:
            raise NotImplementedError(f"{self.name} has no {operator}")
        return [make(self.function(reference.scenario), reference.argnum)]

    def function(self, scenario: Scenario) -> Callable:
        """What it differentiates: the formula in its namespace, or the plain function."""
        if scenario.formula is not None:
            return _with_formula(scenario, importlib.import_module(self.namespace))
        if scenario.writes is not None:
            return _returning(scenario.function, scenario.writes, importlib.import_module(self.namespace))
        if scenario.operation != "whole":
            raise NotImplementedError(f"no formula for {self.namespace}: the function is one of numbers")
        return scenario.function

    def code(self, scenario: Scenario) -> Any:
        """Of the user's function in what it differentiates: its runs in Python are counted."""
        return (scenario.formula or scenario.function).__code__

    def passes(self, operator: str, way: Callable, reference: Reference) -> int | None:
        """How often compiled code runs the function, if that is known: calls in Python are counted anyway."""
        return None


@dataclass(frozen=True)
class _Own(Differentiator):
    """fwddiff's operators with `backend=name`: of a framework where `namespace` is another than NumPy."""

    operators: Mapping[str, Callable] = field(default_factory=dict, repr=False)

    def ways(self, operator: str, reference: Reference) -> list[Callable]:
        """At once, twice (from the second call on operators take another way), and prepared."""
        function, find = self.function(reference.scenario), getattr(_operators, operator)
        options = {"argnum": reference.argnum, "backend": self.name}
        if reference.scenario.writes is not None and self.name in _ENGINES:
            out = np.zeros(reference.scenario.writes)
            return [find(function, inplace=True, out=out, **options)]
        at_once = functools.partial(find, function, **options)
        prepared = _operators.prepare(find, function, *reference.scenario.arguments, **options)
        return [at_once, at_once, prepared]

    def function(self, scenario: Scenario) -> Callable:
        if self.name not in _ENGINES:
            return super().function(scenario)
        return scenario.function if scenario.operation == "whole" else scenario.operation_of()

    def code(self, scenario: Scenario) -> Any:
        return scenario.function.__code__ if self.name in _ENGINES else super().code(scenario)

    def passes(self, operator: str, way: Callable, reference: Reference) -> int | None:
        kind = getattr(way, "_kind", None)
        if kind is None or not hasattr(kind.plan.rule, "runs"):
            return None
        if kind.plan.by_hand is not None:
            return sum(leaf.size for leaf in reference.x)
        return kind.plan.rule.runs(kind.point.shapes)


def _with_formula(scenario: Scenario, xp: Any) -> Callable:
    formula = scenario.formula
    assert formula is not None

    def function(*args: Any) -> Any:
        found = formula(xp, *args)
        return xp.sum(found) if scenario.operation == "sum" else found

    function.is_formula = True  # type: ignore[attr-defined]
    _, *parameters = inspect.signature(formula).parameters.values()
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def _returning(function: Callable, shape: tuple[int, ...], xp: Any) -> Callable:
    """A function that writes its result, as one that returns it."""

    def returning(*args: Any) -> Any:
        out = xp.zeros(shape, dtype=xp.float64)
        function(out, *args)
        return out

    _, *parameters = inspect.signature(function).parameters.values()
    returning.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return returning


_NAMESPACES = {"jax": "jax.numpy", "torch": "torch", "autograd": "autograd.numpy"}


def differentiators(given: Sequence[str | Differentiator] | None = None) -> list[Differentiator]:
    """The backends of these names, by default all that are here.

    "numba" and "numpy" are the engines; "jax", "torch" and "autograd" are the operators' `backend=` of that
    name; "jax itself" and so on are the framework's own functions (`jax.grad`), without fwddiff.

    Raises:
        ArgumentError: a name is unknown.
    """
    if given is None:
        known = [name for name in getattr(_wrapper, "FRAMEWORKS", ()) if name in _NAMESPACES]
        itself = [f"{name} itself" for name in _NAMESPACES]
        given = [*_ENGINES, *(name for name in (*known, *itself) if find_spec(name.partition(" ")[0]))]
    return [_named(one) if isinstance(one, str) else one for one in given]


def _named(name: str) -> Differentiator:
    if name in _ENGINES:
        return _Own(name)
    framework, _, itself = name.partition(" ")
    if framework not in _NAMESPACES or itself not in ("", "itself"):
        names = ", ".join([*_ENGINES, *_NAMESPACES, *(f"{f} itself" for f in _NAMESPACES)])
        raise ArgumentError(f"backend {name!r} is not known: there are {names}, and Differentiator(...).")
    # A framework has many ways to refuse, and none of them is a wrong number.
    options: Any = {"namespace": _NAMESPACES[framework], "refusals": (Exception,)}
    options["counts_memory"] = framework == "autograd"
    if not itself:
        return _Own(name, **options)
    if find_spec(framework) is None:
        raise ArgumentError(f"backend {name!r} is not installed: pip install 'fwddiff[{framework}]'.")
    return Differentiator(name, _frameworks.operators(framework, OPERATORS), **options)
