"""Numbers and arrays whose shapes and dtypes are known, and whose values are not.

An `Unknown` has an `example` of its shape and dtype: zero-strided ones, which NumPy is asked what it would
make of. A question about a value (`if x > 0`) goes to `choose`, which the outline provides; one that no
choice answers (`range(n)`, a mask as an index) raises `Unclear`.
"""

from __future__ import annotations

import contextvars
import functools
import math
import operator
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from fwddiff import _tree, rules
from fwddiff._errors import FwdDiffError
from fwddiff.dual import as_one_object, is_asked_by_sparse, is_sparse

choose: contextvars.ContextVar[Callable[[], bool]] = contextvars.ContextVar("choose")


class Unclear(FwdDiffError):
    """What the function returns depends on a value that is not known."""


# The size of what they return, or whether they return at all, depends on values.
_BY_VALUE = {
    *(np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.repeat, np.bincount),
    *(np.union1d, np.intersect1d, np.setdiff1d, np.trim_zeros, np.select, np.choose, np.piecewise),
    *(np.histogram, np.roots, np.digitize),
}
# Whose integers only count, never measure.
_OF_INTEGERS = {np.where, np.clip, np.sum, np.stack, np.concatenate, np.full_like, np.dot, np.copyto}
_LINEAR_ALGEBRA: dict[Any, Callable[..., Any]] = {
    np.linalg.inv: lambda a: a,
    np.linalg.pinv: lambda a: a.T,
    np.linalg.cholesky: lambda a: a,
    np.linalg.det: lambda a: a[..., 0, 0],
    np.linalg.slogdet: lambda a: (a[..., 0, 0], a[..., 0, 0]),
    np.linalg.solve: lambda a, b: b,
    np.linalg.eigvalsh: lambda a: a[..., 0],
    np.linalg.eigh: lambda a: (a[..., 0], a),
    np.linalg.matrix_power: lambda a, n: a,
}


def example(x: Any) -> Any:
    """Something of the same shape and dtype, for NumPy."""
    if isinstance(x, Unknown):
        return x.example
    if isinstance(x, list | tuple) and holds_unknown(x):
        return type(x)(map(example, x)) if type(x) in (list, tuple) else tuple(map(example, x))
    return x


def holds_unknown(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return any(map(holds_unknown, x))
    return isinstance(x, Unknown)


def unknown(example: Any) -> Any:
    """Of what NumPy returned: numbers and arrays as unknown ones, inside tuples and lists too."""
    if isinstance(example, tuple | list):
        return type(example)(map(unknown, example)) if type(example) in (tuple, list) else example
    if isinstance(example, np.ndarray):
        if example.dtype.kind not in "fiub":
            raise Unclear(f"it computes with an array of dtype {example.dtype}")
        return Unknown(np.broadcast_to(example.dtype.type(1), example.shape))
    return Unknown(type(example)(1)) if isinstance(example, float | int | np.number | np.bool_) else example


def _asked(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What `function` makes of things of these shapes and dtypes."""
    given = [example(a) for a in arguments]
    with np.errstate(all="ignore"):
        return unknown(function(*given, **{name: example(o) for name, o in options.items()}))


def _binary(function: Callable[[Any, Any], Any]) -> tuple[Callable, Callable, Callable]:
    def forward(self: Unknown, other: Any) -> Any:
        return _asked(function, self, other) if _is_operand(other) else NotImplemented

    def reflected(self: Unknown, other: Any) -> Any:
        return _asked(function, other, self) if _is_operand(other) else NotImplemented

    def in_place(self: Unknown, other: Any) -> Any:
        found = forward(self, other)
        if found is NotImplemented or not self.shape:
            return found
        self[...] = found
        return self

    return forward, reflected, in_place


def _is_operand(x: Any) -> bool:
    return isinstance(x, Unknown | float | int | np.generic | np.ndarray | list | tuple) or is_sparse(x)


def _unary(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: _asked(function, self)


class Unknown:
    """A number or an array of which only shape and dtype are known."""

    __slots__ = ("example",)

    def __init__(self, example: Any):
        self.example = example

    # --- NumPy ----------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        found = _asked(getattr(ufunc, method), *inputs, **options)
        if out is None:
            return found
        target = out[0] if isinstance(out, tuple) else out
        if not isinstance(target, Unknown):
            raise Unclear("it writes into an array whose numbers are known")
        target[...] = found
        return target

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        given = (*arguments, *options.values())
        if function in _BY_VALUE or (function is np.where and len(given) == 1):
            raise Unclear(f"it calls numpy.{function.__name__}, whose result's size depends on values")
        if function in _LINEAR_ALGEBRA:
            return unknown(_LINEAR_ALGEBRA[function](*map(np.asarray, map(example, arguments))))
        if function not in _OF_INTEGERS and any(_is_integer(x) for x in given):
            raise Unclear(f"it calls numpy.{function.__name__} with an integer that is not known")
        return _asked(function, *arguments, **options)

    def __array__(self, *_: Any, **__: Any) -> Any:
        if is_asked_by_sparse(sys._getframe(1)):
            return as_one_object(self)
        raise Unclear("it makes an array of numbers that are not known, or hands them to a library")

    def __getattr__(self, name: str) -> Any:
        method = getattr(np.asarray(self.example), name)  # an AttributeError is the user's
        if not callable(method):
            return unknown(method)
        if name == "tolist":
            return lambda: [x.tolist() if x.shape else x for x in self] if self.shape else self
        if name in ("repeat", "nonzero", "compress", "choose"):
            raise Unclear(f"it calls .{name}, whose result's size depends on values")
        if name == "fill":
            return lambda value: None
        if name == "item":
            return lambda *index: self[index] if index else unknown(np.asarray(self.example).reshape(-1)[0])
        return lambda *arguments, **options: _asked(method, *arguments, **options)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.example)

    @property
    def ndim(self) -> int:
        return np.ndim(self.example)

    @property
    def size(self) -> int:
        return np.size(self.example)

    @property
    def dtype(self) -> np.dtype:
        return np.asarray(self.example).dtype

    @property
    def T(self) -> Any:
        return unknown(np.transpose(self.example))

    @property
    def real(self) -> Any:
        return self

    @property
    def flat(self) -> Iterator[Any]:
        return iter(unknown(np.ravel(self.example)))

    def is_integer(self) -> Any:
        return Unknown(True)

    # --- a container ----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.example)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        return unknown(self.example[_index(index)])

    def __setitem__(self, index: Any, item: Any) -> None:
        np.broadcast_to(np.asarray(example(item)), np.shape(self.example[_index(index)]))

    # --- values ---------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        if self.size != 1:
            return bool(np.ones(self.shape, bool))  # NumPy's own error
        return choose.get()()

    def _value(self, *_: Any) -> Any:
        raise Unclear("it uses a number that is not known as a size, a count or an index")

    __index__ = __int__ = _value

    def __float__(self) -> float:
        raise Unclear("it hands a number that is not known to float(), or to a library")

    def __floor__(self) -> Any:
        return Unknown(1)

    __ceil__ = __trunc__ = __floor__

    def __round__(self, digits: Any = None) -> Any:
        return Unknown(1) if digits is None else self

    def __format__(self, specification: str) -> str:
        return "?"

    __repr__ = __str__ = lambda self: "?"
    __hash__ = None  # type: ignore[assignment]

    __add__, __radd__, __iadd__ = _binary(operator.add)
    __sub__, __rsub__, __isub__ = _binary(operator.sub)
    __mul__, __rmul__, __imul__ = _binary(operator.mul)
    __truediv__, __rtruediv__, __itruediv__ = _binary(operator.truediv)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _binary(operator.floordiv)
    __mod__, __rmod__, __imod__ = _binary(operator.mod)
    __pow__, __rpow__, __ipow__ = _binary(operator.pow)
    __matmul__, __rmatmul__, __imatmul__ = _binary(operator.matmul)
    __and__, __rand__, __iand__ = _binary(operator.and_)
    __or__, __ror__, __ior__ = _binary(operator.or_)
    __xor__, __rxor__, __ixor__ = _binary(operator.xor)
    __lshift__, __rlshift__, __ilshift__ = _binary(operator.lshift)
    __rshift__, __rrshift__, __irshift__ = _binary(operator.rshift)
    __lt__, __le__ = _binary(operator.lt)[0], _binary(operator.le)[0]
    __gt__, __ge__ = _binary(operator.gt)[0], _binary(operator.ge)[0]
    __eq__, __ne__ = _binary(operator.eq)[0], _binary(operator.ne)[0]  # type: ignore[assignment]
    __neg__, __pos__, __invert__ = _unary(operator.neg), _unary(operator.pos), _unary(operator.invert)
    __abs__ = _unary(abs)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self


def _is_integer(x: Any) -> bool:
    return isinstance(x, Unknown) and not x.shape and x.dtype.kind in "iu"


def _index(index: Any) -> Any:
    """An index for the example: unknown integers pick any element, so any will do."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, slice):
        if any(isinstance(part, Unknown) for part in (index.start, index.stop, index.step)):
            raise Unclear("it takes a slice whose bounds are not known")
        return index
    if isinstance(index, Unknown):
        if index.dtype.kind == "b":
            raise Unclear("it picks elements by a mask, so their number depends on values")
        return np.zeros(index.shape, int) if index.shape else 0
    return index


# --- what takes the place of functions that would ask for values -------------------------------------------

_INTEGERS = ("floor", "ceil", "trunc", "comb", "factorial", "gcd", "isqrt", "lcm", "perm")
_TRUTHS = ("isnan", "isinf", "isfinite", "isclose")
_PAIRS = {"modf": (1.0, 1.0), "frexp": (1.0, 1)}


def _of_math(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    result = 1 if name in _INTEGERS else True if name in _TRUTHS else _PAIRS.get(name, 1.0)

    def stand_in(*arguments: Any, **options: Any) -> Any:
        # Iterators are opened, because the function would.
        arguments = tuple(list(a) if isinstance(a, Iterator) else a for a in arguments)
        if holds_unknown(arguments) or holds_unknown(tuple(options.values())):
            return unknown(result)
        return function(*arguments, **options)

    return stand_in


def special(own: Callable, theirs: Callable) -> Callable[..., Any]:
    """One of our functions of numbers, which never raises, or of arrays."""
    if rules.is_of_arrays(own):
        return functools.partial(_asked, theirs)
    return functools.partial(_asked, np.vectorize(own))


math_namespace = SimpleNamespace(
    **{
        name: _of_math(name, value) if callable(value) else value
        for name, value in vars(math).items()
        if not name.startswith("__")
    }
)


def conversion(kind: type) -> Callable[..., Any]:
    """`float(x)`, `int(x)`, `np.float32(x)`, `bool(x)` of numbers that are not known."""

    def convert(x: Any = 0, *arguments: Any) -> Any:
        if isinstance(x, Unknown) and not x.shape:
            return choose.get()() if kind is bool else Unknown(kind(1))
        return kind(x, *arguments)

    return convert


def new_array(function: Callable[..., Any]) -> Callable[..., Any]:
    """`np.zeros` and its like: of floats, the array may be filled with what is not known."""

    def made(*arguments: Any, **options: Any) -> Any:
        found = function(*map(_sized, arguments), **{name: _sized(o) for name, o in options.items()})
        return unknown(found) if found.dtype.kind == "f" else found

    return made


def _sized(x: Any) -> Any:
    if _is_integer(x) or (isinstance(x, tuple) and any(map(_is_integer, x))):
        raise Unclear("it makes an array whose size is not known")
    return example(x)


def array(function: Callable[..., Any]) -> Callable[..., Any]:
    """`np.array` and its like of nested lists of numbers that are not known."""

    def made(items: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(items, Iterator):
            items = list(items)
        if not holds_unknown(items):
            return function(items, *arguments, **options)
        return _asked(function, items, *arguments, **options)

    return made


def foreign_call(wrapped: Any) -> Callable:
    """A function that is written for a framework: its rule looks after duals, and knows shapes."""

    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = _tree.flatten((args, kwargs))
        if not any(isinstance(leaf, Unknown) for leaf in leaves):
            return wrapped(*args, **kwargs)
        args, kwargs = _tree.unflatten(spec, [example(leaf) for leaf in leaves])
        return _tree.map_leaves(unknown, *wrapped.whole.outline(*args, **kwargs))

    return call
