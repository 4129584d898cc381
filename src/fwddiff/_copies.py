"""Copies and pickles of wrapped functions, for files and for other processes.

`pickle` writes functions down by name, `cloudpickle` by value where another process could not import them. A
wrapped function does as a plain one does: `@fwddiff` has taken the name of the function below it, so what is
written instead is two small functions named as attributes of the wrapped one. `pickle` finds them there by
name, and `cloudpickle` decides about them as about any function of that module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

RESTORE, PARTS = "__fwddiff_restore__", "__fwddiff_parts__"


def reduced(wrapped: Any, original: Callable, options: dict[str, Any], protocol: int) -> tuple | str:
    """What `__reduce_ex__` returns: the object of that name, the method of a copied object, or a copied
    function.

    Functions and what they refer to may lead back to the wrapped one. Where they are written by value, it is
    made first and completed by its state.
    """
    path = vars(wrapped).get("__qualname__", "")
    if _named(wrapped, path) is wrapped:
        if protocol < 4:  # has no names of attributes; `torch.save` writes 2
            return path
        return getattr(wrapped, RESTORE), (), getattr(wrapped, PARTS)
    if isinstance(original, MethodType):
        name = getattr(wrapped, "__name__", "")
        if getattr(getattr(original.__self__, name, None), "__fwddiff_function__", None) == original:
            return getattr, (original.__self__, name)
    if isinstance(original, FunctionType) and _named(original, original.__qualname__) is not original:
        return _blank, (type(wrapped),), (original, options)
    return _again, (type(wrapped), original, options)


def _named(found: Any, path: str) -> Any:
    """What the module of `found` calls by this name."""
    value = sys.modules.get(found.__module__)
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _blank(cls: type) -> Any:
    return object.__new__(cls)


def _again(cls: Any, original: Callable, options: dict[str, Any]) -> Any:
    return cls.again(original, options)


class _Here:
    """Holds an object of this process; nothing in another."""

    def __init__(self, value: Any = None):
        self.value = value

    def __reduce__(self) -> tuple:
        return _Here, ()


def restorer(wrapped: Any) -> Callable:
    """Returns the wrapped function itself where it is found by name, and an empty one in a copy."""
    here, make, cls = _Here(wrapped), _blank, type(wrapped)
    return _as_attribute(wrapped, RESTORE, lambda: make(cls) if here.value is None else here.value)


def parts_of(wrapped: Any, original: Callable, options: dict[str, Any]) -> Callable:
    """Returns what an empty copy is completed by."""
    return _as_attribute(wrapped, PARTS, lambda: (original, options))


def _as_attribute(wrapped: Any, name: str, function: Any) -> Callable:
    function.__module__, function.__name__ = wrapped.__module__, name
    function.__qualname__ = f"{wrapped.__qualname__}.{name}"
    return function
