"""Chunks of partials as tuples, and the arrays that cotangents are gathered in; nothing here belongs to a
level."""

# Numba supplies the typing context of an intrinsic itself.
# pyright: reportCallIssue=false

from __future__ import annotations

from fwddiff.engines.numba.arrays import empty_like_of, flat
from fwddiff.engines.numba.expressions import compile_function
from fwddiff.engines.numba.options import overload
from fwddiff.engines.numba.types import DualType, converter
from numba.extending import register_jitable


def _tuple_function(name: str, arguments: str, item: str, size: int, namespace: dict | None = None):
    items = ", ".join(item.format(k=k) for k in range(size))
    return compile_function(name, f"def {name}({arguments}):\n    return ({items},)\n", namespace or {})


def chunk_sum(size: int):
    return register_jitable(_tuple_function("chunk_sum", "p, q", "p[{k}] + q[{k}]", size))


def scaled(size: int, times):
    """`times(c, partial)` of every partial."""
    return register_jitable(_tuple_function("scaled", "c, p", "times(c, p[{k}])", size, {"times": times}))


def each(name: str, size: int, function):
    """`function` of every partial."""
    return register_jitable(_tuple_function(name, "p", "function(p[{k}])", size, {"function": function}))


def zero_chunk(size: int):
    return _tuple_function("zero_chunk", "c, y", "0.0", size)


def widened(size: int, kind: DualType):
    """Start of a sum over elements: zeros of the type that the sum will have."""
    return register_jitable(_tuple_function("zeros", "", "cast(0.0)", size, {"cast": converter(kind)}))


def new_cotangents(x):
    """Zeros like `x`."""
    raise NotImplementedError


@overload(new_cotangents)
def _new_cotangents(x):
    empty = empty_like_of(x.dtype)

    def implementation(x):
        out = empty(x)
        target = flat(out)
        for e in range(target.size):
            target[e] = 0.0
        return out

    return implementation


@register_jitable
def pick(p, k, default):
    result = default
    for j in range(len(p)):
        if j == k:
            result = p[j]
    return result


@register_jitable
def scatter(array, p, k):
    target = flat(array)
    for j in range(len(p)):
        if 0 <= j - k < target.size:
            target[j - k] = p[j]
