"""Functions with a meaning of their own, met by code that runs on dual numbers: `wrt`, rows of
`fd.scalar_rule`, rules of the user's.

A rule of the user's has one partial at a time by `frule`, or else the cotangents of each output by `rrule`.
Either runs on the values without the outermost level. Where these are dual numbers too, the rule is
differentiated itself: its code is rebuilt, and in it the name of the function means the function by this
rule.
"""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from fwddiff import _tree, dual
from fwddiff._capture import Function, Meaning, UserRule, has_code, plan, unbound
from fwddiff._errors import DerivativeError, ShapeError, StructureError
from fwddiff._thunk import unthunk
from fwddiff.engines.numpy.seeding import map_plain, stacked, weighted
from fwddiff.engines.numpy.trees import mapped
from fwddiff.engines.numpy.unknown import Unknown

Leaf = Any


def with_constants(call: Callable, node: Function, wrt: frozenset[int]) -> Callable:
    """The function with the partials of all arguments that `wrt` leaves out taken off, at every level."""
    names = _parameters(node)
    positional = node.function.__code__.co_argcount - (node.bound is not None)

    def position(place: int) -> int:
        return place if place < positional else place - positional + len(names)

    def on_duals(*args: Any, **kwargs: Any) -> Any:
        args = tuple(x if position(k) in wrt else constant(x) for k, x in enumerate(args))
        given = {k: x if k in names and names.index(k) in wrt else constant(x) for k, x in kwargs.items()}
        return call(*args, **given)

    return on_duals


def _parameters(node: Function) -> list[str]:
    code = node.function.__code__
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    return names[1:] if node.bound is not None else names


def constant(value: Any) -> Any:
    """The same nested value without derivatives."""
    return mapped(dual.strip, value)


def by_row(call: Callable, row: Any) -> Callable:
    """The function by its row, which has derivatives of arguments alone: `call` computes the value."""

    def on_duals(*arguments: Leaf) -> Leaf:
        through = _through(arguments)
        if through is not None:
            return through(row, call, arguments)
        if all(dual.level_of(x) < 0 for x in arguments):
            return constant(call(*arguments))
        return dual.apply(row, on_duals, arguments)

    def bound(*args: Any, **kwargs: Any) -> Leaf:
        return on_duals(*positional(call, args, kwargs))

    return bound


def _through(leaves: Sequence[Leaf]) -> Callable[..., Any] | None:
    """How numbers that are traced take a function that has derivatives of its own (see `sparsity`)."""
    return next((x.__fwddiff_through__ for x in leaves if hasattr(x, "__fwddiff_through__")), None)


def positional(function: Callable, args: tuple, kwargs: dict[str, Any]) -> tuple:
    """All arguments by position, defaults filled in."""
    if not kwargs and not isinstance(function, types.FunctionType | types.MethodType):
        return args
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return (*bound.args, *bound.kwargs.values())


class UserCall:
    """A function of the user's with a rule of its own, on numbers, arrays and duals of any level."""

    def __init__(
        self, node: Function, rule: UserRule, classes: Any, rebuild: Callable[[Function, dict], Any]
    ):
        self.node, self.rule, self.classes, self.rebuild = node, rule, classes, rebuild
        self.name = getattr(node.function, "__name__", "function")
        self._rebuilt: dict[int, Callable] = {}

    @property
    def __fwddiff_function__(self) -> Callable:
        """Where code that is differentiated inside calls this, it is the same function by the same rule."""
        return self.rule.function

    @property
    def __fwddiff_meaning__(self) -> Meaning:
        return self.node.meaning

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arguments = positional(self.rule.function, args, kwargs)
        leaves, spec = _tree.flatten(self.classes.restored(arguments))
        return self.classes.adopted(self._on(leaves, spec))

    def _on(self, leaves: Sequence[Leaf], spec: Any) -> Any:
        through = _through(leaves)
        if through is not None:
            return through(None, lambda *given: self._on(given, spec), leaves)
        level = max(map(dual.level_of, leaves), default=-1)
        if level < 0:
            is_outline = any(isinstance(leaf, Unknown) for leaf in leaves)
            function = self._again(self.rule.function, {}) if is_outline else self.rule.function
            return function(*_user_tree(spec, leaves))
        values = [dual.value_at(leaf, level) for leaf in leaves]
        count = next(len(leaf.partials) for leaf in leaves if dual.level_of(leaf) == level)
        moving = [dual.terms(leaf, level, count) for leaf in leaves]
        results, tree = _tree.flatten(self._on(values, spec))
        partials = self._pushed if self.rule.frule is not None else self._pulled
        columns = partials(values, spec, list(zip(*moving, strict=True)), results, tree)
        rows = zip(results, zip(*columns, strict=True), strict=True)
        return _tree.unflatten(tree, [dual.make(y, d, level) if is_real(y) else y for y, d in rows])

    # --- by frule -------------------------------------------------------------------------------------------

    def _pushed(self, values, spec, directions, results, tree) -> list[list[Leaf]]:
        """For every direction the partial of every result."""
        return [
            self.push(values, spec, direction, results, tree)
            if any(map(_moves, direction))
            else [0] * len(results)
            for direction in directions
        ]

    def push(self, values, spec, direction, results, tree) -> list[Leaf]:
        """Tangents of the results by `frule`; the integer 0 stands for none."""
        tangents = [t if _moves(t) else _still(v) for t, v in zip(direction, values, strict=True)]
        with self._explained(values) as function:
            assert self.rule.frule is not None
            _, dy = function(self.rule.frule)(_user_tree(spec, values), _user_tree(spec, tangents))
        found = self._mirror(dy, tree, "a tangent")
        return [self._tangent(d, y) for d, y in zip(found, results, strict=True)]

    def _tangent(self, d: Leaf, y: Leaf) -> Leaf:
        if d is None or not is_real(y):
            return 0
        if np.shape(dual.strip(d)) not in ((), np.shape(dual.strip(y))):
            raise ShapeError(
                f"the custom rule of {self.name} returned a tangent of shape {np.shape(dual.strip(d))} for a "
                f"result of shape {np.shape(dual.strip(y))}."
            )
        return d if dual.level_of(d) >= 0 else np.asarray(d, float)[()]

    # --- by rrule -------------------------------------------------------------------------------------------

    def _pulled(self, values, spec, directions, results, tree) -> list[list[Leaf]]:
        rows = [self._row(values, spec, directions, j, results, tree) for j in range(len(results))]
        return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in directions]

    def _row(self, values, spec, directions, j: int, results, tree) -> list[Leaf]:
        """For every direction the partial of result j, from the cotangents of its elements."""
        if not is_real(results[j]):
            return [0] * len(directions)
        shape = np.shape(dual.strip(results[j]))
        elements = []
        for index in np.ndindex(shape):
            cotangents = [_still(y) for y in results]
            cotangents[j] = _unit(shape, index)
            pulled = self.pull(values, spec, cotangents, tree)
            elements.append([_along(pulled, direction) for direction in directions])
        columns = [list(column) for column in zip(*elements, strict=True)] or [[] for _ in directions]
        return [_array(column, shape) for column in columns]

    def pull(self, values, spec, cotangents, tree) -> list[Leaf]:
        """Cotangents of all leaves of the arguments by `rrule`; `None` stands for none."""
        with self._explained((*values, *cotangents)) as function:
            assert self.rule.rrule is not None
            _, pullback = function(self.rule.rrule)(*_user_tree(spec, values))
            returned = tuple(map(unthunk, pullback(_user_tree(tree, cotangents))))
        children = spec.children()
        if len(returned) != len(children):
            raise StructureError(
                f"the pullback of {self.name} returned {len(returned)} cotangents for "
                f"{len(children)} arguments."
            )
        pairs = enumerate(zip(returned, children, strict=True))
        leaves = [leaf for k, pair in pairs for leaf in self._mirror(*pair, f"a cotangent of argument {k}")]
        return [self._cotangent(leaf, x) for leaf, x in zip(leaves, values, strict=True)]

    def _cotangent(self, leaf: Leaf, argument: Leaf) -> Leaf:
        if leaf is None or not is_real(argument):
            return None
        found = leaf if dual.level_of(leaf) >= 0 else np.asarray(leaf, float)[()]
        if np.shape(dual.strip(found)) != np.shape(dual.strip(argument)):
            raise ShapeError(
                f"the custom rule of {self.name} returned a cotangent of shape {np.shape(dual.strip(found))} "
                f"for an argument of shape {np.shape(dual.strip(argument))}."
            )
        return found

    # --- both -----------------------------------------------------------------------------------------------

    def _mirror(self, tree: Any, spec: Any, what: str) -> list[Any]:
        if tree is None:
            return [None] * spec.num_leaves
        try:
            return [tree] if spec.is_leaf() else spec.flatten_up_to(tree)
        except (ValueError, TypeError) as error:
            raise StructureError(
                f"the custom rule of {self.name} returned {what} of another structure: {error}"
            ) from None

    @contextlib.contextmanager
    def _explained(self, leaves: Sequence[Leaf]) -> Iterator[Callable[[Callable], Callable]]:
        """What makes of the rule's functions what is called: themselves, or rebuilt where duals come."""
        if all(dual.level_of(leaf) < 0 for leaf in leaves):
            yield lambda function: function
            return
        try:
            yield self._on_duals
        except (DerivativeError, TypeError) as error:
            raise DerivativeError(
                f"a second derivative of {self.name} was asked for, which is the derivative of its custom "
                f"rule, and that is not made of differentiable operations: {error}"
            ) from error

    def _on_duals(self, function: Callable) -> Callable:
        return self._again(function, {tuple(map(id, unbound(self.rule.function)[::-1])): self})

    def _again(self, function: Callable, known: dict) -> Callable:
        if not has_code(function):
            return function
        if id(function) not in self._rebuilt:
            node = plan(function, self.node.owned, with_state=True)
            self._rebuilt[id(function)] = self.rebuild(node, known)
        return self._rebuilt[id(function)]


def is_real(leaf: Leaf) -> bool:
    """Whether a leaf has a derivative."""
    plain = dual.strip(leaf)
    return isinstance(plain, float) or (
        isinstance(plain, np.generic | np.ndarray) and plain.dtype.kind == "f"
    )


def _user_tree(spec: Any, leaves: Sequence[Leaf]) -> Any:
    """The user's arguments: numbers as Python's own, arrays read-only."""
    return _tree.unflatten_for_code(spec, [_user_leaf(leaf) for leaf in leaves], "guarded")


def _user_leaf(leaf: Leaf) -> Leaf:
    if isinstance(leaf, np.generic) or (isinstance(leaf, np.ndarray) and leaf.ndim == 0):
        return leaf.item()
    if not isinstance(leaf, np.ndarray):
        return leaf
    view = leaf.view()
    view.flags.writeable = False
    return view


def _moves(tangent: Leaf) -> bool:
    return not (type(tangent) is int and tangent == 0)


def _still(value: Leaf) -> Leaf:
    """The tangent or cotangent of what does not move; `None` of what cannot."""
    plain = dual.strip(value)
    if isinstance(plain, np.ndarray):
        return np.zeros(plain.shape)
    return 0.0 if is_real(plain) else 0 if isinstance(plain, int | np.integer) else None


def _unit(shape: tuple[int, ...], index: tuple[int, ...]) -> Leaf:
    unit = np.zeros(shape)
    unit[index] = 1.0
    return unit


def _along(cotangents: Sequence[Leaf], direction: Sequence[Leaf]) -> Leaf:
    """The partial of a number from the cotangents of the arguments' leaves."""
    pairs = zip(cotangents, direction, strict=True)
    terms = [weighted(c, t) for c, t in pairs if c is not None and _moves(t)]
    return sum(terms[1:], start=terms[0]) if terms else 0


def _array(elements: Sequence[Leaf], shape: tuple[int, ...]) -> Leaf:
    if not any(map(_moves, elements)):
        return 0
    if shape == ():
        return elements[0]
    return map_plain(lambda flat: flat.reshape(shape), stacked(elements))
