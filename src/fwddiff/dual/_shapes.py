"""NumPy functions that are linear in one array, jointly linear in several, or linear in each of several."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff._errors import DerivativeError
from fwddiff.dual._chain import where
from fwddiff.dual._number import max_level
from fwddiff.dual._parts import (
    Operand,
    Parts,
    independent,
    level_of,
    make,
    map_parts,
    partials,
    settled,
    strip,
    terms,
    value_at,
    zeros_like,
)

Handler = Callable[..., Any]

# Linear in their first argument; every other argument says how.
_LINEAR: tuple[Any, ...] = (
    np.reshape, np.ravel, np.transpose, np.squeeze, np.expand_dims, np.broadcast_to, np.trace, np.diag,
    np.diagonal,
    np.moveaxis, np.swapaxes, np.rollaxis, np.flip, np.fliplr, np.flipud, np.roll, np.rot90, np.tile,
    np.repeat, np.tril,
    np.triu, np.take, np.take_along_axis, np.delete, np.diff, np.cumsum, np.mean, np.copy, np.atleast_1d,
    np.atleast_2d, np.atleast_3d, np.real, np.matrix_transpose, np.diagflat, np.permute_dims,
)  # fmt: skip
_SPLITS: tuple[Any, ...] = (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit)
_JOINS: tuple[Any, ...] = (np.concatenate, np.stack, np.vstack, np.hstack, np.dstack, np.column_stack)
_PRODUCTS: tuple[Any, ...] = (
    np.dot,
    np.matmul,
    np.outer,
    np.inner,
    np.tensordot,
    np.vdot,
    np.kron,
    np.cross,
    np.convolve,
)
# Their dtype= is that of a new array, not of a computation.
CREATORS = frozenset({np.zeros_like, np.ones_like, np.empty_like, np.full_like})


def refuse_options(function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Raise where an option is given that would have to hold or hide derivatives, by name or by position."""
    try:
        given = inspect.signature(function).bind(*arguments, **options).arguments
    except (TypeError, ValueError):
        given = options
    given = given | given.get("kwargs", {})
    for option in ("out", "where", "dtype"):
        if not any(given.get(option) is default for default in (None, True, np._NoValue)):
            raise DerivativeError(
                f"numpy.{function.__name__} with {option}= is not supported on dual numbers: leave "
                f"{option}= out, "
                "and use the result (numpy.where selects, x[...] = y writes into an array made by "
                "numpy.zeros_like of a dual array)."
            )


def _linear(function: Any) -> Handler:
    def on_dual(x: Operand, *arguments: Any, **options: Any) -> Operand:
        if max_level([*arguments, *options.values()]) >= 0:
            raise DerivativeError(f"numpy.{function.__name__} takes dual numbers in its first argument only.")
        return map_parts(lambda part: function(part, *arguments, **options), x)

    return on_dual


def _split(function: Any) -> Handler:
    def on_dual(x: Operand, *arguments: Any, **options: Any) -> list[Operand]:
        count = len(function(strip(x), *arguments, **options))
        return [
            map_parts(lambda part, i=i: function(part, *arguments, **options)[i], x) for i in range(count)
        ]

    return on_dual


def join(function: Any, arrays: Sequence[Operand], *arguments: Any, **options: Any) -> Operand:
    """A function that is linear in all of `arrays` together, as `numpy.concatenate` is."""
    level = max_level(arrays)
    if level < 0:
        return function(arrays, *arguments, **options)
    count = next(len(x.partials) for x in arrays if isinstance(x, Parts) and x.level == level)
    depends = [any(x.depends[k] for x in arrays if level_of(x) == level) for k in range(count)]
    rows = zip(*(partials(as_floating(x), level, count) for x in arrays), strict=True)
    value = join(function, [value_at(x, level) for x in arrays], *arguments, **options)
    return make(value, [join(function, row, *arguments, **options) for row in rows], level, depends)


def as_floating(x: Operand) -> Operand:
    """Lists as arrays, so that zeros of their shape exist."""
    return x if isinstance(x, Parts | np.ndarray | np.generic | float | int) else np.asarray(x)


def _joined(function: Any) -> Handler:
    def on_duals(arrays: Sequence[Operand], *arguments: Any, **options: Any) -> Operand:
        return join(function, list(arrays), *arguments, **options)

    return on_duals


def multilinear(function: Handler, factors: Sequence[Operand]) -> Operand:
    """The product rule: each factor's partials in turn, all other factors as they are."""
    level = max_level(factors)
    if level < 0:
        return function(*factors)
    values = [value_at(x, level) for x in factors]
    active = [i for i, x in enumerate(factors) if level_of(x) == level]
    count = len(factors[active[0]].partials)
    slots = [(i, terms(factors[i], level, count)) for i in active]
    totals = []
    for k in range(count):
        changed = [(i, p[k]) for i, p in slots if type(p[k]) is not int]
        parts = [_term(function, values, i, part) for i, part in changed]
        totals.append(sum(parts[1:], start=parts[0]) if parts else 0)
    return make(multilinear(function, values), totals, level)


def _term(function: Handler, values: Sequence[Operand], i: int, part: Operand) -> Operand:
    """`function` with `part` in place of factor i; what meets only elements that do not depend on the seed
    does not either, also beside infinite factors."""
    result = multilinear(function, [*values[:i], part, *values[i + 1 :]])
    absent = np.asarray(independent(part))
    if not absent.any():
        return settled(result)
    # Weights without a pattern, so that no sum of them is zero by chance.
    factors = [_weights(np.shape(strip(value))) for value in values]
    factors[i] = np.where(absent, 0.0, factors[i])
    return settled(result, (function(*factors) == 0)[()])


def _weights(shape: tuple[int, ...]) -> Any:
    numbers = 0.5 + np.arange(1, math.prod(shape) + 1) * 0.6180339887498949 % 1
    return numbers.reshape(shape)[()]


def _product(function: Any) -> Handler:
    def on_duals(a: Operand, b: Operand, *arguments: Any, **options: Any) -> Operand:
        if function is np.dot and arguments:
            refuse_options(np.dot, (), {"out": arguments[0]})
        return multilinear(
            lambda p, q: function(p, q, *arguments, **options), (as_floating(a), as_floating(b))
        )

    return on_duals


def _einsum(subscripts: str, *factors: Operand, **options: Any) -> Operand:
    return multilinear(
        lambda *parts: np.einsum(subscripts, *parts, **options), [as_floating(x) for x in factors]
    )


def _where(condition: Operand, *choices: Operand) -> Operand:
    condition = np.asarray(strip(condition))
    if not choices:
        return np.where(condition)
    a, b = (as_floating(x) for x in choices)
    return where(condition, a, b)


def _like(function: Any) -> Handler:
    def on_dual(x: Operand, *arguments: Any, dtype: Any = None, shape: Any = None, **options: Any) -> Operand:
        options |= {} if shape is None else {"shape": shape}
        if dtype is not None and np.dtype(dtype).kind != "f":
            return function(strip(x), *arguments, dtype=dtype, **options)
        # Room for partials of the same levels, as the buffer is there to be written to.
        start = zeros_like(map_parts(lambda part: np.zeros_like(part, dtype=dtype, **options), x))
        if function is not np.zeros_like and function is not np.empty_like:
            start[...] = arguments[0] if arguments else options.get("fill_value", 1.0)
        return start

    return on_dual


def _full_like(x: Operand, fill_value: Operand, **options: Any) -> Operand:
    if max_level([x]) < max_level([fill_value]):
        return fill_value + np.zeros_like(strip(x), **options)
    return _like(np.full_like)(x, fill_value, **options)


def shape_handlers() -> dict[Any, Handler]:
    """NumPy function → its form on duals."""
    handlers: dict[Any, Handler] = {np.where: _where, np.einsum: _einsum, np.full_like: _full_like}
    handlers |= {f: _linear(f) for f in _LINEAR} | {f: _split(f) for f in _SPLITS}
    handlers |= {f: _joined(f) for f in _JOINS} | {f: _product(f) for f in _PRODUCTS}
    return handlers | {f: _like(f) for f in (np.zeros_like, np.ones_like, np.empty_like)}
