"""Functions that write their result: `f(out, x)` instead of `y = f(x)`, for the operators' `inplace=True`.

Such a function is made an ordinary one, which copies the buffer, lets `f` write into the copy and returns it.
What the buffer held before is a constant, as it is in a plain call: parts that `f` does not write keep it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from fwddiff._buffers import Buffers, get_tmp, refuse_unwritable
from fwddiff._errors import ArgumentError, DerivativeError
from fwddiff._wrapped import wrapped_once
from fwddiff.dual import DualArray, level_of

# What makes sense of a function whose result is an array.
_OPERATORS = ("derivative", "jacobian", "pushforward", "pullback")
_SIMPLE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def evaluated(
    name: str, value_and: Callable[..., Any], f: Callable, out: Any, *args: Any, **named: Any
) -> Any:
    """What the operator of this name gives for `f(out, *args)`; `out` holds the value afterwards.

    Args:
        name: Of the operator: "jacobian" or "value_and_jacobian", which gives `(out, jacobian)`, and so on.
        value_and: The operator that gives the value too.
        out: A float array of the shape of the result, or a cache, whose buffer is taken.
    """
    if name.removeprefix("value_and_") not in _OPERATORS:
        raise ArgumentError(
            f"{name} needs a function that returns one number, and one with inplace=True writes an array: "
            f"use {', '.join(_OPERATORS[:-1])} or {_OPERATORS[-1]}."
        )
    buffer = _buffer(name, out, args)
    value, found = value_and(_returning(f, buffer), *args, **named)
    if level_of(value) > level_of(buffer):
        raise DerivativeError(
            f"{name}: `out` is an array of plain numbers, and the value has derivatives of another "
            "derivative around this one, which would be lost. Pass out=fd.DiffCache(np.empty(n)), which "
            "has room for them."
        )
    buffer[...] = value
    return (buffer, found) if name.startswith("value_and_") else found


def _buffer(name: str, out: Any, args: tuple) -> Any:
    if isinstance(out, Buffers):
        return get_tmp(out, args[0])  # type: ignore[arg-type]
    if out is None:
        raise ArgumentError(f"{name} with inplace=True needs the buffer that f writes into: out=np.empty(n).")
    if not isinstance(out, DualArray):
        refuse_unwritable(out, f"{name}: `out`")
    return out


def _returning(f: Callable, buffer: Any) -> Callable:
    """A function of the arguments after `out`."""
    if isinstance(f, functools.partial) and not f.args:
        return functools.partial(_returning(f.func, buffer), **f.keywords)
    return functools.partial(ordinary(f), buffer)


def ordinary(f: Callable) -> Callable:
    """`f(out, …)`, which writes into `out`, as `g(out, …)`, which returns what `out` then holds."""
    if isinstance(f, FunctionType):
        return wrapped_once(f, ("inplace",), lambda: _ordinary(f))
    return _ordinary(f)


def _ordinary(f: Callable) -> Callable:
    name = getattr(f, "__name__", "function")
    parameters = list(inspect.signature(f).parameters.values())
    if not parameters:
        raise ArgumentError(f"{name} takes no argument: with inplace=True it is called as {name}(out, x).")
    first, *names = [p.name for p in parameters]
    named = all(p.kind in _SIMPLE for p in parameters) and not {"np", "f_inplace", "written"} & {
        first,
        *names,
    }
    first, listing = (first, ", ".join(names)) if named else ("out", "*rest")
    made_name = name if name.isidentifier() else "function"
    text = (
        f"def {made_name}({first}, {listing}):\n"
        f"    written = np.copy({first})\n"
        f"    f_inplace(written, {listing})\n"
        "    return written\n"
    )
    namespace: dict[str, Any] = {"np": np, "f_inplace": f, "__name__": getattr(f, "__module__", None)}
    exec(compile(text, f"<fwddiff: {made_name} in place>", "exec"), namespace)
    made = namespace[made_name]
    if named:
        made.__defaults__ = tuple(p.default for p in parameters if p.default is not p.empty) or None
    return made
