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

from fwddiff import _nesting, _tree, dual
from fwddiff._capture import UserRule, holds_host_array, plan
from fwddiff._errors import (
    ArgumentError,
    CaptureError,
    DerivativeError,
    FwdDiffError,
    ShapeError,
    StructureError,
)
from fwddiff._problem import Problem
from fwddiff._recipe import Gathered
from fwddiff._rule import Rule
from fwddiff._sizes import Shapes
from fwddiff._wrapper import FwdDiff, fwddiff
from fwddiff.engines.numpy.rebuild import Rebuilt
from fwddiff.engines.numpy.ruled import constant
from fwddiff.engines.numpy.standins import duals
from fwddiff.engines.numpy.structs import Structs
from fwddiff.engines.numpy.trees import mapped
from fwddiff.engines.numpy.unknown import Unclear, Unknown, example, unknown
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
        run = lambda: _run(solver, conditions, args, kwargs)  # noqa: E731
        result = _once(solve, args, lambda: _returned(run(), _name(solver), has_aux))
        if key not in seen:
            seen[key] = mapped(_example, result)
            if len(seen) > _MOST_SEEN:
                seen.popitem(last=False)
        return result

    functools.update_wrapper(solve, solver, updated=())
    if by_name:
        solve.__signature__ = _by_position(signature_of(solver))  # type: ignore[attr-defined]
    rule = _SolverMeaning(solve, _no_derivative, None, conditions, has_aux, seen)
    return FwdDiff(solve, "auto", (), "recompute", "single", None, out_shape, rule)


def _run(solver: Callable, conditions: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """The solver on plain numbers: inside a function that is differentiated, it may name variables of that
    function, which are duals. The conditions know how z depends on them."""
    try:
        result = solver(*args, **kwargs)
    except Exception:
        if not _nesting.depth() or not holds_host_array(solver, _is_dual):
            raise
        result, has_duals = _without_duals(solver)(*args, **kwargs), True
    else:
        has_duals = any(map(_is_dual, _tree.flatten(result)[0]))
    if has_duals and not holds_host_array(conditions, _is_dual):
        raise CaptureError(
            f"{_name(solver)} names a variable that the function around it is differentiated by, and the "
            f"conditions {_name(conditions)} do not: its derivative would be lost. Use it in both, or pass "
            "it as an argument."
        )
    return constant(result) if has_duals else result


def _is_dual(value: Any) -> bool:
    return isinstance(value, dual.Dual)


def _name(function: Callable) -> str:
    return getattr(function, "__name__", repr(function))


def _without_duals(solver: Callable) -> Callable:
    """The same code with the values of captured duals."""
    node = plan(solver, with_state=True)
    rebuilt = Rebuilt(node, Structs(node.owned, {}, duals()))
    rebuilt.set_captured([constant(value) for value in node.values()])
    return rebuilt.call


def _once(solve: Callable, args: Sequence[Any], run: Callable[[], Any]) -> Any:
    """The result of `run`, or what it was for the same numbers earlier in the same evaluation: that runs the
    function around the solver once for every chunk of seeds."""
    memory, last = _nesting.memory(), None
    if memory is not None:
        leaves, spec = _tree.flatten(tuple(args))
        if all(isinstance(leaf, bool | int | float | np.generic | np.ndarray) for leaf in leaves):
            last = (
                spec,
                [(np.shape(leaf), np.asarray(leaf).dtype, np.asarray(leaf).tobytes()) for leaf in leaves],
            )
            if solve in memory and memory[solve][0] == last:
                return _copied(memory[solve][1])
    result = run()
    if memory is not None and last is not None:
        memory[solve] = last, _copied(result)
    return result


def _copied(result: Any) -> Any:
    """Functions may write to what they get."""
    leaves, spec = _tree.flatten(result)
    return _tree.unflatten(spec, [leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in leaves])


def _parameters(solver: Callable) -> tuple[int, list[str]]:
    """Number of positional parameters, and names of those that are given by name only."""
    signature = signature_of(solver)
    parameters = [] if signature is None else list(signature.parameters.values())
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if by_name and any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise ArgumentError(f"{solver!r} takes *args and {by_name[0]!r} by name only: give it a position.")
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters), by_name


def _by_position(signature: inspect.Signature | None) -> inspect.Signature | None:
    """The same parameters, those that are given by name only as if they might be given by position."""
    assert signature is not None
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = signature.parameters.values()
    return signature.replace(
        parameters=[p.replace(kind=kind) if p.kind is p.KEYWORD_ONLY else p for p in parameters]
    )


def signature_of(function: Callable) -> inspect.Signature | None:
    """The signature; `None` of functions written in C that show none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _no_derivative(*args: Any) -> NoReturn:
    raise DerivativeError("the solver of an implicit function is not differentiated.")


def _returned(result: Any, name: str, has_aux: bool) -> Any:
    """What the solver returned, with floats for integers in z; `OptimizeResult` stands for its `x`."""
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise ArgumentError(f"{name}: with has_aux=True the solver has to return a pair (z, aux).")
        return _returned(result[0], name, False), result[1]
    if isinstance(result, dict) and {"x", "success"} <= result.keys():
        if not result["success"]:
            raise DerivativeError(f"{name}: the solver did not converge: {result.get('message', '')}")
        result = result["x"]
    leaves, spec = _tree.flatten(result)
    if not leaves or not all(np.asarray(leaf).dtype.kind in "fiu" for leaf in leaves):
        kinds = ", ".join(type(leaf).__name__ for leaf in leaves) or "nothing"
        raise ArgumentError(
            f"{name}: the solver has to return floats, arrays of floats or structs of them, not {kinds}."
        )
    return _tree.unflatten(spec, [_as_float(leaf) for leaf in leaves])


def _as_float(leaf: Any) -> Any:
    if isinstance(leaf, int | np.integer):
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


def is_outline(arguments: Any) -> bool:
    """Whether a function that calls the solver is only asked what it returns: no argument has a value."""
    return any(isinstance(leaf, Unknown) for leaf in _tree.flatten(arguments)[0])


def outlined(solver: FwdDiff, kind: str, signature: str | None, args: tuple) -> Any:
    """What the solver returns for arguments of which shapes are known; raises where it cannot be told."""
    leaves, spec = _tree.flatten(args)
    examples = [example(leaf) for leaf in leaves]
    loop = np.broadcast_shapes(*map(np.shape, examples)) if kind == "broadcast" else ()
    if kind != "whole":
        examples = [np.asarray(leaf).dtype.type(1) for leaf in examples]
    told, meaning = solver.caller.subject.options.out_shape, solver.meaning.rule
    assert isinstance(meaning, _SolverMeaning)
    arguments = _tree.unflatten(spec, examples)
    if told is not None:
        z = told.value(*arguments) if callable(told.value) else told.value
    else:
        seen, fitting = (None, []) if signature else meaning.known(arguments)
        z = seen if seen is not None else fitting[0] if fitting else None
    if z is None:
        raise Unclear(
            f"it calls {solver.target.name}, a solver, whose result's shape is not known before it runs"
        )
    return mapped(lambda leaf: _unknown_in(loop, leaf), z)


def _unknown_in(loop: tuple[int, ...], leaf: Any) -> Any:
    if not isinstance(leaf, bool | int | float | np.generic | np.ndarray):
        return leaf
    array = np.asarray(leaf)
    return unknown(np.broadcast_to(array.dtype.type(1), loop + array.shape) if loop or array.ndim else leaf)


@dataclass(frozen=True, eq=False)
class _SolverMeaning(UserRule):
    """Of the function that calls the solver: the conditions, and results of earlier calls by shapes."""

    conditions: Callable = _no_derivative
    has_aux: bool = False
    seen: Any = field(default_factory=dict)

    def refuse_captured(self, owned: Callable[[Any], bool]) -> None:
        """The solver may capture what the conditions do: they know how z depends on it."""
        captured = holds_host_array(self.function, owned)
        if captured and not holds_host_array(self.conditions, owned):
            raise CaptureError(
                f"{_name(self.function)} captures an array of a framework, and the conditions "
                f"{_name(self.conditions)} do not: its derivative would be lost. Use it in both, or pass "
                "it as an argument."
            )

    def known(self, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Examples of what the solver returns for arguments of these shapes: what it returned before, or
        `None`; and what the conditions allow, smallest first."""
        seen = self.seen.get(_key(arguments))
        return seen, [] if seen is not None or self.has_aux else _fitting(self.conditions, arguments)

    def made(self, problem: Problem) -> Rule:
        return _SolverRule(problem, self)


class _SolverRule(UserBaseRule):
    given: _SolverMeaning
    is_guess = False

    def _twin(self) -> _SolverRule:
        twin = _SolverRule(self.problem, self.given)
        twin.results = self.results
        return twin

    def _outline(self, cores: Shapes) -> Shapes:
        if self.problem.out_shape is not None:
            return super()._outline(cores)
        pairs = zip(cores, self.inputs, strict=True)
        leaves = [
            np.broadcast_to(slot.dtype.type(1), core) if core else slot.dtype.type(1) for core, slot in pairs
        ]
        seen, fitting = self.given.known(self.problem.bind(leaves)[0])
        if seen is None and len(fitting) != 1:
            try:
                return super()._outline(cores)
            except FwdDiffError:
                if not fitting:
                    raise
        self.is_guess = seen is None
        return tuple(map(np.shape, self.results.leaves(fitting[0] if seen is None else seen)))

    def __call__(self, arrays: Sequence[np.ndarray], batch_ndim: int = 0) -> tuple[np.ndarray, ...]:
        try:
            return super().__call__(arrays, batch_ndim)
        except StructureError as error:
            if self.problem.out_shape is not None or not self.is_guess:
                raise
            raise StructureError(
                f"{self.name}: the solver returned a z of another shape than the one for which the "
                "conditions return a residual of its shape, which is all that a host that traces can go by "
                f"({error}) "
                "Tell it: fd.implicit(solver, conditions, out_shape=an example of z)."
            ) from error

    def _unknown(self, what: str, error: FwdDiffError) -> ShapeError:
        found = ShapeError(
            f"{self.name}: the {what} of what the solver returns cannot be told before it runs, which a host "
            "that traces needs, and the conditions leave it open. Give an example of it (values do not "
            "matter), or a function of the arguments that makes one: fd.implicit(solver, conditions, "
            "out_shape=lambda a: np.empty(len(a))). One call outside of the traced function will do, too."
        )
        found.__cause__ = error
        return found


def _fitting(conditions: Callable, arguments: Sequence[Any]) -> list[Any]:
    """The numbers and arrays z for which the conditions return a residual of z's shape."""
    wrapped = fwddiff(conditions, engine="numpy")
    target = wrapped.target
    arguments = arguments if target.rest else arguments[: len(target.names) - 1]
    return [z for z in _candidates(wrapped, arguments) if _fits(wrapped, z, arguments)]


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
