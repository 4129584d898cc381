"""Numbers and arrays that know what they were made of, as Python and NumPy code meets them.

They have the values of the run, so that the user's code takes the branches that it takes at this point: each
place where a value decides is told to the tape.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fwddiff import dual
from fwddiff._errors import DerivativeError
from fwddiff.rules import Row
from fwddiff.sparsity import _functions
from fwddiff.sparsity._order import Order, order_of
from fwddiff.sparsity._tape import FIRST
from fwddiff.sparsity._values import Fields, Operator, apply, as_objects, by_row, make, opaque, operand, plain

_STEPS = Order((), ())


def _binary(function: Callable[[Any, Any], Any]) -> tuple[Callable, Callable, Callable]:
    apply_to = Operator(function)

    def forward(self: Traced, other: Any) -> Any:
        return apply_to(self, other) if _is_operand(other) else NotImplemented

    def reflected(self: Traced, other: Any) -> Any:
        return apply_to(other, self) if _is_operand(other) else NotImplemented

    def in_place(self: Any, other: Any) -> Any:
        result = forward(self, other)
        if result is NotImplemented or not self.shape:
            return result
        self[...] = result
        return self

    return forward, reflected, in_place


def _by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """Comparisons and the like: their results change in steps."""

    def compared(self: Traced, *others: Any) -> Any:
        return apply(function, _STEPS, (self, *others)) if all(map(_is_operand, others)) else NotImplemented

    return compared


def _is_operand(x: Any) -> bool:
    return isinstance(x, Fields | float | int | np.generic | np.ndarray | list | tuple)


class Traced(Fields):
    """A number; comparisons are of values, and traced too."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _functions.call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        return _functions.call_function(function, arguments, options)

    @staticmethod
    def __fwddiff_through__(row: Row | None, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """A function with derivatives of its own, by its row or by a rule of which nothing is known."""
        if row is None:
            return opaque(function, arguments, {})
        return apply(function, order_of(row), arguments, row.name)

    def __getattr__(self, name: str) -> Any:
        # NumPy calls the method `exp` of objects.
        function = None if name.startswith("__") else getattr(np, name, None)
        if not isinstance(function, np.ufunc):
            raise AttributeError(f"{type(plain(self)).__name__!r} object has no attribute {name!r}")
        return functools.partial(function, self)

    __add__, __radd__, __iadd__ = _binary(operator.add)
    __sub__, __rsub__, __isub__ = _binary(operator.sub)
    __mul__, __rmul__, __imul__ = _binary(operator.mul)
    __truediv__, __rtruediv__, __itruediv__ = _binary(operator.truediv)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _binary(operator.floordiv)
    __mod__, __rmod__, __imod__ = _binary(operator.mod)
    __pow__, __rpow__, __ipow__ = _binary(operator.pow)
    __and__, __or__, __xor__ = map(_by_value, (operator.and_, operator.or_, operator.xor))
    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__
    __lt__, __le__ = _by_value(operator.lt), _by_value(operator.le)
    __gt__, __ge__ = _by_value(operator.gt), _by_value(operator.ge)
    __eq__, __ne__ = _by_value(operator.eq), _by_value(operator.ne)  # type: ignore[assignment]
    __invert__ = _by_value(operator.invert)

    def __neg__(self) -> Any:
        return by_row(operator.neg, (self,))

    def __pos__(self) -> Any:
        return by_row(operator.pos, (self,))

    def __abs__(self) -> Any:
        return by_row(abs, (self,))

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return dual.as_one_object(self) if dual.is_asked_by_sparse(sys._getframe(1)) else as_objects(self)

    def __matmul__(self, other: Any) -> Any:
        return _functions.product(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return _functions.product(other, self)

    # --- by its value ---------------------------------------------------------------------------------------

    def _decides(self) -> Any:
        if np.any(self.ids):
            self.tape.decided()
        return self.value

    def __bool__(self) -> bool:
        return bool(self._decides())

    def __int__(self) -> int:
        return int(self._decides())

    def __index__(self) -> int:
        return operator.index(self._decides())

    def __round__(self, digits: Any = None) -> Any:
        return round(self._decides(), digits)

    def __floor__(self) -> int:
        return math.floor(self._decides())

    def __ceil__(self) -> int:
        return math.ceil(self._decides())

    def __trunc__(self) -> int:
        return math.trunc(self._decides())

    # Memoising by value would hand what one number was made of to another.
    def __hash__(self) -> int:
        raise DerivativeError(
            "a number that is traced is used as a key, or as an argument of a cached function."
        )

    def __float__(self) -> float:
        if np.any(np.asarray(self.ids) >= FIRST):
            raise DerivativeError(
                "a number that depends on the inputs goes to float(), to a library, or into a plain array."
            )
        return float(self._decides())

    def __str__(self) -> str:
        return str(self.value)

    __repr__ = __str__

    def __format__(self, specification: str) -> str:
        return format(self.value, specification)

    # --- shape ----------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.value)

    @property
    def ndim(self) -> int:
        return np.ndim(self.value)

    @property
    def size(self) -> int:
        return np.size(self.value)

    @property
    def dtype(self) -> np.dtype:
        return np.asarray(self.value).dtype

    @property
    def T(self) -> Any:
        return np.transpose(self)  # type: ignore[call-overload]

    @property
    def real(self) -> Any:
        return self

    @property
    def imag(self) -> Any:
        return np.zeros(self.shape)[()]

    def conjugate(self) -> Any:
        return self

    def is_integer(self) -> bool:
        return float(self._decides()).is_integer()

    def astype(self, dtype: Any, **_: Any) -> Any:
        if np.dtype(dtype).kind == "f":
            return make(np.asarray(self.value).astype(dtype), np.array(self.ids), self.tape)
        return apply(lambda x: np.asarray(x).astype(dtype), _STEPS, [self])

    def item(self, *index: int) -> Any:
        flat: Any = np.ravel(self) if not index else self  # type: ignore[call-overload]
        return flat[index or 0]

    def copy(self) -> Any:
        return make(np.array(self.value), np.array(self.ids), self.tape)

    def reshape(self, *shape: Any, **options: Any) -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, **options)  # type: ignore[call-overload]

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)  # type: ignore[call-overload]

    def flatten(self) -> Any:
        return np.ravel(self).copy()  # type: ignore[call-overload]

    def tolist(self) -> Any:
        return [x.tolist() for x in self] if self.shape else self  # type: ignore[attr-defined]


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np, name)
    return lambda self, *arguments, **options: function(self, *arguments, **options)


_METHODS = (
    *(
        "sum",
        "mean",
        "prod",
        "max",
        "min",
        "var",
        "std",
        "cumsum",
        "cumprod",
        "clip",
        "dot",
        "trace",
        "ravel",
    ),
    *("squeeze", "swapaxes", "repeat", "take", "argmax", "argmin", "argsort", "any", "all", "round"),
    *("nonzero", "diagonal", "searchsorted"),
)
for _name in _METHODS:
    setattr(Traced, _name, _method(_name))


class TracedArray(Traced):
    """An array, whose elements can be read and replaced."""

    __slots__ = ()

    @property
    def flat(self) -> Iterator[Any]:
        return iter(np.ravel(self))  # type: ignore[call-overload]

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.value)))

    def __contains__(self, x: Any) -> bool:
        return bool(np.any(self == x))

    def __getitem__(self, index: Any) -> Any:
        index = _functions.index(index)
        return make(self.value[index], self.ids[index], self.tape)

    def __setitem__(self, index: Any, item: Any) -> None:
        index, item = _functions.index(index), operand(item)
        self.value[index] = plain(item)
        self.ids[index] = item.ids if isinstance(item, Fields) else 0

    def fill(self, item: Any) -> None:
        self[...] = item

    def sort(self, **options: Any) -> None:
        self[...] = np.sort(self, **options)  # type: ignore[call-overload]
