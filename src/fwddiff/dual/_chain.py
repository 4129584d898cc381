"""The chain rule: each partial of f is Σ over arguments of ∂f/∂argument · that argument's partial."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np

from fwddiff._errors import DerivativeError
from fwddiff.dual._ignored import refuse_ignored
from fwddiff.dual._parts import (
    Operand,
    Parts,
    build,
    floating,
    independent,
    level_of,
    make,
    settled,
    strip,
    terms,
    value_at,
    zeros_like,
)
from fwddiff.rules import INTEGER_ARGUMENTS, SELECTIONS, TABLE, Row, close_to, is_current, meant_by, name_of

_rows_found: dict[Any, Row] = {}
_runs_code: list[Callable[[Row, tuple[Operand, ...]], Operand]] = []


def apply(row: Row, function: Callable[..., Operand], arguments: Sequence[Operand]) -> Operand:
    """`function(*arguments)` on duals, where `row` has the derivatives of `function`.

    `function` itself computes the value, so that errors and dtypes are its own (`math.log(0.0)` raises,
    `numpy.log` does not); where a value is a dual of a lower level, `function` comes back here.
    """
    refuse_ignored()
    level = max(map(level_of, arguments))
    pairs = zip(arguments, row.partials, strict=True)
    if any(text is None and level_of(argument) == level for argument, text in pairs):
        return _runs_code[0](row, tuple(arguments))
    values = [value_at(argument, level) for argument in arguments]
    y = function(*values)
    floating(strip(y))
    active = [i for i, a in enumerate(arguments) if level_of(a) == level]
    count = len(arguments[active[0]].partials)
    parts = [terms(arguments[i], level, count) for i in active]
    with np.errstate(all="ignore"):
        slopes = _slopes(row, values, y, active)
        results = [
            _total(_times(row, slope, a[k]) for slope, a in zip(slopes, parts, strict=True))
            for k in range(count)
        ]
    return make(y, results, level)


def runs_code(run: Callable[[Row, tuple[Operand, ...]], Operand]) -> Callable:
    """Decorator for the one function that runs a row's code on duals: it stands above this file, because
    code is made of the functions that stand on this one."""
    _runs_code[:] = [run]
    return run


def _slopes(row: Row, values: Sequence[Operand], y: Operand, active: Sequence[int]) -> list[Operand]:
    codes = compiled(row)
    integers = INTEGER_ARGUMENTS.get(row.name, ())
    inputs = [v if i in integers else _ieee(v) for i, v in enumerate(values)]
    names = _Names(zip(row.arguments, inputs, strict=True), y=_ieee(y))
    names.row = row
    return [eval(codes[i], {"__builtins__": {}}, names) for i in active]


@functools.cache
def compiled(row: Row) -> tuple[CodeType, ...]:
    """Code of the partial expressions of a row."""
    return tuple(
        compile(text or "0", f"<partial {i} of {row.name}>", "eval") for i, text in enumerate(row.partials)
    )


class _Names(dict):
    """The arguments and `y`, then `where`, `pi` and all rows by name: what the partial expressions of `row`
    refer to."""

    row: Row

    def __missing__(self, name: str) -> Any:
        if name in ("where", "pi"):
            return where if name == "where" else math.pi
        return functools.partial(call, self.row if name == self.row.name else TABLE[name])


def call(row: Row, *arguments: Operand) -> Operand:
    """The function of a row on duals, arrays and numbers, with the results of IEEE arithmetic."""
    if max(map(level_of, arguments)) < 0:
        return plain_function(row)(*arguments)
    return apply(row, functools.partial(call, row), arguments)


@functools.cache
def plain_function(row: Row) -> Callable[..., Operand]:
    """NumPy's form of a row's function, or else any form of it, looped over arrays."""
    for function in row.functions:
        if isinstance(function, np.ufunc):
            return function
    return functools.partial(_looped, row.functions[0])


def _looped(function: Callable[..., float], *arguments: Operand) -> Operand:
    if all(np.ndim(a) == 0 for a in arguments):
        return np.float64(function(*arguments))
    return np.vectorize(function, otypes=[np.float64])(*arguments)


def _ieee(x: Operand) -> Operand:
    """Python's numbers as NumPy's: 1/0 is then inf, where Python would raise within a derivative."""
    if isinstance(x, Parts):
        return build(_ieee(x.value), tuple(_ieee(p) for p in x.partials), x.level, x.depends)
    if isinstance(x, np.ndarray):
        return x if x.dtype.kind == "f" else x.astype(np.float64)
    return x if isinstance(x, np.floating) else np.float64(x)


def _times(row: Row, slope: Operand, partial: Operand) -> Operand:
    """Slope · partial, where the 0 of a selection drops even a partial that is nan or inf.

    Those are literal zeros, which stay integers, and the zeros of rows that only select. Where nothing
    depends on the seed (`independent`), any slope leaves it so. All other zeros are numbers like any other:
    at x = 0 the slope 0 of t**2 times the slope inf of t = sqrt(x) is nan, not 0.
    """
    if _is_nothing(slope) or _is_nothing(partial):
        return 0
    absent = independent(partial)
    if row.name in SELECTIONS:
        absent = absent | (strip(slope) == 0)
    if absent is True or absent is np.True_:
        return 0
    return settled(slope * partial, absent)


def _total(terms) -> Operand:
    return functools.reduce(lambda total, term: term if _is_nothing(total) else total + term, terms)


def _is_nothing(term: Operand) -> bool:
    return type(term) is int and term == 0


def where(condition: Operand, a: Operand, b: Operand) -> Operand:
    """`a` where the condition holds, `b` elsewhere; nothing of the one not taken is mixed in.

    A condition without axes picks one of the two as it is; an array condition broadcasts with both.
    """
    condition = strip(condition)
    if not isinstance(condition, np.ndarray):
        return a if condition else b
    level = max(level_of(a), level_of(b))
    if level < 0:
        return np.where(condition, a, b)
    count = len((a if level_of(a) == level else b).partials)
    chosen = where(condition, value_at(a, level), value_at(b, level))
    pairs = zip(terms(a, level, count), terms(b, level, count), strict=True)
    chosen_parts = [
        0 if _is_nothing(p) and _is_nothing(q) else where(condition, _present(p), _present(q))
        for p, q in pairs
    ]
    return make(chosen, chosen_parts, level)


def _present(term: Operand) -> Operand:
    return -0.0 if _is_nothing(term) else term


def locally_constant(function: Callable[..., Operand], x: Operand) -> Operand:
    """A step function of `x`: its value, with zero partials."""
    return zeros_like(x) + function(strip(x)) if isinstance(x, Parts) else function(x)


def row_of(function: Callable[..., Any]) -> Row:
    """The row of a callable of Python, NumPy or the user; `DerivativeError` if the table has none."""
    row = _rows_found.get(function)
    # `add_rule` replaces rows at run time: a row found earlier counts only while it is in the table.
    if row is None or not is_current(row):
        own = meant_by(function) or function
        row = next((row for row in TABLE.values() if own in row.functions), None)
        if row is None:
            raise missing(function)
        _rows_found[function] = row
    return row


def differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` for duals too, by its row in the table; plain arguments go to `function` itself.

    Raises `DerivativeError` when called with a dual if the table has no row for `function`.
    """

    @functools.wraps(function)
    def on_duals(*arguments: Operand) -> Operand:
        if max(map(level_of, arguments), default=-1) < 0:
            return function(*arguments)
        return apply(row_of(function), on_duals, arguments)

    return on_duals


def missing(function: Any) -> DerivativeError:
    """The error for a function without a derivative here."""
    name = getattr(function, "__name__", str(function))
    full = name_of(function)
    similar = close_to(name) if full.startswith("scipy.special") else []
    known = f" Of scipy.special there are {', '.join(similar)} and others." if similar else ""
    return DerivativeError(
        f"{full} has no derivative in the numpy engine.{known} Write it with functions that have one, give "
        "it a rule with "
        f"fwddiff.scalar_rule({full}, ...), or take it out of the differentiated function."
    )
