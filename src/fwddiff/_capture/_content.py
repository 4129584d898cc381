"""Values told apart by what they hold: `content(a) == content(b)` where compiled code may take b for a.

Numbers, text, arrays, containers and functions are described by value, so a change in place is seen. Objects
of classes of the user are described by their identity and their attributes; what is left (a lock, an open
file, an object of a library) by identity alone.
"""

from __future__ import annotations

import hashlib
import math
import sys
import types
from collections.abc import Hashable
from typing import Any

import numpy as np

from fwddiff._buffers import Buffers
from fwddiff._capture._values import is_foreign

_MOST_PARTS = 10_000
_PLAIN = (str, bytes, bool, int, complex, types.NoneType, types.EllipsisType, type, types.ModuleType)
_MAPPINGS = (dict, types.MappingProxyType)


def content(value: Any) -> Hashable:
    """A key of the value, made of references to what is compared by identity: comparing keeps those alive."""
    return _Reader().key(value)


class Identity:
    """Equal to itself for the same object only; keeps it alive, or another could get its address."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return f"Identity({self.value!r})"


class _Reader:
    """One walk; `met` numbers what may hold itself."""

    def __init__(self) -> None:
        self.met: dict[int, int] = {}

    def key(self, value: Any) -> Hashable:
        kind = type(value)
        if isinstance(value, _PLAIN):
            return kind, value
        if kind is float or isinstance(value, np.floating):
            return kind, float(value), math.copysign(1.0, value)
        if isinstance(value, np.generic):
            return kind, value.item()
        if isinstance(value, slice | range):
            return kind, self.key(value.start), self.key(value.stop), self.key(value.step)
        if id(value) in self.met or len(self.met) > _MOST_PARTS:
            return "met", self.met.get(id(value), -1)
        self.met[id(value)] = len(self.met)
        return kind, self._parts(value)

    def _parts(self, value: Any) -> Hashable:
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest()
        if isinstance(value, Buffers):  # of which code uses the form alone
            return self.key(value.form())
        if isinstance(value, _MAPPINGS):
            return tuple([(self.key(key), self.key(inner)) for key, inner in value.items()])
        if isinstance(value, list | tuple):
            return tuple(map(self.key, value))
        if isinstance(value, set | frozenset):
            return frozenset(map(self.key, value))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return self.key(value.__func__), self.key(value.__self__)
        return self._object(value)

    def _function(self, function: types.FunctionType) -> Hashable:
        cells = [_held(cell) for cell in function.__closure__ or ()]
        parts = function.__defaults__, function.__kwdefaults__, cells
        return Identity(function), Identity(function.__code__), *map(self.key, parts)

    def _object(self, value: Any) -> Hashable:
        if is_foreign(type(value).__module__):
            return self._of_library(value)
        attributes = {} if not hasattr(value, "__dict__") else vars(value)
        slots = {name: getattr(value, name, None) for name in _slots(type(value))}
        return Identity(value), self.key({**attributes, **slots})

    def _of_library(self, value: Any) -> Hashable:
        """Python's own objects that can be told by value (fractions, dates, paths) have a hash for it."""
        by_value = type(value).__hash__ not in (None, object.__hash__) and isinstance(value, Hashable)
        module = type(value).__module__.partition(".")[0]
        return value if by_value and module in sys.stdlib_module_names else Identity(value)


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _slots(cls: type) -> list[str]:
    found = []
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        found += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


_EMPTY = "a cell without value"
