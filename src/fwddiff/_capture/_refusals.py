"""What cannot be captured without losing a derivative: an error names it and says what to write instead."""

from __future__ import annotations

import builtins
import types
from typing import Any

from fwddiff import _tree
from fwddiff._capture._bytecode import nested_codes, uses
from fwddiff._capture._stack import IMPORT, Path
from fwddiff._capture._values import Owned, holds_host_array, is_foreign, is_struct
from fwddiff._errors import CaptureError

_BY_TEXT = ("eval", "exec", "globals")


def refuse_hidden(value: Any, name: str, owned: Owned) -> None:
    """An object used as a whole, in which the code may find anything."""
    if holds_host_array(value, owned):
        raise CaptureError(
            f"`{name}` is used as a whole object of type {type(value).__name__} and holds arrays of a "
            "framework, whose derivatives would be lost. Refer to the array itself (`name.attribute`), or "
            "pass it as an argument."
        )


def refuse_inner(function: types.FunctionType, path: Path, value: Any, owned: Owned) -> None:
    """A global, or an attribute, that a function defined inside refers to."""
    if value is not None and holds_host_array(value, owned):
        raise CaptureError(
            f"`{'.'.join((path[0], *path[1]))}` is captured by a function defined inside "
            f"`{function.__name__}`, where its derivative would be lost. Pass it to the inner function as "
            "an argument."
        )


def refuse_import(function: types.FunctionType, name: str, value: Any, owned: Owned) -> None:
    """A module that the code imports itself."""
    if holds_host_array(value, owned):
        raise CaptureError(
            f"`{function.__name__}` imports `{name.removeprefix(f'{IMPORT} ')}`, which holds an array of a "
            "framework, whose derivative would be lost. Import the module outside of the function."
        )


def refuse_defaults(function: types.FunctionType, owned: Owned) -> None:
    """Defaults of the outermost function are arguments; those of a helper are fixed when it is compiled."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    pairs = [
        *zip(names[len(names) - len(defaults) :], defaults, strict=True),
        *(function.__kwdefaults__ or {}).items(),
    ]
    for name, default in pairs:
        if holds_host_array(default, owned):
            raise CaptureError(
                f"the default of `{name}` of the function `{function.__name__}` holds an array of a "
                f"framework, whose derivative would be lost. Pass `{name}` in the call."
            )


def refuse_in_rule(name: str, *functions: Any, owned: Owned) -> None:
    """A rule of the user's has derivatives of arguments alone."""
    if any(holds_host_array(function, owned) for function in functions):
        raise CaptureError(
            f"`{name}` has a rule of its own and captures an array of a framework, whose derivative would "
            "be lost: a rule has derivatives of arguments alone. Pass the array as an argument."
        )


def refuse_text(function: types.FunctionType, owned: Owned) -> None:
    """Code that names variables at run time can reach all globals."""
    codes = (function.__code__, *nested_codes(function.__code__))
    roots = {use.path[0] for code in codes for use in uses(code)} - set(function.__code__.co_varnames)
    for builtin in _BY_TEXT:
        if (
            builtin not in roots
            or function.__globals__.get(builtin) is not None
            or not hasattr(builtins, builtin)
        ):
            continue
        for name, value in function.__globals__.items():
            if not isinstance(value, types.FunctionType) and holds_host_array(value, owned):
                raise CaptureError(
                    f"`{function.__name__}` calls {builtin}(), which can reach `{name}`, and that holds an "
                    "array of a framework, whose derivative would be lost. Write the expression itself."
                )


def refuse_methods(value: Any, owned: Owned) -> None:
    """Methods of a struct are not planned: what they capture must not be an array of a host."""
    if _tree.is_dataclass_instance(value) or (isinstance(value, tuple) and type(value) is not tuple):
        for cls in type(value).__mro__:
            for name, member in vars(cls).items():
                if isinstance(member, types.FunctionType) and not is_foreign(cls.__module__):
                    _refuse_method(type(value), name, member, owned)
    if is_struct(value):
        for inner in _children(value):
            refuse_methods(inner, owned)


def _refuse_method(cls: type, name: str, method: types.FunctionType, owned: Owned) -> None:
    if holds_host_array(method, owned):
        raise CaptureError(
            f"the method `{cls.__name__}.{name}` refers to an array of a framework, whose derivative would "
            "be lost. Make it a field of the struct, or pass it as an argument."
        )


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, tuple | list):
        return list(value)
    return list(vars(value).values()) if hasattr(value, "__dict__") else []
