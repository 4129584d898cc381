"""Products of vectors and matrices: `np.dot`, `@`, `np.outer`, `np.trace`, `np.diag`."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false

from __future__ import annotations

import operator

import numpy as np

from fwddiff.engines.numba.frontend.array_functions.arguments import (
    array_overload,
    involves_smooth_array,
    is_smooth_array,
    new_array,
)
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.numbers import to_float
from numba import types

_SIZES = "in a product of arrays, the last axis of the first must be as long as the first axis of the second"


def product(a, b):
    """Implementation of `a @ b` for arrays of one or two axes, some of floats; None for all others."""
    if not isinstance(a, types.Array) or not isinstance(b, types.Array) or not involves_smooth_array(a, b):
        return None
    if a.ndim not in (1, 2) or b.ndim not in (1, 2):
        return None
    text = _text(["i"][: a.ndim - 1], ["j"][: b.ndim - 1])
    return compile_function("product", text, {"new": new_array(types.float64), "zero": to_float})


def _text(rows: list[str], columns: list[str]) -> str:
    """Loops over the rows of `a`, the columns of `b` and the common axis."""
    free = [*rows, *columns]
    lines = [f"if a.shape[{len(rows)}] != b.shape[0]:", f"    raise ValueError({_SIZES!r})"]
    extents = {"i": "a.shape[0]", "j": "b.shape[1]"}
    if free:
        lines.append(f"out = new(({''.join(extents[name] + ', ' for name in free)}))")
    lines += [f"{'    ' * k}for {name} in range({extents[name]}):" for k, name in enumerate(free)]
    inner = "    " * len(free)
    lines += [f"{inner}total = zero(0.0)", f"{inner}for k in range(b.shape[0]):"]
    lines += [f"{inner}    total = total + a[{', '.join([*rows, 'k'])}] * b[{', '.join(['k', *columns])}]"]
    lines += [f"{inner}out[{', '.join(free)}] = total", "return out"] if free else ["return total"]
    return "def product(a, b):\n" + "".join(f"    {line}\n" for line in lines)


def _dot(a, b):
    """As `a @ b`, and a plain multiplication where one of both is a number."""
    if involves_smooth_array(a, b) and not (isinstance(a, types.Array) and isinstance(b, types.Array)):
        return lambda a, b: a * b
    return product(a, b)


def _outer(a, b):
    if not isinstance(a, types.Array) or not isinstance(b, types.Array) or not involves_smooth_array(a, b):
        return None
    new = new_array(types.float64)

    def implementation(a, b):
        out = new((a.size, b.size))
        for i, x in enumerate(a.flat):
            for j, y in enumerate(b.flat):
                out[i, j] = x * y
        return out

    return implementation


def _trace(a):
    if not is_smooth_array(a) or a.ndim != 2:
        return None
    zero = to_float

    def implementation(a):
        total = zero(0.0)
        for k in range(min(a.shape)):
            total = total + a[k, k]
        return total

    return implementation


def _diag(v):
    if not is_smooth_array(v) or v.ndim > 2:
        return None
    new, zero = new_array(v.dtype), to_float

    def matrix(v):
        out = new((v.size, v.size))
        out[...] = zero(0.0)
        for k in range(v.size):
            out[k, k] = v[k]
        return out

    def diagonal(v):
        out = new((min(v.shape),))
        for k in range(out.size):
            out[k] = v[k, k]
        return out

    return matrix if v.ndim == 1 else diagonal


def register() -> None:
    """Register everything of this file."""
    for function in (operator.matmul, np.matmul):
        array_overload(function)(lambda a, b: product(a, b))
    for function in (np.dot, np.inner, np.vdot):
        array_overload(function)(_dot if function is np.dot else _of_vectors)
    array_overload(np.outer)(_outer)
    array_overload(np.trace)(_trace)
    array_overload(np.diag)(_diag)


def _of_vectors(a, b):
    """`np.inner` and `np.vdot`, which are `np.dot` for vectors."""
    vectors = isinstance(a, types.Array) and isinstance(b, types.Array) and a.ndim == b.ndim == 1
    return product(a, b) if vectors else None
