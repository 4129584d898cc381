"""Nested values taken through a function leaf by leaf, their classes kept: no tree specification is made, for
rebuilt classes live for one evaluation only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import optree

from fwddiff._beside import held


def same(cls: type) -> type:
    return cls


def mapped(function: Callable[[Any], Any], tree: Any, choose: Callable[[type], type] = same) -> Any:
    """The tree with `function` of each leaf, and of each struct's class what `choose` says."""
    cls = type(tree)
    if cls is dict:
        return {key: mapped(function, inner, choose) for key, inner in tree.items()}
    if cls in (tuple, list):
        return cls(mapped(function, inner, choose) for inner in tree)
    if optree.is_namedtuple(tree):
        return tuple.__new__(choose(cls), [mapped(function, inner, choose) for inner in tree])
    if not dataclasses.is_dataclass(tree) or isinstance(tree, type):
        return function(tree)
    fresh = object.__new__(choose(cls))
    for field in dataclasses.fields(tree):
        if hasattr(tree, field.name):
            object.__setattr__(fresh, field.name, mapped(function, getattr(tree, field.name), choose))
    if cls.__dictoffset__:
        for name, value in held(tree).items():
            held(fresh).setdefault(name, value)
    return fresh
