"""What takes the place of functions that know plain numbers only: `math`, conversions, some of NumPy's.

The set for duals is `duals()`; an outline (`outline`) has its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from fwddiff import dual, rules


class StandIns:
    """By identity: what replaces a function, a module, or a type that is called.

    Args:
        namespace: What stands for the module `math`, by name.
        functions: Functions and builtins, and what stands for them.
        types: Types, replaced only where they are called: as an argument (`dtype=float`) they have to stay.
        plain: Something of the same kind as what stands for a number.
        special: What stands for a special function, made of ours and of the user's (SciPy's, or ours too).
    """

    def __init__(
        self,
        namespace: Any,
        functions: Mapping[Any, Any],
        types: Mapping[type, Callable],
        plain: Callable[[Any], Any],
        special: Callable[[Callable, Callable], Callable],
    ):
        self.plain, self.patterns, self.special = plain, {}, special
        self.values = {id(math): namespace}
        for name, function in vars(math).items():
            if callable(function):
                self.values[id(function)] = getattr(namespace, name, None)
        self.values |= {id(old): new for old, new in functions.items()}
        self.types = {id(old): new for old, new in types.items()}

    def of(self, value: Any) -> Any:
        """What stands for a function or module, wherever it is named."""
        found = self.values.get(id(value))
        if found is None and callable(value):
            own = rules.meant_by(value) or (value if rules.recorded(value) else None)
            if own is not None:
                return self.special(own, value)
            meaning = rules.elementwise(value)
            return self.of(meaning) if rules.meant_by(meaning) else self._elementwise(meaning)
        return found

    def _elementwise(self, meaning: Any) -> Any:
        """What stands for a function of numbers of a framework, by its meaning: NumPy's know duals."""
        if isinstance(meaning, FunctionType):
            names = {**meaning.__globals__, "math": self.values[id(math)]}
            return FunctionType(meaning.__code__, names, meaning.__name__, meaning.__defaults__)
        return self.values.get(id(meaning), meaning)

    def of_type(self, value: Any) -> Any:
        """What stands for a type that is called."""
        return self.types.get(id(value))

    def of_pattern(self, cls: type) -> Any:
        """What stands for a class in `case cls():`, `None` for one that no number is of."""
        if cls is object or cls is bool or not any(issubclass(kind, cls) for kind in _KINDS):
            return None
        if cls not in self.patterns:
            members = {
                "__instancecheck__": lambda _, x: isinstance(self.plain(x), cls),
                "__call__": lambda _, *given, **options: (self.of_type(cls) or cls)(*given, **options),
            }
            # A subclass, which binds what `case float(y)` binds.
            kind = type("Pattern", (type(cls),), members)
            self.patterns[cls] = kind(cls.__name__, (cls,), {"__slots__": ()})
        return self.patterns[cls]


_KINDS = (float, int, np.float64, np.float32, np.int64, np.int32, np.ndarray)


def _conversion(dtype: type) -> Callable[[Any], Any]:
    """`dtype(x)`, which keeps the partials of a dual."""

    def convert(x: Any = 0.0, /) -> Any:
        if not isinstance(x, dual.Dual):
            return dtype(x)
        return x if dtype is float else x.astype(dtype)

    return convert


def of_plain(function: Callable, plain: Callable[[Any], Any]) -> Callable[..., Any]:
    """`isinstance(x, cls)` and `type(x)` of what stands for a number: they say what the number is."""
    return lambda x, *others: function(plain(x), *others)


def _as_given(x: Any) -> Any:
    """The value as users pass it: numbers that travel as NumPy's are Python's own where both are the same."""
    plain = dual.strip(x)
    return plain.item() if type(plain) in (np.float64, np.int64, np.bool_) else plain


@functools.cache
def duals() -> StandIns:
    """What user code may name that does not know dual numbers."""
    conversions = {dtype: _conversion(dtype) for dtype in (float, np.float32, np.float64)}
    kinds = {isinstance: of_plain(isinstance, dual.strip)}
    kinds |= {asked: of_plain(asked, _as_given) for asked in (hasattr, np.isscalar)}
    types = conversions | {type: of_plain(type, _as_given)}
    return StandIns(
        dual.math_namespace(), kinds | dual.of_lists() | dual.creators(), types, dual.strip, dual.stand_in
    )
