"""What takes the place of functions that know plain numbers only, while a function is traced."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fwddiff import dual, rules
from fwddiff._errors import DerivativeError
from fwddiff.engines.numpy.standins import StandIns, of_plain
from fwddiff.sparsity._order import nonlinear, order_of
from fwddiff.sparsity._tape import Tape
from fwddiff.sparsity._traced import Traced
from fwddiff.sparsity._values import apply, by_row, found, from_objects, make, opaque, operand, plain

_CREATORS = (
    *("zeros", "ones", "empty", "full", "eye", "identity", "arange", "linspace", "zeros_like", "ones_like"),
    *("empty_like", "full_like", "copy"),
)
_ARRAYS = ("array", "asarray", "ascontiguousarray", "asanyarray")


def standins(tape: Tape) -> StandIns:
    """For one run on this tape."""
    functions = {getattr(np, name): _creator(getattr(np, name), tape) for name in _CREATORS}
    functions |= {getattr(np, name): _array(getattr(np, name), tape) for name in _ARRAYS}
    functions |= {isinstance: of_plain(isinstance, plain), print: lambda *_, **__: None}
    kinds = {kind: _conversion(kind) for kind in (float, np.float32, np.float64)}
    return StandIns(_math_namespace(), functions, kinds | {type: of_plain(type, plain)}, plain, _special)


def _creator(function: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    """Arrays of floats can hold what is traced."""

    def made(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        if isinstance(result, np.ndarray) and result.dtype == object:
            return from_objects(result)
        return with_room(result, tape)

    return made


def with_room(array: Any, tape: Tape) -> Any:
    """A new array of floats as a traced one, which is fixed as yet."""
    if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim:
        return make(array, np.zeros(array.shape, int), tape)
    return array


def _array(function: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    def made(items: Any, *arguments: Any, **options: Any) -> Any:
        if not found([items]):
            result = function(items, *arguments, **options)
            return with_room(result, tape) if function is np.array or result is not items else result
        result = operand(items)
        return result.copy() if function is np.array else result

    return made


def _conversion(kind: type) -> Callable[..., Any]:
    def convert(x: Any = 0.0, /) -> Any:
        if not isinstance(x, Traced):
            return kind(x)
        return x if kind is float else x.astype(kind)

    return convert


def _math_namespace() -> types.SimpleNamespace:
    names = {name: getattr(math, name) for name in dir(math) if not name.startswith("__")}
    functions = {name: _stand_in(f) for name, f in names.items() if callable(f)}
    return types.SimpleNamespace(**(names | functions))


def _stand_in(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        arity = len(dual.row_of(function).arguments)
    except DerivativeError:
        arity = None

    def stand_in(*arguments: Any, **options: Any) -> Any:
        arguments = tuple(list(a) if isinstance(a, Iterator) else a for a in arguments)
        if not found((*arguments, *options.values())):
            return function(*arguments, **options)
        if arity is None or arity != len(arguments):
            return opaque(function, arguments, options)
        return by_row(function, arguments)

    return stand_in


def _special(own: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """A special function: by its row, if it has one; one of arrays, of everything that it gets."""
    row, of_arrays = rules.recorded(own), rules.is_of_arrays(own)

    def stand_in(*arguments: Any, **options: Any) -> Any:
        as_it_is = isinstance(theirs, np.ufunc) or of_arrays
        function = theirs if as_it_is else np.vectorize(own)
        if not found((*arguments, *options.values())):
            return function(*arguments, **options)
        if options or of_arrays:
            return opaque(function, arguments, options)
        if row is None:
            return apply(function, nonlinear(len(arguments)), arguments)
        return apply(function, order_of(row), arguments, row.name)

    return stand_in
