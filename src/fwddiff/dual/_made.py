"""Arrays that a function makes while it runs on duals: they have room for partials from the start.

`np.zeros(k)` says nothing of what will be stored. Inside `room(...)` it is an array of duals of all levels
that the evaluation has, whose partials are structurally zero until one is written.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fwddiff.dual._parts import Operand, Parts, build, level_of, strip

# Count of partials by level, of all evaluations around this one.
_levels: contextvars.ContextVar[dict[int, int] | None] = contextvars.ContextVar("levels", default=None)
_dtype: contextvars.ContextVar[Any] = contextvars.ContextVar("dtype", default=None)


@contextlib.contextmanager
def room(leaves: Sequence[Any], dtype: np.dtype) -> Iterator[None]:
    """Arrays made in here have room for the partials of these leaves; `dtype` is that of `np.zeros(k)`."""
    levels = dict(_levels.get() or {})
    for leaf in leaves:
        while isinstance(leaf, Parts):
            levels[leaf.level] = len(leaf.partials)
            leaf = leaf.value
    tokens = _levels.set(levels), _dtype.set(dtype)
    try:
        yield
    finally:
        _levels.reset(tokens[0])
        _dtype.reset(tokens[1])


def with_room(array: Any) -> Operand:
    """A new float array as one of duals; other things as they are."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.ndim:
        return array
    return _with_levels(array, sorted((_levels.get() or {}).items()))


def _with_levels(array: np.ndarray, levels: list[tuple[int, int]]) -> Operand:
    if not levels:
        return array
    level, count = levels[-1]
    zeros = [_with_levels(np.full_like(array, -0.0), levels[:-1]) for _ in range(count)]
    return build(_with_levels(array, levels[:-1]), tuple(zeros), level, [False] * count)


def _creator(function: Callable, position: int) -> Callable:
    """`np.zeros` and its like; `position` is that of `dtype`."""

    def made(*arguments: Any, **options: Any) -> Operand:
        if len(arguments) <= position and options.get("dtype") is None:
            options["dtype"] = _dtype.get()
        return with_room(function(*arguments, **options))

    return made


def _dtype_of(number: Any) -> Any:
    """That of an array full of this number; Python's own floats have the dtype of `np.zeros(k)`."""
    if isinstance(number, float) and not isinstance(number, np.floating):
        return _dtype.get()
    return getattr(number, "dtype", None)


def _full(shape: Any, fill_value: Any, dtype: Any = None, **options: Any) -> Operand:
    if level_of(fill_value) < 0:
        return with_room(np.full(shape, fill_value, dtype or _dtype_of(fill_value), **options))
    out = with_room(np.empty(shape, dtype or _dtype_of(strip(fill_value)), **options))
    out[...] = fill_value
    return out


def _like(function: Callable) -> Callable:
    """`np.zeros_like` and its like, also of arrays without partials."""

    def made(a: Any, *arguments: Any, **options: Any) -> Operand:
        return with_room(function(a, *arguments, **options))

    return made


def _full_like(a: Any, fill_value: Any, *arguments: Any, **options: Any) -> Operand:
    if level_of(a) >= 0 or level_of(fill_value) < 0:
        return with_room(np.full_like(a, fill_value, *arguments, **options))
    out = with_room(np.empty_like(a, *arguments, **options))
    out[...] = fill_value
    return out


def _array(function: Callable) -> Callable:
    """`np.array` and its like: nested lists that hold duals are stacked."""

    def made(items: Any, *arguments: Any, **options: Any) -> Operand:
        if level_of(items) >= 0:
            return items if function is np.asarray or strip(items).ndim == 0 else items.copy()
        if isinstance(items, list | tuple) and _holds_dual(items):
            return _stacked(items)
        return (
            with_room(function(items, *arguments, **options))
            if function is np.array
            else function(items, *arguments, **options)
        )

    return made


def _holds_dual(items: Any) -> bool:
    if isinstance(items, list | tuple):
        return any(map(_holds_dual, items))
    return level_of(items) >= 0


def _stacked(items: Any) -> Operand:
    return np.stack([_stacked(i) if isinstance(i, list | tuple) else i for i in items])


def creators() -> dict[Any, Callable]:
    """NumPy's functions that make arrays, and what stands for them."""
    found: dict[Any, Callable] = {f: _creator(f, 1) for f in (np.zeros, np.ones, np.empty)}
    found |= {f: _like(f) for f in (np.zeros_like, np.ones_like, np.empty_like, np.copy)}
    found |= {f: _array(f) for f in (np.array, np.asarray)}
    return found | {np.full: _full, np.full_like: _full_like}
