"""From names in code to values: cells, globals and `self`, read anew each time."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

from fwddiff import rules
from fwddiff._capture._stack import IMPORT, Steps
from fwddiff._errors import CaptureError
from fwddiff._probe import probe


def unbound(function: Any) -> tuple[Any, Any]:
    """(bound `self` or None, Python function) of a method, compiled or wrapped function, or callable object.

    What has no Python code comes back as it is.
    """
    if isinstance(function, types.MethodType):
        return function.__self__, unbound(function.__func__)[1]
    if isinstance(function, types.FunctionType | type) or function is None:
        return None, function
    inner = rules.made_from(function)
    if inner is not None:
        return unbound(inner)
    method = next((vars(c)["__call__"] for c in type(function).__mro__ if "__call__" in vars(c)), None)
    if isinstance(method, types.FunctionType) and method.__module__ == type(function).__module__:
        return function, method
    return None, function


def self_name(function: types.FunctionType, bound: Any) -> str | None:
    """Name of the first parameter of a method."""
    return function.__code__.co_varnames[0] if bound is not None else None


def root_reader(function: types.FunctionType, bound: Any, name: str) -> Callable[[], Any] | None:
    """Reads what `name` means in the function; `None` for local variables, builtins, names without value."""
    code = function.__code__
    if name == self_name(function, bound):
        return lambda: bound
    if name in code.co_freevars:
        cell = _cell(function, name)
        return lambda: _cell_contents(cell, name)
    if name in code.co_varnames or name in code.co_cellvars:
        return None
    if name.startswith(f"{IMPORT} "):
        module = sys.modules.get(name.partition(" ")[2])
        return None if module is None else (lambda: module)
    names = function.__globals__
    return (lambda: names[name]) if name in names else None


def variable(function: types.FunctionType, bound: Any, name: str) -> int:
    """Identity of what holds the value of a name: a bound object, a cell, or a module's globals."""
    code = function.__code__
    if name == self_name(function, bound):
        return id(bound)
    if name in code.co_freevars:
        return id(_cell(function, name))
    return id(function.__globals__)


def look_up(function: types.FunctionType, bound: Any, root: str, steps: Steps) -> Any:
    """What a chain of names leads to now; `None` if it leads nowhere."""
    read = root_reader(function, bound, root)
    value = None if read is None else read()
    for step in steps:
        value = probe(value, step)
    return value


def attribute_reader(read: Callable[[], Any], attribute: str) -> Callable[[], Any]:
    return lambda: getattr(read(), attribute)


def _cell(function: types.FunctionType, name: str) -> types.CellType:
    return (function.__closure__ or ())[function.__code__.co_freevars.index(name)]


def _cell_contents(cell: types.CellType, name: str) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise CaptureError(
            f"the captured variable {name!r} has no value yet; assign it before the call."
        ) from None
