"""Buffers that functions write into, which have room for derivatives where these are taken.

A NumPy array holds floats, so a function that writes into an array from outside cannot be differentiated: the
partials have no place. A `DiffCache` stands for such an array. `get_tmp(cache, x)` is the array itself in a
plain call, and inside a derivative an array of the same shape with the partials of every derivative that is
being taken, as PreallocationTools.jl has it. Compiled functions take memory of their own instead.

What a buffer holds when an evaluation begins is no result of earlier ones: each starts from the cache's
`start`. Two calls for one cache within an evaluation give the same memory; evaluations inside each other, and
threads, have memory of their own.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from fwddiff import _nesting, dual
from fwddiff._errors import ArgumentError, ShapeError

Shape = tuple[int, ...]
KEY = "fwddiff: buffer"
_numbers = itertools.count()


class Buffers:
    """What both kinds of cache share: per thread, memory by depth of evaluation, levels, shape and dtype.

    `key` is text that stands for the cache where only text can be kept.
    """

    alive: ClassVar[weakref.WeakValueDictionary[str, Buffers]] = weakref.WeakValueDictionary()

    def __init__(self) -> None:
        self._own = threading.local()
        self.key = f"{KEY} {next(_numbers)}"
        self.alive[self.key] = self

    def form(self) -> tuple:
        """All that compiled code, or a plan, depends on."""
        raise NotImplementedError

    def _memory(self, depth: int, levels: dict[int, int], shape: Shape, dtype: np.dtype) -> Any:
        """Memory of this thread, which is made once."""
        known: Any = vars(self._own)
        key = depth, shape, dtype, *sorted(levels.items())
        if key not in known:
            known[key] = dual.with_levels(np.empty(shape, dtype), levels)
        return known[key]

    def _in_evaluation(self, room: dual.Room, x: Any, shape: Shape, dtype: np.dtype, start: float) -> Any:
        """The buffer of the evaluation that is going on, `start` throughout when it is first asked for."""
        levels = room.levels | _levels(x)
        key = self, shape, dtype, *levels
        if key not in room.buffers:
            buffer = self._memory(_nesting.depth(), levels, shape, dtype)
            dual.restart(buffer, start)
            room.buffers[key] = buffer
        return room.buffers[key]


class DiffCache(Buffers):
    """A buffer that may be written into where derivatives are taken: `buffer = fd.get_tmp(cache, x)`.

    Args:
        array: A NumPy array of float64 or float32. Plain calls of the thread that made the cache write into
            this very array; other threads have arrays of their own.

    In a derivative, and in a call from a framework, a buffer starts with the number that `array` had
    throughout when the cache was made (`np.zeros(n)`), and with nan if it had several (as `np.empty(n)` may):
    write an element before you read it. A float64 buffer takes the precision of the function's arguments
    there, as `np.zeros(n)` does.

    A cache that a function captures is no input: its numbers have no derivative and no framework sees it. It
    may be an argument, an attribute, or a field of a struct as well.

    Raises:
        ArgumentError: `array` is not a NumPy array of real floats, or is read-only.
    """

    def __init__(self, array: np.ndarray):
        super().__init__()
        refuse_unwritable(array, "DiffCache")
        self.array = array
        self.start = _start(array)
        self._thread = threading.get_ident()

    def plain(self) -> np.ndarray:
        """The buffer of a call without derivatives."""
        if threading.get_ident() == self._thread:
            return self.array
        known: Any = vars(self._own)
        if "plain" not in known:
            known["plain"] = np.full_like(self.array, self.start)
        return known["plain"]

    def buffer(self, x: Any) -> Any:
        """See `get_tmp`."""
        room = dual.room_now()
        if room is None:
            levels = _levels(x)
            array = self.array
            return self._memory(0, levels, array.shape, array.dtype) if levels else self.plain()
        return self._in_evaluation(room, x, self.array.shape, _dtype(self.array.dtype, room), self.start)

    def form(self) -> tuple:
        return self.array.shape, self.array.dtype.name, self.start

    def __reduce__(self) -> Any:
        return DiffCache, (self.array.copy(),), {"start": self.start}

    def __repr__(self) -> str:
        return f"DiffCache({self.array.dtype}{list(self.array.shape)})"


class LazyBufferCache(Buffers):
    """Buffers whose shapes follow from those of what they are asked for: `fd.get_tmp(cache, x)`.

    Args:
        size: A function from the shape of `x`, a tuple, to that of the buffer (an int is a shape of one
            axis). Without it, buffers have the shape of `x`.

    There is one buffer for each shape and dtype of `x`, made when first asked for; integers get float64. In a
    derivative it starts with nan in each evaluation. Functions with such a cache run as Python: shapes are
    not known where a kernel is compiled. With `fd.DiffCache` they are compiled.
    """

    def __init__(self, size: Callable[[Shape], int | Sequence[int]] | None = None):
        super().__init__()
        if size is not None and not callable(size):
            raise ArgumentError(
                f"LazyBufferCache takes a function from shapes to shapes, not {size!r}. For a buffer of a "
                "known size use fd.DiffCache(np.empty(n))."
            )
        self.size = size

    def shape_for(self, x: Any) -> Shape:
        """Shape of the buffer for `x`."""
        given = np.shape(dual.strip(x))
        found: Any = given if self.size is None else self.size(given)
        try:
            shape = (int(found),) if np.ndim(found) == 0 else tuple(map(int, found))
        except (TypeError, ValueError):
            shape = (-1,)
        if any(n < 0 for n in shape):
            raise ShapeError(
                f"the size function of a LazyBufferCache made {found!r} of {given}: not a shape."
            )
        return shape

    def buffer(self, x: Any) -> Any:
        """See `get_tmp`."""
        plain = dual.strip(x)
        if isinstance(plain, list | tuple | dict) or (not hasattr(plain, "dtype") and not _is_number(plain)):
            raise ArgumentError(
                f"a LazyBufferCache needs a number or an array, whose shape its buffer follows, not a "
                f"{type(plain).__name__}."
            )
        shape, room, dtype = self.shape_for(x), dual.room_now(), np.asarray(plain).dtype
        dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
        if room is None:
            return self._memory(0, _levels(x), shape, dtype)
        return self._in_evaluation(room, x, shape, _dtype(dtype, room), np.nan)

    def form(self) -> tuple:
        return (self.size,)

    def __reduce__(self) -> Any:
        return LazyBufferCache, (self.size,)

    def __repr__(self) -> str:
        return f"LazyBufferCache({'' if self.size is None else self.size})"


def sharing(leaves: Iterable[Any]) -> tuple[int, ...]:
    """Which caches among these are the same, as numbers: calls that differ there are different calls. A call
    with other caches of the same form is not."""
    found = [leaf for leaf in leaves if isinstance(leaf, Buffers)]
    return tuple([next(k for k, other in enumerate(found) if other is leaf) for leaf in found])


def get_tmp(cache: DiffCache | LazyBufferCache, x: Any) -> Any:
    """The buffer of `cache` for a computation with `x`.

    Args:
        cache: Made outside of the function.
        x: What the function computes with: a number, an array, or a struct of them. It decides whether the
            buffer needs room for derivatives, and the shape of that of a `LazyBufferCache`.

    Returns:
        The cache's own array in a plain call; inside a derivative an array of the same shape that holds
        numbers with derivatives. It is valid until the evaluation ends, and belongs to the calling thread.

    Raises:
        ArgumentError: `cache` is no cache, or `x` holds an array of a framework: wrap the function, which
            then gets plain numbers.
    """
    if not isinstance(cache, Buffers):
        raise ArgumentError(
            f"get_tmp takes the buffer from a fd.DiffCache or fd.LazyBufferCache, not from a "
            f"{type(cache).__name__}: make it once, outside of the function: fd.DiffCache(np.empty(n))."
        )
    _refuse_foreign(x)
    return cache.buffer(x)  # type: ignore[attr-defined]


def refuse_unwritable(array: Any, what: str) -> None:
    """Raises where this is no array to write numbers with derivatives into."""
    if not isinstance(array, np.ndarray):
        raise ArgumentError(
            f"{what} takes a NumPy array, such as np.empty(8), not a {type(array).__name__}, made once, "
            "outside of the function that is differentiated."
        )
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8) or not array.dtype.isnative:
        raise ArgumentError(
            f"{what} takes an array of float64 or float32, not of {array.dtype}, in which derivatives have "
            "no place. Integers need no buffer: make such an array inside the function."
        )
    if not array.flags.writeable:
        raise ArgumentError(
            f"{what} takes an array that can be written to, and this one is read-only, as arrays are that "
            "a function refers to while it is differentiated: there, take a fd.DiffCache."
        )


def _start(array: np.ndarray) -> float:
    """The one number in an array; nan where there are several, which nobody can mean to be kept."""
    first = float(array.flat[0]) if array.size else np.nan
    return first if np.all(array == first) else np.nan


def _dtype(own: np.dtype, room: dual.Room) -> np.dtype:
    """float64 is what NumPy makes when it is told nothing: it gives way to the arguments."""
    return np.dtype(room.dtype or own) if own == np.float64 else own


def _is_number(x: Any) -> bool:
    return isinstance(x, float | int)


def _levels(x: Any) -> dict[int, int]:
    """Count of partials by level in a number, an array or a container."""
    if isinstance(x, list | tuple | dict):
        found: dict[int, int] = {}
        for part in x.values() if isinstance(x, dict) else x:
            found |= _levels(part)
        return found
    return dual.levels(x)


def _refuse_foreign(x: Any) -> None:
    if isinstance(x, float | int | np.ndarray | np.generic | dual.Dual):
        return
    if isinstance(x, list | tuple | dict):
        for part in x.values() if isinstance(x, dict) else x:
            _refuse_foreign(part)
    elif hasattr(x, "dtype") or hasattr(type(x), "__array__"):
        raise ArgumentError(
            f"get_tmp: x is a {type(x).__name__}, whose derivatives a NumPy buffer cannot hold. Call the "
            "function through fwddiff(f), which hands it numbers and NumPy arrays."
        )
