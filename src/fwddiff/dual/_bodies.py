"""Functions of ours in plain Python (`fwddiff.special`) on dual numbers, element by element.

Their code is run with `math`, and the functions that it names, replaced by what takes duals.
"""

from __future__ import annotations

import functools
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff import rules
from fwddiff.dual import _chain, _log_sums
from fwddiff.dual._made import holds_dual
from fwddiff.dual._math import math_namespace
from fwddiff.dual._number import max_level
from fwddiff.dual._parts import Operand, level_of, make, terms, value_at

_PACKAGE = "fwddiff.special"


def stand_in(own: Callable, plain: Callable) -> Callable:
    """`own`, one of our functions, on duals and on plain numbers and arrays, for which `plain` computes if it
    is a ufunc."""
    row = rules.recorded(own)
    if rules.is_of_arrays(own):
        return _of_arrays(own, plain)

    @functools.wraps(own)
    def on_anything(*arguments: Operand, **named: Operand) -> Any:
        if max_level([*arguments, *named.values()]) < 0:
            return plain(*arguments, **named) if isinstance(plain, np.ufunc) else _each(own, arguments, named)
        if row is None or named:
            return _each(on_duals(own), arguments, named)
        return _chain.apply(row, functools.partial(_chain.call, row), arguments)

    return on_anything


def _of_arrays(own: Callable, plain: Callable) -> Callable:
    on_duals = _log_sums.FORMS[own.__name__]

    @functools.wraps(own)
    def on_anything(*arguments: Any, **named: Any) -> Any:
        given = (*arguments, *named.values())
        return (on_duals if any(map(holds_dual, given)) else plain)(*arguments, **named)

    return on_anything


@_chain.runs_code
def by_code(row: rules.Row, arguments: tuple[Operand, ...]) -> Operand:
    """A row's function by its code, whose derivatives are the row's; the value is the row's own, and so are
    slopes that a record keeps as texts."""
    assert row.body is not None
    apart = row.record.apart if row.record is not None else ()
    level = max(map(level_of, arguments))
    fixed = [value_at(a, level) for a in arguments]
    by_core = [fixed[k] if k in apart else a for k, a in enumerate(arguments)]
    found = _each(on_duals(row.body), tuple(by_core), {})
    if row.record is None or not (row.record.scipy_value or apart):
        return found
    count = len(next(a for a in arguments if level_of(a) == level).partials)
    own = _chain.call(row, *[a if k in apart else fixed[k] for k, a in enumerate(arguments)])
    parts = list(terms(found, level, count))
    if level_of(own) == level:
        parts = [a + b for a, b in zip(parts, terms(own, level, count), strict=True)]
    return make(value_at(own, level), parts, level)


def element_by_element(function: Callable) -> Callable:
    """A function of numbers, duals among them, on arrays of such too."""
    return functools.wraps(function)(lambda *arguments, **named: _each(function, arguments, named))


def _each(function: Callable, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Of arrays: element by element, broadcast."""
    shape = np.broadcast_shapes(*map(np.shape, (*arguments, *named.values())))
    if not shape:
        return function(*arguments, **named)
    wide = [np.broadcast_to(a, shape) if np.ndim(a) else a for a in (*arguments, *named.values())]
    results = []
    for index in np.ndindex(shape):
        element = [a[index] if np.ndim(a) else a for a in wide]
        given = dict(zip(named, element[len(arguments) :], strict=True))
        results.append(function(*element[: len(arguments)], **given))
    if isinstance(results[0], tuple):
        return tuple(_array(column, shape) for column in zip(*results, strict=True))
    return _array(results, shape)


def _array(elements: Any, shape: tuple[int, ...]) -> Any:
    return np.reshape(np.stack(list(elements)), shape)


@functools.cache
def _space(module: str) -> dict[str, Any]:
    """The names of a module of ours, as they are for duals."""
    space: dict[str, Any] = {"float": lambda x: x}
    for name, value in vars(sys.modules[module]).items():
        space[name] = _meant(value)
    return space


def _meant(value: Any) -> Any:
    if value is math:
        return math_namespace()
    if isinstance(value, types.FunctionType):
        if rules.recorded(value):
            return stand_in(value, value)
        if value.__module__ == "fwddiff._special":  # rows of the table
            return _chain.differentiable(value)
        if (value.__module__ or "").startswith(_PACKAGE):
            return lambda *arguments, **named: on_duals(value)(*arguments, **named)  # others may name it
    return value


@functools.cache
def on_duals(function: Any) -> Callable:
    """The function on numbers that may be duals."""
    space = _space(function.__module__)
    made = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made
