"""`fd.implicit`: what a user calls. Two operations, one after the other, which every host records by itself:
the solver, which has no derivative, and the conditions' function `Solution`, whose value is what the solver
found. So a host keeps z, and the solver never runs again for a derivative."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from fwddiff import _nesting, _recipe, _tree
from fwddiff._capture import Foreign, holds_host_array, meaning_of
from fwddiff._errors import ArgumentError, CaptureError
from fwddiff._function import calling, without_partials
from fwddiff._implicit._point import Options
from fwddiff._implicit._rules import Solution
from fwddiff._implicit._solver import is_outline, outlined, signature_of, solver_operation
from fwddiff._implicit._system import System
from fwddiff._problem import Problem, Told
from fwddiff._rule import Rule
from fwddiff._wrapper import FwdDiff, check_backend, fwddiff


class Implicit:
    """A function given by the conditions that its value fulfils. Made by `fwddiff.implicit`."""

    autograph_info__ = None  # the mark of what TensorFlow's AutoGraph calls as it is
    __fwddiff_operation__ = True  # functions that call this one run as Python

    def __init__(
        self,
        solver: Callable,
        conditions: Callable,
        linear_solver: str | Callable,
        has_aux: bool,
        check: float | None,
        out_shape: Any,
        backend: str = "auto",
    ):
        self._made_with = solver, conditions, linear_solver, has_aux, check, out_shape, backend
        check_backend("backend", backend)
        if backend != "auto":
            conditions = fwddiff(conditions, engine=backend)
        self.wrapped = solver, conditions
        self._written_for = meaning_of(conditions).rule
        self._options = Options(linear_solver, check)
        functools.update_wrapper(self, solver, updated=())
        self.has_aux = has_aux
        signature = signature_of(solver)
        if signature is not None:
            self.__signature__ = signature
        self._solver = solver_operation(solver, conditions, has_aux, out_shape)
        self._solution = _Solution(conditions, self._options)
        self._taken = frozenset(self._solution.target.names)
        self._options_of_solver = _options_of(signature, signature_of(conditions))
        self.broadcast = Elementwise(self, "broadcast")
        self.sum = Elementwise(self, "sum")

    @functools.cached_property
    def __fwddiff_stands_for__(self) -> FwdDiff:
        return _Python(calling(self), "numpy", None, "auto", "single", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The solution for these arguments, differentiable in the host that they belong to."""
        return self.called("whole", args, kwargs)

    def called(self, kind: str, args: tuple, kwargs: dict[str, Any]) -> Any:
        """`whole`, `broadcast` or `sum`."""
        signature = kwargs.pop("signature", None) if kind != "whole" else None
        core, own = _signatures(signature)
        if _nesting.depth() and is_outline((args, kwargs)):
            return outlined(self._solver, kind, signature, args)
        first, names = self._options_of_solver
        if first < len(args) <= first + len(names) and kwargs.keys().isdisjoint(names):
            args, kwargs = args[:first], {**dict(zip(names, args[first:], strict=False)), **kwargs}
        if kind == "sum":
            return _identity.sum(self.called("broadcast", args, {**kwargs, **core}))
        found = self._solver.operation(kind)(*args, **kwargs, **core)
        z, aux = found if self.has_aux else (found, None)
        named = {name: value for name, value in kwargs.items() if name in self._taken}
        if self._is_at_home((z, args, named)):
            z = self._at_home(kind, z, args, named, own.get("signature"))
        else:
            z = self._solution.operation(kind)(z, *args, **named, **own)
        return (z, aux) if self.has_aux else z

    def _is_at_home(self, trees: Any) -> bool:
        """Whether the conditions are written for JAX, and it is JAX that differentiates: it does so itself,
        because Python that its programs call may not call it.

        Elsewhere arrays that such conditions capture would be constants without a word.
        """
        rule = self._written_for
        if not isinstance(rule, Foreign):
            return False
        framework = _recipe.engine(rule.engine).FRAMEWORK
        is_own = any(map(framework.owns, _tree.flatten(trees)[0]))
        if rule.engine == "jax":
            return is_own or _holds(rule.function, framework.is_moving)
        if is_own and _holds(rule.function, framework.is_moving):
            raise CaptureError(
                f"{self!r}: the conditions, which are written for {framework.name}, capture an array that is "
                "to be differentiated, and they are evaluated where it would be a constant. Pass it as an "
                "argument of the solver and the conditions."
            )
        return False

    def _at_home(self, kind: str, z: Any, args: tuple, named: dict[str, Any], signature: str | None) -> Any:
        implicit, rule = _recipe.engine("jax.implicit"), self._written_for
        assert isinstance(rule, Foreign)
        conditions = rule.function
        if kind == "whole":
            return implicit.solution(conditions, z, args, named, self._options)
        if named or not _tree.is_flat(_tree.flatten(args)[1]):
            raise ArgumentError(
                f"{self!r}.broadcast with conditions written for JAX takes arrays by position."
            )
        return implicit.vectorized(conditions, z, args, signature, self._options)

    def __reduce__(self) -> Any:
        return Implicit, self._made_with

    def __repr__(self) -> str:
        return f"implicit({getattr(self, '__name__', 'solver')})"


def _options_of(
    solver: inspect.Signature | None, conditions: inspect.Signature | None
) -> tuple[int, list[str]]:
    """From where on positional arguments are options of the solver, and their names: they have defaults, and
    the conditions have no place for them."""
    if solver is None or conditions is None:
        return 0, []
    places = list(solver.parameters.values())
    taken = list(conditions.parameters.values())
    known = [p for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    first = len(known) - 1
    rest = places[first:] if first >= 0 else []
    is_open = any(p.kind is p.VAR_POSITIONAL for p in (*taken, *places))
    if is_open or any(p.kind is not p.POSITIONAL_OR_KEYWORD or p.default is p.empty for p in rest):
        return 0, []
    return first, [p.name for p in rest]


class Elementwise:
    """`broadcast` or `sum` of an implicit function."""

    autograph_info__ = None
    __fwddiff_operation__ = True

    def __init__(self, implicit: Implicit, kind: str):
        self.wrapped, self.kind = implicit, kind
        self.__name__ = f"{getattr(implicit, '__name__', 'solver')}.{kind}"

    @functools.cached_property
    def __fwddiff_stands_for__(self) -> FwdDiff:
        return _Python(calling(self), "numpy", None, "auto", "single", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.kind == "sum" and self.wrapped.has_aux:
            raise ArgumentError(f"{self.__name__}: what comes beside z (has_aux=True) cannot be summed.")
        return self.wrapped.called(self.kind, args, kwargs)

    def __reduce__(self) -> Any:
        return getattr, (self.wrapped, self.kind)

    def __repr__(self) -> str:
        return f"{self.wrapped!r}.{self.kind}"


class _Python(FwdDiff):
    """What operators differentiate in the place of an implicit function: a function that calls it."""

    def with_engine(self, engine: str) -> FwdDiff:
        """The same: the conditions choose their engine by themselves."""
        return self


_identity: FwdDiff = fwddiff(lambda z: z)


def _holds(function: Callable, is_moving: Callable[[Any], bool]) -> bool:
    """Whether such an array can be reached from the function, by the globals that it names too."""
    named = getattr(function, "__globals__", {})
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    return any(holds_host_array(part, is_moving) for part in (function, *map(named.get, names)))


# --- the conditions -----------------------------------------------------------------------------------------


class _Solution(FwdDiff):
    """`conditions(z, *args)` as the function `(z, *args) → z`."""

    def __init__(self, conditions: Callable, options: Options):
        engine = _Engine(options, _foreign(conditions))
        super().__init__(_plain(conditions), engine, None, "recompute", "single", None)

    def plain(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Without derivatives it is what the solver found."""
        return args[0]


def _plain(conditions: Callable) -> Callable:
    """The conditions as a function whose first argument is z: presets become variables that it captures, and
    what wrapping has added stays with the function that it calls."""
    if hasattr(type(conditions), "__fwddiff_meaning__"):
        return calling(conditions)
    preset, named, inner = without_partials(conditions)
    if inner is conditions:
        return conditions
    listing = [p.name for p in inspect.signature(conditions).parameters.values() if p.name not in named]
    places = {f"preset_{k}": value for k, value in enumerate((*preset, *named.values()))}
    given = [*list(places)[: len(preset)], *listing]
    given += [f"{name}={place}" for name, place in zip(named, list(places)[len(preset) :], strict=True)]
    name = inner.__name__ if getattr(inner, "__name__", "<").isidentifier() else "conditions"
    namespace = {"inner": inner, **places}
    exec(f"def {name}({', '.join(listing)}): return inner({', '.join(given)})", namespace)
    return namespace[name]


def _foreign(conditions: Callable) -> Foreign | None:
    """Conditions that a framework differentiates by all arguments: they have a pullback, which a function of
    Python that calls them has by pushforwards alone, one for each number."""
    meaning = meaning_of(conditions)
    return meaning.rule if isinstance(meaning.rule, Foreign) and meaning.wrt is None else None


@dataclasses.dataclass(frozen=True)
class _Engine:
    """Makes the rule of a problem; equal ones share what has been decided about functions of one code."""

    options: Options
    foreign: Foreign | None

    differentiates: ClassVar[bool] = True

    def __call__(self, problem: Problem) -> Rule:
        tree = problem.arguments.children()[0]
        count = tree.num_leaves
        unknowns = problem.inputs[:count]
        if any(k in problem.statics for k in range(count)) or not all(s.dtype.kind == "f" for s in unknowns):
            raise ArgumentError(
                f"{problem.name}: the solver has to return floats, arrays of floats, or structs."
            )
        slots = [dataclasses.replace(slot, differentiable=True) for slot in unknowns]
        told = dataclasses.replace(
            problem, inputs=(*slots, *problem.inputs[count:]), out_shape=Told(_like_z), mode="recompute"
        )
        conditions = self._conditions(told)
        names = [f"z{path}" for path in _tree.leaf_paths(tree)]
        system = System(problem.name, conditions, names, self.options)
        system.check_structure(conditions.result_tree(), tree)
        found = [dataclasses.replace(slot, differentiable=False) for slot in unknowns]
        return Solution(system, [*found, *problem.inputs[count:]], tree)

    def _conditions(self, problem: Problem) -> Any:
        if self.foreign is not None:
            return _recipe.engine(self.foreign.engine).user_rule(problem, self.foreign)
        return _recipe.engine_for(problem.plan.meaning.engine, problem.plan)(problem)


def _like_z(z: Any, *_: Any) -> Any:
    """The conditions return something of the structure of z."""
    return z


def _signatures(given: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Core axes of the solver's arguments, and of the conditions', which take z first."""
    if given is None:
        return {}, {}
    inputs, arrow, output = given.partition("->")
    if not arrow or "),(" in output.replace(" ", ""):
        raise ArgumentError(
            f"signature={given!r}: write the axes of z after an arrow, such as '(n),()->(n)'."
        )
    return {"signature": given}, {"signature": f"{output},{inputs}"}
