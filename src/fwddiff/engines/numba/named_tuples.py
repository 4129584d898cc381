"""NamedTuples of duals meet field by field, as tuples do: at the end of a branch, around a loop, in `return`.

Numba's own have no common type unless all their fields are alike, and duals seldom are: `Pair(x, 1.0)` and
`Pair(1.0, x)` differ. NamedTuples without duals are left to Numba.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

from fwddiff.engines.numba.types import is_dual
from numba.core import cgutils, types
from numba.extending import lower_cast


def _holds_dual(kind) -> bool:
    return is_dual(kind) or (isinstance(kind, types.BaseTuple) and any(map(_holds_dual, kind)))


def _are_alike(a, b) -> bool:
    return (
        isinstance(b, types.BaseNamedTuple)
        and a.instance_class is b.instance_class
        and (_holds_dual(a) or _holds_dual(b))
    )


def _unify(self, context, other):
    if not _are_alike(self, other):
        return None
    fields = [context.unify_pairs(a, b) for a, b in zip(self, other, strict=True)]
    return None if None in fields else types.BaseTuple.from_types(fields, self.instance_class)


def _can_convert_to(self, context, other):
    if not _are_alike(self, other):
        return None
    kinds = [context.can_convert(a, b) for a, b in zip(self, other, strict=True)]
    return None if None in kinds else max(kinds)


@lower_cast(types.BaseNamedTuple, types.BaseNamedTuple)
def _cast(context, builder, source, target, value):
    items = cgutils.unpack_tuple(builder, value, len(source))
    fields = [context.cast(builder, item, a, b) for item, a, b in zip(items, source, target, strict=True)]
    return context.make_tuple(builder, target, fields)


def register() -> None:
    """Give Numba's NamedTuples the two questions that it asks when types meet."""
    types.BaseNamedTuple.unify = _unify
    types.BaseNamedTuple.can_convert_to = _can_convert_to
