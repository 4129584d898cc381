"""Python's operators, comparisons and conversions on duals."""

from __future__ import annotations

import math
import numbers
import operator
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from fwddiff._errors import DerivativeError
from fwddiff.dual._chain import apply, differentiable, row_of
from fwddiff.dual._ignored import refuse_ignored
from fwddiff.dual._made import room_now
from fwddiff.dual._parts import Operand, Parts, is_constant, level_of, settled, strip
from fwddiff.dual._scipy import as_one_object, is_asked_by_sparse, loss


def is_operand(x: object) -> bool:
    """Whether operators between a dual and `x` make sense."""
    return isinstance(x, Parts | numbers.Real | np.ndarray | np.bool_)


def _binary(function: Callable[[Any, Any], Any]) -> tuple[Callable, Callable, Callable]:
    """The operator, its reflection and its in-place form."""

    def forward(self: Number, other: Operand) -> Operand:
        other = _as_operand(self, other)
        return apply(row_of(function), function, (self, other)) if is_operand(other) else NotImplemented

    def reflected(self: Number, other: Operand) -> Operand:
        other = _as_operand(self, other)
        return apply(row_of(function), function, (other, self)) if is_operand(other) else NotImplemented

    def in_place(self: Number, other: Operand) -> Operand:
        result = forward(self, other)
        if result is NotImplemented or not isinstance(strip(self), np.ndarray):
            return result
        array: Any = self
        array[...] = result
        return self

    return forward, reflected, in_place


def _division(function: Callable[[Any, Any], Any]) -> tuple[Callable, Callable, Callable]:
    """The operator of a division: of numbers, as Python does it where someone would catch the error."""
    forward, reflected, in_place = _binary(function)

    def checked(operator: Callable, is_reflected: bool = False) -> Callable:
        def divide(self: Number, other: Operand) -> Operand:
            _refuse_zero(self if is_reflected else other)
            return operator(self, other)

        return divide

    return checked(forward), checked(reflected, True), checked(in_place)


def _refuse_zero(divisor: Operand) -> None:
    plain = strip(divisor)
    if isinstance(plain, float | int) and plain == 0 and (room := room_now()) is not None and room.catches:
        raise ZeroDivisionError("division by zero")


def _as_operand(self: Number, other: Operand) -> Operand:
    if isinstance(other, complex | np.complexfloating):
        raise _no_complex("An operation with a complex number")
    return (
        np.asarray(other)
        if isinstance(other, list | tuple) and isinstance(strip(self), np.ndarray)
        else other
    )


def _comparison(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def compare(self: Number, other: Operand) -> Any:
        refuse_ignored()
        other = _as_operand(self, other)
        return function(strip(self), strip(other)) if is_operand(other) else NotImplemented

    return compare


def _step(x: Operand) -> Operand:
    """The plain number, for what has no derivative."""
    refuse_ignored()
    return strip(x)


def lost(what: str, instead: str) -> DerivativeError:
    """The error for a conversion of a dual to something that has no room for partials."""
    return DerivativeError(f"{what} of a dual number would lose its derivative: {instead}")


def _no_complex(what: str) -> DerivativeError:
    return lost(what, "complex numbers are not supported; keep real and imaginary parts as two numbers.")


class Number(Parts):
    """A dual with Python's arithmetic. Comparisons look at values alone."""

    __slots__ = ()

    __add__, __radd__, __iadd__ = _binary(operator.add)
    __sub__, __rsub__, __isub__ = _binary(operator.sub)
    __mul__, __rmul__, __imul__ = _binary(operator.mul)
    __truediv__, __rtruediv__, __itruediv__ = _division(operator.truediv)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _division(operator.floordiv)
    __mod__, __rmod__, __imod__ = _division(operator.mod)
    __lt__, __le__ = _comparison(operator.lt), _comparison(operator.le)
    __gt__, __ge__ = _comparison(operator.gt), _comparison(operator.ge)
    __eq__, __ne__ = _comparison(operator.eq), _comparison(operator.ne)
    _pow, __rpow__, __ipow__ = _binary(operator.pow)

    def __pow__(self, other: Operand, modulus: None = None) -> Operand:
        if isinstance(exponent := strip(other), float | int) and exponent < 0:
            _refuse_zero(self)
        return self._pow(other) if modulus is None else NotImplemented

    def __divmod__(self, other: Operand) -> Operand:
        return (self // other, self % other) if is_operand(other) else NotImplemented

    def __rdivmod__(self, other: Operand) -> Operand:
        return (other // self, other % self) if is_operand(other) else NotImplemented

    def __neg__(self) -> Operand:
        return differentiable(operator.neg)(self)

    def __pos__(self) -> Operand:
        return differentiable(operator.pos)(self)

    def __abs__(self) -> Operand:
        return differentiable(abs)(self)

    # Memoising by value would hand the derivative of one call to another.
    def __hash__(self) -> int:
        raise lost(
            "The hash", "do not use it as a key of a dict or set, or as an argument of a cached function."
        )

    def __bool__(self) -> bool:
        return bool(_step(self))

    # Step functions: the plain result is exact, as its derivative is zero.
    def __int__(self) -> int:
        return int(_step(self))

    def __trunc__(self) -> int:
        return math.trunc(_step(self))

    def __floor__(self) -> int:
        return math.floor(_step(self))

    def __ceil__(self) -> int:
        return math.ceil(_step(self))

    def __round__(self, digits: int | None = None) -> Any:
        return round(_step(self), digits)

    def __float__(self) -> float:
        refuse_ignored()
        if is_constant(self):
            return float(strip(self))
        raise lost(
            "float(), or a function that calls it,",
            "pass it on as it is; use numpy's functions or math's. A plain array has no place for it: a "
            "buffer from outside is a fd.DiffCache.",
        )

    def __complex__(self) -> NoReturn:
        raise _no_complex("complex()")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        caller = sys._getframe(1)
        if is_asked_by_sparse(caller):
            return as_one_object(self)
        if is_constant(self):
            return np.array(strip(self), dtype)
        if text := loss(caller):
            raise DerivativeError(text)
        raise lost(
            "numpy.array, numpy.asarray or an assignment into a plain array",
            "combine numbers with numpy.stack([...]), make buffers with numpy.zeros_like(x) of a "
            "differentiated x, "
            "and leave numpy.asarray out; a buffer from outside is a fd.DiffCache.",
        )

    def __repr__(self) -> str:
        parts = ", ".join(repr(settled(p)) for p in self.partials)
        return f"Dual({self.value!r}, partials=({parts}), level={self.level})"

    # What users print is the number of their own code.
    def __str__(self) -> str:
        return str(strip(self))

    def __format__(self, specification: str) -> str:
        return format(strip(self), specification)

    # Numbers of Python have these three; code for "any real number" reads them.
    @property
    def real(self) -> Number:
        return self

    @property
    def imag(self) -> Operand:
        return np.zeros_like(strip(self))

    def conjugate(self) -> Number:
        return self

    conj = conjugate

    def as_integer_ratio(self) -> NoReturn:
        raise lost(
            "as_integer_ratio(), or a function that calls it as those of `statistics` do,",
            "use numpy's functions (numpy.mean, numpy.std, numpy.median).",
        )

    def hex(self) -> NoReturn:
        raise lost("hex()", "its text has no place for it.")

    def is_integer(self) -> bool:
        return float(_step(self)).is_integer()


def max_level(operands: Any) -> int:
    """The highest level among these; -1 without duals."""
    return max(map(level_of, operands), default=-1)
