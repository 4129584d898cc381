"""Tuples whose items differ in type are iterated over and indexed as if all had their common type.

`for v in (x, 1)` and `t[k]` would fail in Numba, where the items are of one type or every use is with a
constant.
"""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportOptionalCall=false

from __future__ import annotations

import operator

from fwddiff._native.internals import AbstractTemplate, infer, infer_global, signature
from fwddiff.engines.numba.frontend.inner import is_ours
from numba import types


def common_tuple(context, kind):
    """The tuple type of one item type that a tuple of several converts to; `None` where there is none."""
    if (
        not is_ours()
        or not isinstance(kind, types.BaseTuple)
        or isinstance(kind, types.UniTuple | types.NamedUniTuple)
    ):
        return None
    if not len(kind):
        return types.UniTuple(types.float64, 0)
    item = context.unify_types(*map(types.unliteral, kind.types))
    return None if item is None or item == types.undefined else types.UniTuple(item, len(kind))


def _uniform(context, kinds):
    """The same types with common tuples among them; `None` if nothing changes."""
    changed = [common_tuple(context, kind) or kind for kind in kinds]
    return None if changed == list(kinds) else changed


@infer
class _Iterate(AbstractTemplate):
    key = "getiter"

    def generic(self, args, kws):
        kind = common_tuple(self.context, args[0])
        return None if kind is None else signature(kind.iterator_type, kind)


@infer_global(operator.getitem)
class _Index(AbstractTemplate):
    def generic(self, args, kws):
        kind = common_tuple(self.context, args[0])
        if kind is None or not isinstance(args[1], types.Integer) or isinstance(args[1], types.Literal):
            return None
        return signature(kind.dtype, kind, types.intp)


def _register(function, result) -> None:
    """`function` of iterables: the type of its result where tuples become common ones."""

    class Uniform(AbstractTemplate):
        def generic(self, args, kws):
            kinds = _uniform(self.context, args)
            if kws or kinds is None:
                return None
            return signature(result(kinds), *kinds)

    infer_global(function)(Uniform)


def register() -> None:
    """Teach Numba the functions that give iterators."""
    _register(zip, types.ZipType)
    _register(enumerate, lambda kinds: types.EnumerateType(kinds[0]))
    _register(iter, lambda kinds: kinds[0].iterator_type)
