"""Derivatives of plain functions at plain arguments: derivative, gradient, jacobian, hessian and products
with them.

The names and their meaning follow DifferentiationInterface.jl (Dalle and Hill, arXiv 2505.05542). Each
operator takes the function and its arguments and differentiates with respect to one of them: the first, or
that of `argnum`, a position or a name (several give a tuple); the others are constants. Without arguments it
returns a function of them: `fd.gradient(f)(x)` is `fd.gradient(f, x)`. `f` may be a wrapped function or its
`broadcast` or `sum`. `backend` is an engine: "numba" compiles `f`, "numpy" runs it as it is, "auto" compiles
unless `f` itself calls fwddiff.

Operators nest, with each other and with `rrule` and `frule`: a derivative inside a function that is
differentiated is differentiated too. Integers are taken as floats where the argument holds no float, and a
function that returns integers has the derivative zero.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from fwddiff import _dual_host, _tree
from fwddiff._chainrules import operation_of, refuse_host
from fwddiff._errors import ArgumentError, ShapeError
from fwddiff._function import Target
from fwddiff._rule import Rule
from fwddiff.dual import level_of
from fwddiff.sparsity import Curried, SparseHessian, SparseJacobian

_LATER: Any = type("_Later", (), {"__repr__": lambda self: "<given later>"})()
Argnum = int | str | Sequence[int | str]
F = TypeVar("F", bound=Callable)


def _operator(evaluate: F) -> F:
    """An operator that returns a function of the arguments where they are not given."""

    @functools.wraps(evaluate)
    def operator(f: Callable, *args: Any, argnum: Argnum = 0, backend: str = "auto", **named: Any) -> Any:
        options = {name: named.pop(name) for name in ("sparsity", "check") if name in named}
        if args or named:
            return evaluate(f, *args, argnum=argnum, backend=backend, **named, **options)
        if options.get("sparsity") is not None:
            return evaluate(f, argnum=argnum, backend=backend, **options)

        def applied(*args: Any, **named: Any) -> Any:
            return evaluate(f, *args, argnum=argnum, backend=backend, **named)

        applied.__name__ = f"{evaluate.__name__} of {getattr(f, '__name__', 'a function')}"
        return applied

    return operator  # type: ignore[return-value]


@_operator
def derivative(
    f: Callable, x: Any = _LATER, *constants: Any, argnum: Argnum = 0, backend: str = "auto"
) -> Any:
    """df/dx of a function of a number; mirrors the result of `f` (`None` for what has no derivative)."""
    return _At(f, (x, *constants), argnum, backend).derivative()


@_operator
def value_and_derivative(
    f: Callable, x: Any = _LATER, *constants: Any, argnum: Argnum = 0, backend: str = "auto"
) -> Any:
    """`(f(x), df/dx)`."""
    at = _At(f, (x, *constants), argnum, backend)
    return at.value(), at.derivative()


@_operator
def pushforward(
    f: Callable,
    x: Any = _LATER,
    tangent: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
) -> Any:
    """Directional derivative of `f` at `x` along `tangent`, which mirrors `x`; mirrors the result of `f`."""
    at = _At(f, (x, *constants), argnum, backend)
    return at.pushforward(at.mirrored(tangent))


@_operator
def value_and_pushforward(
    f: Callable,
    x: Any = _LATER,
    tangent: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
) -> Any:
    """`(f(x), directional derivative)`."""
    at = _At(f, (x, *constants), argnum, backend)
    return at.value(), at.pushforward(at.mirrored(tangent))


@_operator
def pullback(
    f: Callable,
    x: Any = _LATER,
    cotangent: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
) -> Any:
    """Cotangent of `x` for a `cotangent` that mirrors the result of `f`."""
    at = _At(f, (x, *constants), argnum, backend)
    return at.pullback(at.cotangents(cotangent))


@_operator
def value_and_pullback(
    f: Callable,
    x: Any = _LATER,
    cotangent: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
) -> Any:
    """`(f(x), cotangent of x)`."""
    at = _At(f, (x, *constants), argnum, backend)
    return at.value(), at.pullback(at.cotangents(cotangent))


@_operator
def gradient(f: Callable, x: Any = _LATER, *constants: Any, argnum: Argnum = 0, backend: str = "auto") -> Any:
    """Gradient of a function that returns one number; mirrors `x`."""
    at = _At(f, (x, *constants), argnum, backend)
    at.expect_one_number("gradient", "jacobian")
    return at.pullback([1.0])


@_operator
def value_and_gradient(
    f: Callable, x: Any = _LATER, *constants: Any, argnum: Argnum = 0, backend: str = "auto"
) -> Any:
    """`(f(x), gradient)`."""
    at = _At(f, (x, *constants), argnum, backend)
    at.expect_one_number("gradient", "jacobian")
    return at.value(), at.pullback([1.0])


@_operator
def jacobian(
    f: Callable,
    x: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    sparsity: Any = None,
    check: bool | None = None,
) -> Any:
    """Derivatives of every element of an array (or number) by every element of `x`: shape = result + x.

    With `sparsity`, a `scipy.sparse.csr_array` with a row for each element of the result and a column for
    each of `x`: "detect" finds where its entries are, or a `scipy.sparse` array or a boolean NumPy array says
    it. `check` compares the result with a directional derivative (see `fwddiff.sparsity.SparseDerivative`).
    """
    if sparsity is not None:
        return _sparse(SparseJacobian, f, (x, *constants), argnum, backend, sparsity, check)
    return _At(f, (x, *constants), argnum, backend).jacobian()


@_operator
def value_and_jacobian(
    f: Callable,
    x: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    sparsity: Any = None,
    check: bool | None = None,
) -> Any:
    """`(f(x), jacobian)`."""
    if sparsity is not None:
        sparse = _sparse(SparseJacobian, f, (_LATER,), argnum, backend, sparsity, check)
        return sparse.value_and if x is _LATER else sparse.value_and(x, *constants)
    at = _At(f, (x, *constants), argnum, backend)
    return at.value(), at.jacobian()


@_operator
def hessian(
    f: Callable,
    x: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
    sparsity: Any = None,
    check: bool | None = None,
) -> Any:
    """Second derivatives of a function that returns one number: shape = x + x.

    `sparsity` and `check` as for `jacobian`; rows and columns are the elements of `x`.
    """
    if sparsity is not None:
        return _sparse(SparseHessian, f, (x, *constants), argnum, backend, sparsity, check)
    at = _At(f, (x, *constants), argnum, backend)
    at.expect_one_number("hessian", "jacobian")
    return at.hessian()


@_operator
def hvp(
    f: Callable,
    x: Any = _LATER,
    tangent: Any = _LATER,
    *constants: Any,
    argnum: Argnum = 0,
    backend: str = "auto",
) -> Any:
    """Hessian of `f` (which returns one number) times `tangent`; mirrors `x`."""
    at = _At(f, (x, *constants), argnum, backend)
    at.expect_one_number("hvp", "pullback")
    return at.hvp(at.mirrored(tangent))


def _sparse(
    kind: Any, f: Callable, args: tuple, argnum: Argnum, backend: str, sparsity: Any, check: Any
) -> Any:
    """A sparse derivative, or the function that computes it."""
    curried = Curried(kind, lambda *args: _At(f, args, argnum, backend), sparsity, check)
    return curried if args[0] is _LATER else curried(*args)


class _At:
    """A function at a point: its rule, and the leaves of all arguments (numbers, arrays, or duals in nested
    calls). `inputs` are the rule's inputs that move, those of the arguments that `argnum` chooses."""

    def __init__(self, f: Callable, args: tuple, argnum: Argnum, backend: str):
        operation = operation_of(f, backend)
        target = operation.wrapped.target
        self.name = target.name
        self.is_single = isinstance(argnum, int | str)
        items: Any = (argnum,) if self.is_single else argnum
        numbers = [_number(target, item, len(args)) for item in items]
        args = tuple(_with_floats(arg) if k in numbers else arg for k, arg in enumerate(args))
        self.x = tuple(args[k] for k in numbers)
        self.call = operation.prepare(*args)
        refuse_host(self.call, f)
        self.rule, self.leaves = self.call.rule, self.call.inputs
        self._find_inputs([target.given_positions(len(args))[k] for k in numbers])

    def _find_inputs(self, positions: Sequence[int]) -> None:
        children = self.call.spec.children()
        starts = list(itertools.accumulate((child.num_leaves for child in children), initial=0))
        input_of = {leaf: i for i, leaf in enumerate(self.call.dynamic)}
        self.specs = [children[p] for p in positions]
        # The rule's input for each leaf of each chosen argument, `None` for what is no number.
        self.places = [[input_of.get(leaf) for leaf in range(starts[p], starts[p + 1])] for p in positions]
        flat = [i for places in self.places for i in places if i is not None]
        self.inputs = tuple(i for i in flat if self.rule.inputs[i].differentiable)
        if not self.inputs:
            raise ArgumentError(
                f"{self.name}: the argument to differentiate by, {self._shown()}, holds no float to "
                "differentiate."
            )

    # --- evaluation -----------------------------------------------------------------------------------------

    def evaluate(self, rule: Rule, leaves: Sequence[Any]) -> list[Any]:
        return [_bare(leaf) for leaf in _dual_host.evaluate(rule, leaves)]

    def tree(self) -> Any:
        return self.call.result_tree()

    def shape(self, position: int) -> tuple[int, ...]:
        return _dual_host.shape(self.leaves[position])

    def results(self) -> list[Any]:
        return self.evaluate(self.rule, self.leaves)

    def value(self) -> Any:
        return _tree.unflatten(self.tree(), self.results())

    def is_constant(self) -> bool:
        """Whether the results are integers: they have the derivative zero."""
        return not self.rule.differentiable_outputs

    def pushforward(self, tangents: Sequence[Any]) -> Any:
        """Mirrors the result; `tangents` belong to `self.inputs`."""
        if self.is_constant():
            pairs = zip(self.rule.outputs, self.results(), strict=True)
            leaves = [None if slot.dtype.kind == "b" else _zeros(np.shape(y)) for slot, y in pairs]
            return _tree.unflatten(self.tree(), leaves)
        moved = iter(self.evaluate(self.rule.pushforward(self.inputs), [*self.leaves, *tangents]))
        leaves = [next(moved) if slot.differentiable else None for slot in self.rule.outputs]
        return _tree.unflatten(self.tree(), leaves)

    def pullback(self, cotangents: Sequence[Any]) -> Any:
        if self.is_constant():
            return self.like_x([_zeros(self.shape(i)) for i in self.inputs])
        return self.like_x(self.evaluate(self.rule.pullback(self.inputs), [*self.leaves, *cotangents]))

    def derivative(self) -> Any:
        if len(self.inputs) != 1 or self.shape(self.inputs[0]):
            raise ArgumentError(
                f"derivative needs a function of a number; {self.name} got {self._shown()}. Use gradient or "
                "jacobian."
            )
        return self.pushforward([1.0])

    def jacobian(self) -> Any:
        self.expect_arrays("jacobian")
        if len(self.rule.outputs) != 1 or not self.tree().is_leaf() or self.rule.outputs[0].dtype.kind == "b":
            raise ArgumentError(
                f"jacobian needs a function that returns one float array or number; {self.name} does not."
            )
        if self.is_constant():
            shape = np.shape(self.results()[0])
            return self.by_argument([np.zeros(shape + self.shape(i)) for i in self.inputs])
        return self.by_argument([self._block(self.rule, i, self.leaves) for i in self.inputs])

    def hessian(self) -> Any:
        self.expect_arrays("hessian")
        if self.is_constant():
            blocks = [[np.zeros(self.shape(i) + self.shape(j)) for j in self.inputs] for i in self.inputs]
        else:
            rules = [self.rule.pullback((i,)) for i in self.inputs]
            leaves = [*self.leaves, 1.0]
            blocks = [[self._block(rule, j, leaves) for j in self.inputs] for rule in rules]
        return self.by_argument([self.by_argument(row) for row in blocks])

    def hvp(self, tangents: Sequence[Any]) -> Any:
        if self.is_constant():
            return self.like_x([_zeros(self.shape(i)) for i in self.inputs])
        rule = self.rule.pullback(self.inputs).pushforward(self.inputs)
        return self.like_x(self.evaluate(rule, [*self.leaves, 1.0, *tangents]))

    def _block(self, rule: Rule, i: int, leaves: Sequence[Any]) -> Any:
        """Derivatives of the one output of `rule` by its input `i`, many seeds at a time where it can."""
        shape = self.shape(i)
        if not shape:
            (column,) = self.evaluate(rule.pushforward((i,)), [*leaves, 1.0])
            return column if level_of(column) >= 0 else np.asarray(column)
        if rule.has_jacobian and not _dual_host.has_loop_axes(rule, leaves):
            return self.evaluate(rule.jacobian((i,)), leaves)[0]
        return self._along_basis(rule.pushforward((i,)), shape, leaves)

    def _along_basis(self, rule: Rule, shape: tuple[int, ...], leaves: Sequence[Any]) -> Any:
        """Results for the tangents e_1, e_2, …, along the last axes."""
        basis = np.eye(int(np.prod(shape))).reshape(-1, *shape)
        if max(map(level_of, leaves)) < 0:
            fixed = [np.asarray(leaf)[None] for leaf in leaves]
            arrays = [np.asarray(a, slot.dtype) for a, slot in zip([*fixed, basis], rule.inputs, strict=True)]
            columns = rule(arrays, 1)[0]
        else:
            columns = np.stack([self.evaluate(rule, [*leaves, tangent])[0] for tangent in basis])
        return np.moveaxis(columns, 0, -1).reshape((*columns.shape[1:], *shape))

    # --- structures -----------------------------------------------------------------------------------------

    def by_argument(self, items: Sequence[Any]) -> Any:
        return items[0] if self.is_single else tuple(items)

    def like_x(self, cotangents: Sequence[Any]) -> Any:
        found: dict[int | None, Any] = dict(zip(self.inputs, cotangents, strict=True))
        pairs = zip(self.specs, self.places, strict=True)
        return self.by_argument([_tree.unflatten(s, [found.get(i) for i in places]) for s, places in pairs])

    def mirrored(self, tangent: Any) -> list[Any]:
        """Leaves of a tangent of x, those of its float leaves."""
        _expect(tangent, "tangent")
        given = (tangent,) if self.is_single else tuple(tangent)
        leaves = []
        for spec, places, tree in zip(self.specs, self.places, given, strict=True):
            flat = [tree] if spec.is_leaf() else spec.flatten_up_to(tree)
            leaves += [leaf for leaf, i in zip(flat, places, strict=True) if i in self.inputs]
        for leaf, i in zip(leaves, self.inputs, strict=True):
            if _dual_host.shape(leaf) != self.shape(i):
                raise ShapeError(
                    f"a tangent has shape {_dual_host.shape(leaf)}, its argument {self.shape(i)}."
                )
        return leaves

    def cotangents(self, cotangent: Any) -> list[Any]:
        _expect(cotangent, "cotangent")
        leaves = [cotangent] if self.tree().is_leaf() else self.tree().flatten_up_to(cotangent)
        return [leaf for leaf, slot in zip(leaves, self.rule.outputs, strict=True) if slot.differentiable]

    def _shown(self) -> str:
        return ", ".join(map(repr, self.x))

    def expect_one_number(self, operator: str, other: str) -> None:
        slots = self.rule.differentiable_outputs or self.rule.outputs
        is_array = any(
            slot.core_ndim or (slot.reduce is None and _dual_host.has_loop_axes(self.rule, self.leaves))
            for slot in slots
        )
        if len(slots) != 1 or is_array or slots[0].dtype.kind == "b":
            raise ArgumentError(
                f"{operator} needs a function that returns one number, and {self.name} returns {len(slots)} "
                f"float leaves{', an array' if len(slots) == 1 else ''}. Perhaps you meant {other}."
            )

    def expect_arrays(self, operator: str) -> None:
        if not all(spec.is_leaf() for spec in self.specs):
            raise ArgumentError(
                f"{operator} needs a number or an array as argument, not a struct. Use gradient."
            )


def _expect(given: Any, what: str) -> None:
    if given is _LATER:
        raise ArgumentError(f"this operator needs a {what} after the point: (f, x, {what}).")


def _number(target: Target, item: int | str, count: int) -> int:
    """Which of the `count` arguments given `argnum` means."""
    if isinstance(item, str) and item in target.names:
        found = target.names.index(item) - len(target.preset_args)
        if 0 <= found < count:
            return found
    elif isinstance(item, int) and -count <= item < count:
        return item % count
    raise ArgumentError(
        f"argnum={item!r} is none of the {count} arguments given: {target.name} takes "
        f"{', '.join(target.names[len(target.preset_args) :]) or 'none'}."
    )


def _with_floats(argument: Any) -> Any:
    """Integers as floats, if the argument holds nothing but integers."""
    leaves, spec = _tree.flatten(argument)
    if not all(isinstance(leaf, int | np.integer) or _is_integer_array(leaf) for leaf in leaves):
        return argument
    return _tree.unflatten(spec, [_as_float(leaf) for leaf in leaves])


def _is_integer_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iub"


def _as_float(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return leaf if leaf.dtype.kind == "b" else leaf.astype(np.float64)
    return leaf if isinstance(leaf, bool) else float(leaf)


def _zeros(shape: tuple[int, ...]) -> Any:
    return np.zeros(shape) if shape else 0.0


def _bare(leaf: Any) -> Any:
    """Numbers as Python's own; arrays and duals as they are."""
    return leaf.item() if isinstance(leaf, np.generic | np.ndarray) and leaf.ndim == 0 else leaf
