"""Wrapping a function again gives the same object, so that `fwddiff(f)` inside a loop compiles once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

_ATTRIBUTE = "__fwddiff_wrapped__"
_COMPILED = ("PjitFunction", "custom_jvp", "custom_vjp")  # functions of JAX's that have a `__dict__` too
_of_classes: weakref.WeakKeyDictionary[type, dict] = weakref.WeakKeyDictionary()


class _Made(dict):
    """What was made for one function. Copies of the function start without."""

    def __reduce__(self):
        return _Made, ()


def wrapped_once(f: Any, options: tuple, make: Callable[[], Any]) -> Any:
    """`make()`, or what it made before for the same function or class and options.

    A function keeps what was made in its own `__dict__`, so both end together. Copies of that `__dict__`
    (`functools.wraps`) and functions whose code or defaults were replaced are told by identity.
    """
    made = _store(f)
    try:
        known = None if made is None else made.get(options)
    except TypeError:  # options that cannot be hashed: a list of names
        made = known = None
    parts = _parts(f)
    if known is not None and all(a is b for a, b in zip(known[0], parts, strict=True)):
        return known[1]
    wrapped = make()
    if made is not None:
        made[options] = parts, wrapped
    return wrapped


def _store(f: Any) -> dict | None:
    if type(f) is FunctionType or type(f).__name__ in _COMPILED:
        return vars(f).setdefault(_ATTRIBUTE, _Made())
    return _of_classes.setdefault(f, {}) if isinstance(f, type) else None


def _parts(f: Any) -> tuple:
    if type(f) is FunctionType:
        return f, f.__code__, f.__defaults__, f.__kwdefaults__, f.__closure__
    return (f,)
