"""Nested arguments ↔ flat leaves, by optree; dataclasses are nodes too, registered as they are met.

`None` is an empty node. Leaves are numbers, arrays of a host, and *static* things (strings, functions, …),
which are part of a call's signature and are never differentiated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import optree

NAMESPACE = "fwddiff"

_registered: set[type] = set()


def flatten(tree: Any) -> tuple[list[Any], optree.PyTreeSpec]:
    """Leaves of a nested structure, and its structure."""
    leaves, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
    fresh = {type(leaf) for leaf in leaves if is_dataclass_instance(leaf)}
    if not fresh:
        return leaves, spec
    for cls in fresh:
        register_dataclass(cls)
    return flatten(tree)


def unflatten(spec: optree.PyTreeSpec, leaves: Sequence[Any]) -> Any:
    return optree.tree_unflatten(spec, leaves)


def is_dataclass_instance(leaf: Any) -> bool:
    return dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)


def register_dataclass(cls: type) -> None:
    """Make the fields of a dataclass the children of a node.

    Rebuilding sets the fields and runs neither `__init__` nor `__post_init__`: they hold tracers or whole
    arrays then, which a check of the class may not expect.
    """
    if cls in _registered:
        return
    names = tuple(field.name for field in dataclasses.fields(cls))

    def children(instance):
        return tuple(getattr(instance, name) for name in names), None, names

    def rebuild(_, values):
        instance = object.__new__(cls)
        for name, value in zip(names, values, strict=True):
            object.__setattr__(instance, name, value)
        return instance

    optree.register_pytree_node(cls, children, rebuild, namespace=NAMESPACE)
    _registered.add(cls)


def leaf_paths(spec: optree.PyTreeSpec) -> list[str]:
    """How a user would write each leaf below the root, such as `.rate` or `['mu'][0]`."""
    return [accessor.codify("") for accessor in spec.accessors()]


def map_leaves(function: Callable, spec: optree.PyTreeSpec, leaves: Sequence[Any]) -> Any:
    return unflatten(spec, [function(leaf) for leaf in leaves])
