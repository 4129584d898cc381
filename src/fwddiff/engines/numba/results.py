"""How a compiled function's result nests: from its Numba type to a tree of outputs."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fwddiff import _tree
from fwddiff._errors import StructureError
from fwddiff.engines.numba import structs
from numba.core import types


def result_tree(entry, count: int):
    """Tree specification of the results: the structure that all compiled versions of the function share."""
    kind, *_ = [compiled.signature.return_type for compiled in entry.overloads.values()]
    return _tree.flatten(build(kind, iter(range(count))))[1]


def build(kind: types.Type, leaves: Any) -> Any:
    """The result with `next(leaves)` in the place of each leaf."""
    if isinstance(kind, types.NoneType):
        return None
    if not structs.is_node(kind):
        return next(leaves)
    parts = [build(child, leaves) for child, _ in structs.children(kind)]
    return _assembled(kind, parts)


def _assembled(kind: types.Type, parts: Sequence[Any]) -> Any:
    if isinstance(kind, structs.StructType):
        if kind.is_dict:
            return dict(zip(kind.names, parts, strict=True))
        _tree.register_dataclass(kind.cls)
        instance = object.__new__(kind.cls)
        for name, part in zip(kind.names, parts, strict=True):
            object.__setattr__(instance, name, part)
        return instance
    if isinstance(kind, types.BaseNamedTuple):
        return kind.instance_class(*parts)
    if isinstance(kind, types.BaseTuple):
        return tuple(parts)
    raise StructureError(f"a result of type {kind} cannot be returned.")
