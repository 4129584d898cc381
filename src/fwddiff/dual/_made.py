"""Arrays that a function makes while it runs on duals: they have room for partials from the start.

`np.zeros(k)` says nothing of what will be stored. Inside `room(...)` it is an array of duals of all levels
that the evaluation has, whose partials are structurally zero until one is written.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fwddiff.dual._parts import Operand, Parts, build, formed, level_of, levels, strip


class Room(NamedTuple):
    """Count of partials by level, of all evaluations around this one; dtype of `np.zeros(k)`; the user's
    buffers that this one has begun to use; whether the function catches exceptions."""

    levels: dict[int, int]
    dtype: Any
    buffers: dict[Any, Operand]
    catches: bool = False


_room: contextvars.ContextVar[Room | None] = contextvars.ContextVar("room", default=None)


@contextlib.contextmanager
def room(leaves: Sequence[Any], dtype: np.dtype, catches: bool = False) -> Iterator[Room]:
    """Arrays made in here have room for the partials of these leaves; `dtype` is that of `np.zeros(k)`.
    `catches`: divisions of numbers by zero raise."""
    around = _room.get()
    counts = dict(around.levels) if around else {}
    for leaf in leaves:
        counts |= levels(leaf)
    made = Room(counts, dtype, {}, catches)
    token = _room.set(made)
    try:
        yield made
    finally:
        _room.reset(token)


def room_now() -> Room | None:
    """That of the innermost evaluation that is going on."""
    return _room.get()


def _dtype_now() -> Any:
    found = _room.get()
    return found and found.dtype


def with_room(array: Any) -> Operand:
    """A new float array, or one of duals of some levels, as one of duals of all; other things as they are."""
    found, plain = _room.get(), strip(array)
    if found is None or not isinstance(plain, np.ndarray) or plain.dtype.kind != "f" or not plain.ndim:
        return array
    if array is plain:
        return with_levels(array, found.levels)
    own = levels(array)
    return array if found.levels.keys() <= own.keys() else formed(array, found.levels | own)


def with_levels(array: np.ndarray, counts: dict[int, int]) -> Operand:
    """A float array as one of duals of these levels, which depends on no seed."""
    return _with_levels(array, sorted(counts.items()))


def restart(array: Operand, number: float) -> None:
    """Fill an array of duals with a number that depends on no seed, as if it were new."""
    if isinstance(array, Parts):
        restart(array.value, number)
        for partial in array.partials:
            restart(partial, -0.0)
        array.depends[:] = [False] * len(array.depends)
    else:
        array.fill(number)


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
            options["dtype"] = _dtype_now()
        return with_room(function(*arguments, **options))

    return made


def _dtype_of(number: Any) -> Any:
    """That of an array full of this number; Python's own floats have the dtype of `np.zeros(k)`."""
    if isinstance(number, float) and not isinstance(number, np.floating):
        return _dtype_now()
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
            return items if function is np.asarray or strip(items).ndim == 0 else with_room(items.copy())
        if isinstance(items, list | tuple) and holds_dual(items):
            return stacked(items)
        return (
            with_room(function(items, *arguments, **options))
            if function is np.array
            else function(items, *arguments, **options)
        )

    return made


def holds_dual(items: Any) -> bool:
    """Whether this is a dual, or a nested list of which one is."""
    if isinstance(items, list | tuple):
        return any(map(holds_dual, items))
    return level_of(items) >= 0


def stacked(items: Any) -> Operand:
    """Nested lists of numbers, duals among them, as an array; anything else as it is."""
    return np.stack([stacked(i) for i in items]) if isinstance(items, list | tuple) and items else items


def creators() -> dict[Any, Callable]:
    """NumPy's functions that make arrays, and what stands for them."""
    found: dict[Any, Callable] = {f: _creator(f, 1) for f in (np.zeros, np.ones, np.empty)}
    found |= {f: _like(f) for f in (np.zeros_like, np.ones_like, np.empty_like, np.copy)}
    found |= {f: _array(f) for f in (np.array, np.asarray)}
    return found | {np.full: _full, np.full_like: _full_like}
