"""Text of code and constants that is the same in every process."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

_NAMED = types.ModuleType | type | types.FunctionType | types.BuiltinFunctionType | np.ufunc


def code_text(code: types.CodeType) -> tuple:
    """All of the code that decides what it does."""
    constants = [code_text(c) if isinstance(c, types.CodeType) else value_text(c) for c in code.co_consts]
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_name, code.co_code, constants, counts, names, code.co_exceptiontable


def value_text(value: Any) -> str:
    """Numbers, strings, tuples and sets by value, functions and classes by name, all else by its type."""
    if isinstance(
        value, np.generic | complex | int | float | str | bytes | types.NoneType | types.EllipsisType
    ):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"({', '.join(map(value_text, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(value_text, value)))}}}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, _NAMED):
        name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
        return f"{getattr(value, '__module__', '')}.{name}"
    return type(value).__qualname__
