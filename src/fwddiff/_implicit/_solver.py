"""The solver as an operation without derivative, and what it returns, told before it runs.

Hosts that trace have to know the shape of z. Where the user does not say (`out_shape=`), it is that of an
earlier call with arguments of the same shapes, or the one for which the conditions return a residual of the
shape of z.
"""

from __future__ import annotations

import collections
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from fwddiff import _tree
from fwddiff._call import Gathered
from fwddiff._capture import UserRule
from fwddiff._errors import ArgumentError, DerivativeError, FwdDiffError, ShapeError
from fwddiff._problem import Problem
from fwddiff._rule import Rule
from fwddiff._sizes import Shapes
from fwddiff._wrapper import FwdDiff, fwddiff
from fwddiff.engines.numpy.user_rule import UserBaseRule

_MOST_SEEN = 64


def solver_operation(solver: Callable, conditions: Callable, has_aux: bool, out_shape: Any) -> FwdDiff:
    """The solver, called with numbers and arrays of NumPy in every host."""
    positional, by_name = _parameters(solver)
    seen: collections.OrderedDict[Any, Any] = collections.OrderedDict()

    def solve(*args: Any, **kwargs: Any) -> Any:
        key = _key(args)
        if by_name and len(args) > positional:  # hosts know arguments by position only
            kwargs = dict(zip(by_name, args[positional:], strict=True))
            args = args[:positional]
        result = _as_floats(solver(*args, **kwargs), solve.__name__)
        if key not in seen:
            seen[key] = _tree.map_leaves(_example, *reversed(_tree.flatten(result)))
            if len(seen) > _MOST_SEEN:
                seen.popitem(last=False)
        return result

    functools.update_wrapper(solve, solver, updated=())
    rule = _SolverMeaning(solve, _no_derivative, None, None if has_aux else conditions, seen)
    return FwdDiff(solve, "auto", (), "recompute", "single", None, out_shape, rule)


def _parameters(solver: Callable) -> tuple[int, list[str]]:
    """Number of positional parameters, and names of those that are given by name only."""
    signature = signature_of(solver)
    parameters = [] if signature is None else list(signature.parameters.values())
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if by_name and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise ArgumentError(f"{solver!r} takes *args and {by_name[0]!r} by name only: give it a position.")
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters), by_name


def signature_of(function: Callable) -> inspect.Signature | None:
    """The signature; `None` of functions written in C that show none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _no_derivative(*args: Any) -> NoReturn:
    raise DerivativeError("the solver of an implicit function is not differentiated.")


def _as_floats(result: Any, name: str) -> Any:
    """What the solver returned, with floats for integers. SciPy's `OptimizeResult` stands for its `x`."""
    if isinstance(result, dict) and {"x", "success"} <= result.keys():
        if not result["success"]:
            raise DerivativeError(f"{name}: the solver did not converge: {result.get('message', '')}")
        result = result["x"]
    leaves, spec = _tree.flatten(result)
    return _tree.unflatten(spec, [_as_float(leaf) for leaf in leaves])


def _as_float(leaf: Any) -> Any:
    if isinstance(leaf, int | np.integer) and not isinstance(leaf, bool):
        return float(leaf)
    return leaf.astype(float) if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iu" else leaf


# --- shapes -------------------------------------------------------------------------------------------------


def _key(args: Sequence[Any]) -> tuple:
    """Structure and shapes of arguments."""
    leaves, spec = _tree.flatten(tuple(args))
    return spec, tuple(map(np.shape, leaves))


def _example(leaf: Any) -> Any:
    """Something of the same shape, without memory."""
    if isinstance(leaf, np.ndarray):
        return np.broadcast_to(leaf.dtype.type(1), leaf.shape)
    return leaf


@dataclass(frozen=True, eq=False)
class _SolverMeaning(UserRule):
    """Of the function that calls the solver: the conditions, and results of earlier calls by shapes."""

    conditions: Callable | None = None
    seen: Any = field(default_factory=dict)

    def made(self, problem: Problem) -> Rule:
        return _SolverRule(problem, self)


class _SolverRule(UserBaseRule):
    given: _SolverMeaning

    def _twin(self) -> _SolverRule:
        twin = _SolverRule(self.problem, self.given)
        twin.results = self.results
        return twin

    def _outline(self, cores: Shapes) -> Shapes:
        if self.problem.out_shape is not None:
            return super()._outline(cores)
        pairs = zip(cores, self.inputs, strict=True)
        leaves = [np.broadcast_to(slot.dtype.type(1), core) if core else slot.dtype.type(1) for core, slot in pairs]
        arguments = self.problem.bind(leaves)[0]
        key = _key(arguments)
        known = self.given.seen.get(key)
        if known is None:
            known = _consistent(self.given.conditions, arguments)
        if known is None:
            return super()._outline(cores)
        return tuple(map(np.shape, self.results.leaves(known)))

    def _unknown(self, what: str, error: FwdDiffError) -> ShapeError:
        found = ShapeError(
            f"{self.name}: the {what} of what the solver returns cannot be told before it runs, which a host "
            "that traces needs, and the conditions leave it open. Give an example of it (values do not "
            "matter), or a function of the arguments that makes one: fd.implicit(solver, conditions, "
            "out_shape=lambda a: np.empty(len(a))). One call outside of the traced function will do, too."
        )
        found.__cause__ = error
        return found


def _consistent(conditions: Callable | None, arguments: Sequence[Any]) -> Any:
    """The z for which the conditions return a residual of its shape, if there is one number or array only."""
    if conditions is None:
        return None
    wrapped = fwddiff(conditions, engine="numpy")
    target = wrapped.target
    arguments = arguments if target.rest else arguments[: len(target.names) - 1]
    found = [z for z in _candidates(wrapped, arguments) if _fits(wrapped, z, arguments)]
    return found[0] if len(found) == 1 else None


def _candidates(wrapped: FwdDiff, arguments: Sequence[Any]) -> Iterator[Any]:
    """A number, and arrays of the shapes of arguments and captured values and of rows and columns of them."""
    leaves, _ = _tree.flatten((tuple(arguments), wrapped.caller.find()[1]))
    shapes = {tuple(getattr(leaf, "shape", ())) for leaf in leaves}
    shapes |= {part for shape in shapes for part in (shape[:1], shape[-1:])}
    for shape in sorted(shapes | {()}, key=len):
        yield np.broadcast_to(np.float64(1), shape) if shape else 1.0


def _fits(wrapped: FwdDiff, z: Any, arguments: Sequence[Any]) -> bool:
    """Whether the outline of the conditions, which uses no values, says so."""
    caller = wrapped.caller
    try:
        record, values = caller.find()
        gathered = Gathered(*caller.gather("whole", (z, *arguments), {}, values), record)
        recipe = caller.recipe(gathered)
        leaves = [gathered.leaves[k] for k in recipe.dynamic]
        rule: Any = recipe.rule()
        shapes = rule.core_shapes([tuple(getattr(leaf, "shape", ())) for leaf in leaves])
        return rule.result_tree().is_leaf() and shapes == (np.shape(z),)
    except FwdDiffError:
        return False
