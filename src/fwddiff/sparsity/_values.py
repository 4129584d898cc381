"""What a traced number is made of, and functions of elements on such."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from fwddiff import dual
from fwddiff._errors import DerivativeError
from fwddiff.engines.numpy.trees import mapped
from fwddiff.sparsity._order import Order, nonlinear, order_of
from fwddiff.sparsity._tape import FIRST, FIXED, ZERO, Tape


class Fields:
    """A value of the run, and the id of the number, or the ids of the elements, on a tape.

    The subclasses that `make` makes have all that one can do with them.
    """

    __slots__ = ("ids", "tape", "value")
    kinds: ClassVar[dict[bool, type[Fields]]] = {}

    def __init__(self, value: Any, ids: Any, tape: Tape):
        self.value, self.ids, self.tape = value, ids, tape

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        Fields.kinds[hasattr(cls, "__getitem__")] = cls


def make(value: Any, ids: Any, tape: Tape) -> Any:
    """A traced number, or array; `ids` are of the value's shape."""
    if np.ndim(value):
        return Fields.kinds[True](value, ids, tape)
    return Fields.kinds[False](value[()] if isinstance(value, np.ndarray) else value, int(ids), tape)


def plain(x: Any) -> Any:
    """The values, also of what is in lists and tuples."""
    if isinstance(x, Fields):
        return x.value
    if type(x) in (list, tuple):
        return type(x)(map(plain, x))
    return x


def ids_of(x: Any) -> Any:
    return x.ids if isinstance(x, Fields) else FIXED


def found(arguments: Any) -> list[Fields]:
    """What is traced among these, also in lists, tuples and arrays of objects."""
    items: list[Fields] = []
    for x in arguments:
        if isinstance(x, Fields):
            items.append(x)
        elif isinstance(x, list | tuple) or _is_of_objects(x):
            items += found(x.flat if isinstance(x, np.ndarray) else x)
    return items


def operand(x: Any) -> Any:
    """Lists and arrays of traced numbers as traced arrays."""
    if isinstance(x, list | tuple):
        return _stacked(x) if found(x) else np.asarray(x)
    return from_objects(x) if _is_of_objects(x) else x


def _is_of_objects(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == object


def _stacked(items: Sequence[Any]) -> Any:
    parts = [operand(x) for x in items]
    ids = [np.broadcast_to(ids_of(part), np.shape(plain(part))) for part in parts]
    return make(np.stack([np.asarray(plain(part)) for part in parts]), np.stack(ids), found(parts)[0].tape)


# --- functions of elements ----------------------------------------------------------------------------------


def apply(function: Callable[..., Any], order: Order, arguments: Sequence[Any], name: str = "") -> Any:
    """`function` of each element; `name` is that of its row, if it has one."""
    arguments = [operand(a) for a in arguments]
    tape = found(arguments)[0].tape
    values = [plain(a) for a in arguments]
    value, ids = function(*values), [ids_of(a) for a in arguments]
    if np.ndim(value) == 0 and all(type(i) is int for i in ids):
        return make(value, _id_of_number(tape, order, name, values, ids), tape)
    shape = np.shape(value)
    ids = [np.broadcast_to(i, shape) for i in ids]
    result = tape.elements(order, ids)
    for kind, places in _zeros(name, [np.broadcast_to(v, shape) for v in values], ids):
        tape.zeros_used |= kind == ZERO and bool((result[places] >= FIRST).any())
        result[places] = kind
    return make(value, result, tape)


def by_row(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """`function` by its row in the table; without one, as one of which nothing is known."""
    try:
        row = dual.row_of(function)
    except DerivativeError:
        return apply(function, nonlinear(len(arguments)), arguments)
    return apply(function, order_of(row), arguments, row.name)


_NUMBERS = (float, int, np.float64)


class Operator:
    """An operator of Python's on two operands, with a short way for numbers: loops over elements use it."""

    def __init__(self, function: Callable[[Any, Any], Any]):
        self.function = function

    @functools.cached_property
    def row(self) -> tuple[Order, str]:
        row = dual.row_of(self.function)
        return order_of(row), row.name

    def __call__(self, a: Any, b: Any) -> Any:
        number = Fields.kinds[False]
        is_traced = type(a) is number, type(b) is number
        if not all(is_traced) and (not any(is_traced) or type(b if is_traced[0] else a) not in _NUMBERS):
            return by_row(self.function, (a, b))
        x, i = (a.value, a.ids) if is_traced[0] else (a, FIXED)
        y, j = (b.value, b.ids) if is_traced[1] else (b, FIXED)
        tape = (a if is_traced[0] else b).tape
        order, name = self.row
        return number(self.function(x, y), _id_of_number(tape, order, name, (x, y), (i, j)), tape)


# Zero in one of these factors is zero in the result.
_FACTORS = {"multiply": (0, 1), "divide": (0,)}


def _id_of_number(tape: Tape, order: Order, name: str, values: Sequence[Any], ids: Sequence[int]) -> int:
    """Of a product where a factor that does not depend on the inputs is zero, and stays so, that of zero."""
    if name in _FACTORS:
        kinds = [ids[k] for k in _FACTORS[name] if ids[k] in (FIXED, ZERO) and values[k] == 0]
        if kinds:
            tape.zeros_used |= FIXED not in kinds and max(ids) >= FIRST
            return min(kinds)
    return tape.number(order, ids)


def _zeros(name: str, values: Sequence[Any], ids: Sequence[Any]) -> list[tuple[int, np.ndarray]]:
    factors = _FACTORS.get(name, ())
    return [
        (kind, np.logical_or.reduce([(ids[k] == kind) & (values[k] == 0) for k in factors]))
        for kind in (ZERO, FIXED)
        if factors
    ]


# --- what is not known here ---------------------------------------------------------------------------------


def opaque(function: Callable[..., Any], arguments: Sequence[Any], options: Any) -> Any:
    """`function` of the values: every float that it returns depends on all that it got, in any way."""
    items = found((*arguments, *options.values()))
    result = function(*map(_copied, arguments), **{name: _copied(x) for name, x in options.items()})
    # A function that is handed over may itself refer to what is traced.
    return opaque_result(result, [*items, *found([result])])


def _copied(x: Any) -> Any:
    x = plain(operand(x))
    return x.copy() if isinstance(x, np.ndarray) else x


def opaque_result(result: Any, items: Sequence[Fields]) -> Any:
    """What was computed of these numbers, depending on all of them; integers and truths by their values."""
    tape = items[0].tape
    parents = np.concatenate([np.ravel(x.ids) for x in items])
    hub = tape.hub(parents)
    steps = int(tape.elements(Order((), ()), [np.array([parents.max(initial=0)])])[0])

    def of(x: Any) -> Any:
        x = plain(operand(x))
        if x is None or isinstance(x, str | type | np.dtype):
            return x
        kind = np.asarray(x).dtype.kind if isinstance(x, np.ndarray | np.generic | float | int) else ""
        if kind not in {*"fiub"}:
            raise DerivativeError(f"a function that is not known returns a {type(x).__name__}.")
        return make(x, np.full(np.shape(x), hub if kind == "f" else steps), tape)

    return mapped(of, result)


def as_objects(x: Any) -> Any:
    """A traced array as one of traced numbers, a number in one without axes."""
    if not isinstance(x, Fields):
        return [as_objects(item) for item in x] if isinstance(x, list | tuple) and found(x) else x
    result = np.empty(np.shape(x.value), object)
    values, ids = np.asarray(x.value), np.asarray(x.ids)
    for index in np.ndindex(result.shape):
        result[index] = make(values[index], ids[index], x.tape)
    return result


def from_objects(x: Any) -> Any:
    """The other way round."""
    if isinstance(x, list | tuple):
        return type(x)(map(from_objects, x))
    if isinstance(x, Fields) or not _is_of_objects(x):
        return x
    items = found([x])
    if not items:
        return x.astype(float)
    if any(isinstance(item, np.ndarray) for item in x.flat):
        raise TypeError("an array of objects holds arrays")
    values = [plain(item) for item in x.flat]
    value = np.array(values, np.result_type(*values) if values else float).reshape(x.shape)
    ids = np.array([ids_of(item) for item in x.flat], int).reshape(x.shape)
    return make(value, ids, items[0].tape)
