"""`Dual`: numbers and arrays with partials, as Python and NumPy code meets them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from fwddiff._errors import DerivativeError
from fwddiff.dual._building import building_handlers
from fwddiff.dual._chain import differentiable, row_of
from fwddiff.dual._ignored import refuse_ignored
from fwddiff.dual._matrices import matrix_handlers
from fwddiff.dual._number import Number, lost
from fwddiff.dual._parts import Operand, Parts, is_constant, level_of, map_parts, strip, terms, value_at
from fwddiff.dual._rearranging import rearranging_handlers
from fwddiff.dual._reductions import is_by_value, reduction_handlers
from fwddiff.dual._scipy import is_sparse
from fwddiff.dual._shapes import CREATORS, as_floating, multilinear, refuse_options, shape_handlers
from fwddiff.dual._statistics import statistics_handlers
from fwddiff.dual._ufuncs import call_ufunc, copy_to


@cache
def _handlers() -> dict[Any, Callable[..., Any]]:
    own = shape_handlers() | reduction_handlers() | statistics_handlers()
    own |= matrix_handlers() | building_handlers() | rearranging_handlers()
    return own | {np.copyto: copy_to}


class Dual(Number):
    """A value (number, float array or dual of a lower level) and its K partials, alike in shape and dtype.

    `level` tells the derivative call they belong to; see `fwddiff.dual._parts`. Make them with
    `fwddiff.dual.make`. Operators, NumPy functions and the methods of arrays give duals where a derivative
    exists, plain results where it is zero everywhere (comparisons, indices, integers), and raise
    `DerivativeError` where it would be lost.
    """

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        refuse_ignored()
        arguments, options = _with_first(function, arguments, options)
        if not all(issubclass(t, Parts | np.ndarray) for t in types):
            return NotImplemented
        if function not in _handlers():
            if _are_constant((*arguments, *options.values())):
                options = {name: _plain(x) for name, x in options.items()}
                return function(*map(_plain, arguments), **options)
            if row_of(function):
                return differentiable(function)(*arguments, **options)
        if not is_by_value(function) and function not in CREATORS:
            refuse_options(function, arguments, options)
        return _handlers()[function](*arguments, **options)

    def __matmul__(self, other: Operand) -> Operand:
        if is_sparse(other):
            return multilinear(lambda part: part @ other, (as_floating(self),))
        return multilinear(np.matmul, (self, as_floating(other)))

    def __rmatmul__(self, other: Operand) -> Operand:
        if is_sparse(other):
            return multilinear(lambda part: other @ part, (as_floating(self),))
        return multilinear(np.matmul, (as_floating(other), self))

    # --- shape and items ------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(strip(self))

    @property
    def ndim(self) -> int:
        return np.ndim(strip(self))

    @property
    def size(self) -> int:
        return np.size(strip(self))

    @property
    def dtype(self) -> np.dtype:
        return (
            np.result_type(strip(self))
            if isinstance(strip(self), np.generic | np.ndarray)
            else np.dtype(float)
        )

    @property
    def T(self) -> Operand:
        return np.transpose(self)

    # --- methods of arrays ----------------------------------------------------------------------------------

    def sum(self, *arguments: Any, **options: Any) -> Operand:
        return np.sum(self, *arguments, **options)

    def mean(self, *arguments: Any, **options: Any) -> Operand:
        return np.mean(self, *arguments, **options)

    def prod(self, *arguments: Any, **options: Any) -> Operand:
        return np.prod(self, *arguments, **options)

    def max(self, *arguments: Any, **options: Any) -> Operand:
        return np.max(self, *arguments, **options)

    def min(self, *arguments: Any, **options: Any) -> Operand:
        return np.min(self, *arguments, **options)

    def var(self, *arguments: Any, **options: Any) -> Operand:
        return np.var(self, *arguments, **options)

    def std(self, *arguments: Any, **options: Any) -> Operand:
        return np.std(self, *arguments, **options)

    def cumsum(self, *arguments: Any, **options: Any) -> Operand:
        return np.cumsum(self, *arguments, **options)

    def cumprod(self, *arguments: Any, **options: Any) -> Operand:
        return np.cumprod(self, *arguments, **options)

    def clip(self, *arguments: Any, **options: Any) -> Operand:
        return np.clip(self, *arguments, **options)

    def dot(self, other: Operand) -> Operand:
        return np.dot(self, other)

    def trace(self, *arguments: Any, **options: Any) -> Operand:
        return np.trace(self, *arguments, **options)

    def reshape(self, *shape: Any, order: Any = "C") -> Operand:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def ravel(self, order: Any = "C") -> Operand:
        return np.ravel(self, order)

    def flatten(self, order: Any = "C") -> Operand:
        return np.ravel(self, order).copy()

    def repeat(self, repeats: Any, axis: int | None = None) -> Operand:
        return np.repeat(self, repeats, axis)

    def take(self, indices: Any, axis: int | None = None) -> Operand:
        return np.take(self, indices, axis)

    def diagonal(self, *arguments: Any, **options: Any) -> Operand:
        return np.diagonal(self, *arguments, **options)

    def squeeze(self, axis: Any = None) -> Operand:
        return np.squeeze(self, axis)

    def transpose(self, *axes: Any) -> Operand:
        order = axes[0] if len(axes) == 1 else axes
        return np.transpose(self, order or None)

    def swapaxes(self, a: int, b: int) -> Operand:
        return np.swapaxes(self, a, b)

    def argmax(self, *arguments: Any, **options: Any) -> Any:
        return np.argmax(self, *arguments, **options)

    def argmin(self, *arguments: Any, **options: Any) -> Any:
        return np.argmin(self, *arguments, **options)

    def argsort(self, *arguments: Any, **options: Any) -> Any:
        return np.argsort(self, *arguments, **options)

    def nonzero(self) -> Any:
        return np.nonzero(self)

    def any(self, *arguments: Any, **options: Any) -> Any:
        return np.any(self, *arguments, **options)

    def all(self, *arguments: Any, **options: Any) -> Any:
        return np.all(self, *arguments, **options)

    def round(self, decimals: int = 0) -> Operand:
        return np.round(self, decimals)

    def item(self, *index: int) -> Operand:
        if not index and self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return map_parts(lambda part: np.asarray(part).ravel()[0] if not index else part[index], self)

    def copy(self) -> Operand:
        return map_parts(lambda part: np.array(part) if isinstance(part, np.ndarray) else part, self)

    def astype(self, dtype: Any, **_: Any) -> Operand:
        """The same in another float dtype (`float` means float64); steps of integers are refused."""
        if np.dtype(dtype).kind != "f":
            raise lost(f"astype({np.dtype(dtype)})", "use a float dtype, or int(x) of single numbers.")
        return map_parts(lambda part: np.asarray(part).astype(dtype)[()], self)


class DualArray(Dual):
    """A dual whose value is an array: a container, whose items can be read, replaced and iterated over."""

    __slots__ = ()

    @property
    def flat(self) -> Operand:
        return np.ravel(self)

    def __len__(self) -> int:
        return len(strip(self))

    def __iter__(self) -> Iterator[Operand]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Operand:
        return map_parts(lambda part: part[index], self)

    def __setitem__(self, index: Any, item: Any) -> None:
        if isinstance(item, list | tuple) and any(isinstance(x, Parts) for x in item):
            item = np.stack(item)
        if level_of(item) > self.level:
            raise _no_room(item, f"an array of duals of level {self.level}")
        items = terms(item, self.level, len(self.partials))
        _write(self.value, index, value_at(item, self.level))
        for k, part in enumerate(self.partials):
            _write(part, index, -0.0 if type(items[k]) is int else items[k])
            self.depends[k] |= type(items[k]) is not int

    @property
    def nbytes(self) -> int:
        return strip(self).nbytes

    def searchsorted(self, *arguments: Any, **options: Any) -> Any:
        return np.searchsorted(self, *arguments, **options)

    def fill(self, item: Operand) -> None:
        self[...] = item

    def tolist(self) -> Any:
        return [x.tolist() if x.ndim else x for x in self]


def _with_first(function: Any, arguments: tuple, options: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """The first argument by position, also where it was given by name (`np.sum(a=x)`)."""
    if arguments or not options:
        return arguments, options
    first = next(iter(inspect.signature(function).parameters))
    if first not in options:
        return arguments, options
    return (options[first],), {name: x for name, x in options.items() if name != first}


def _are_constant(items: Any) -> bool:
    return all(_are_constant(x) if isinstance(x, list | tuple) else is_constant(x) for x in items)


def _plain(x: Any) -> Any:
    return type(x)(map(_plain, x)) if type(x) in (list, tuple) else strip(x)


def _write(part: Any, index: Any, item: Operand) -> None:
    if isinstance(part, np.ndarray) and isinstance(item, Parts):
        raise _no_room(item, "an array without derivatives of that level")
    part[index] = item


def _no_room(item: Any, what: str) -> DerivativeError:
    return DerivativeError(
        f"A dual of level {item.level} cannot be written into {what}: its derivative would be lost. "
        "Make the array from what it will hold, by numpy.zeros_like or numpy.stack; a buffer from outside is "
        "a fd.DiffCache."
    )
