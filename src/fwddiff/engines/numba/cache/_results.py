"""Structures of results as text, with the user's classes by their place in the function's description."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import optree

from fwddiff import _tree


def encoded(tree: optree.PyTreeSpec, classes: Sequence[type]) -> Any:
    """The structure as lists for JSON; raises ValueError at a class that is not among `classes`, or
    instances that hold more than fields."""
    if _tree.beside(tree):
        raise ValueError("no text for attributes beside the fields")
    if tree.is_leaf():
        return 0
    children = [encoded(child, classes) for child in tree.children()]
    if tree.type in (None, type(None), tuple):
        return ["tuple" if tree.type is tuple else "none", children]
    if tree.type is dict:
        return ["dict", children, list(tree.entries())]
    return ["class", children, classes.index(tree.type)]


def decoded(text: Any, classes: Sequence[type]) -> optree.PyTreeSpec:
    """The structure that `encoded` was given, of these classes."""
    return _tree.flatten(_example(text, classes))[1]


def _example(text: Any, classes: Sequence[type]) -> Any:
    """A value of this structure."""
    if text == 0:
        return 0.0
    kind, children, *rest = text
    parts = [_example(child, classes) for child in children]
    if kind in ("none", "tuple"):
        return tuple(parts) if kind == "tuple" else None
    if kind == "dict":
        return dict(zip(rest[0], parts, strict=True))
    cls: Any = classes[rest[0]]
    return _instance(cls, parts) if dataclasses.is_dataclass(cls) else cls(*parts)


def _instance(cls: Any, parts: Sequence[Any]) -> Any:
    _tree.register_dataclass(cls)
    instance = object.__new__(cls)
    for field, part in zip(dataclasses.fields(cls), parts, strict=True):
        object.__setattr__(instance, field.name, part)
    return instance
