"""Dicts with text for keys, which are structs: `get`, `in`, `len`, `keys`, `values` and `items`."""

# Numba's types have attributes that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import operator
from typing import Any

from fwddiff.engines.numba.frontend import structs
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.options import overload
from numba import types
from numba.extending import overload_method

METHODS = ("get", "keys", "values", "items")


def is_dict(kind: Any) -> bool:
    """Whether this is Numba's type of a dict that is a struct."""
    return isinstance(kind, structs.StructType) and kind.is_dict


def _get(struct, key, default=None):
    if not isinstance(key, types.StringLiteral):
        return None
    if key.literal_value not in struct.names:
        return lambda struct, key, default=None: default
    text = f"def get(struct, key, default=None):\n    return struct[{key.literal_value!r}]\n"
    return compile_function("get", text, {})


def _listing(parameter: str, items: list[str]):
    text = "".join(f"{item}, " for item in items)
    return compile_function("listing", f"def listing({parameter}):\n    return ({text})\n", {})


def _keys(struct):
    return _listing("struct", list(map(repr, struct.names)))


def _values(struct):
    return _listing("struct", [f"struct[{name!r}]" for name in struct.names])


def _items(struct):
    return _listing("struct", [f"({name!r}, struct[{name!r}])" for name in struct.names])


@overload(len)
def _len(struct):
    if not is_dict(struct):
        return None
    count = len(struct.names)
    return lambda struct: count


@overload(operator.contains)
def _contains(struct, key):
    if not is_dict(struct) or not isinstance(key, types.StringLiteral):
        return None
    answer = key.literal_value in struct.names
    return lambda struct, key: answer


def register() -> None:
    """Teach Numba the methods."""
    for name, typer in zip(METHODS, (_get, _keys, _values, _items), strict=True):
        overload_method(structs.class_of_dicts(), name)(typer)
