"""Systems of linear equations with duals, and tables: `np.linalg.solve`, `inv`, `det`, `np.interp`,
`np.searchsorted`."""

# Numba supplies the typing context of an intrinsic itself, and its types have attributes that no stub lists.
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np

from fwddiff.dual import determinant
from fwddiff.engines.numba.frontend.array_functions.arguments import (
    array_overload,
    involves_smooth_array,
    is_smooth,
    is_smooth_array,
    new_array,
)
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.numbers import element_type, is_number, to_float
from numba import types
from numba.extending import register_jitable


@register_jitable
def _solve_in_place(m, x):
    """Gauss's elimination: `x`, the right-hand sides as columns, becomes the solutions; overwrites `m`."""
    n = m.shape[0]
    if m.shape[1] != n or x.shape[0] != n:
        raise ValueError("np.linalg.solve needs a square matrix, and as many right-hand sides as rows")
    for k in range(n):
        row = k
        for i in range(k + 1, n):
            if abs(m[i, k]) > abs(m[row, k]):
                row = i
        if m[row, k] == 0:
            raise np.linalg.LinAlgError("Singular matrix")
        if row != k:
            for j in range(n):
                m[k, j], m[row, j] = m[row, j], m[k, j]
            for j in range(x.shape[1]):
                x[k, j], x[row, j] = x[row, j], x[k, j]
        for i in range(k + 1, n):
            factor = m[i, k] / m[k, k]
            for j in range(k + 1, n):
                m[i, j] = m[i, j] - factor * m[k, j]
            for j in range(x.shape[1]):
                x[i, j] = x[i, j] - factor * x[k, j]
    for k in range(n - 1, -1, -1):
        for j in range(x.shape[1]):
            total = x[k, j]
            for i in range(k + 1, n):
                total = total - m[k, i] * x[i, j]
            x[k, j] = total / m[k, k]


def _solve(a, b):
    if not involves_smooth_array(a, b) or getattr(a, "ndim", 0) != 2 or getattr(b, "ndim", 0) not in (1, 2):
        return None
    new = new_array(types.float64)
    columns = "1" if b.ndim == 1 else "b.shape[1]"
    given, found = ("b[i]", "x[:, 0].copy()") if b.ndim == 1 else ("b[i, j]", "x")
    text = (
        "def solved(a, b):\n"
        f"    m, x = new(a.shape), new((b.shape[0], {columns}))\n"
        "    for i in range(a.shape[0]):\n"
        "        for j in range(a.shape[1]):\n"
        "            m[i, j] = a[i, j]\n"
        "    for i in range(b.shape[0]):\n"
        f"        for j in range({columns}):\n"
        f"            x[i, j] = {given}\n"
        "    solve(m, x)\n"
        f"    return {found}\n"
    )
    return compile_function("solved", text, {"new": new, "solve": _solve_in_place})


def _inverse(a):
    if not is_smooth_array(a) or a.ndim != 2:
        return None
    new, number = new_array(a.dtype), to_float

    def implementation(a):
        n = a.shape[0]
        m, x = new(a.shape), new((n, n))
        for i in range(n):
            for j in range(n):
                m[i, j] = a[i, j]
                x[i, j] = number(1.0 if i == j else 0.0)
        _solve_in_place(m, x)
        return x

    return implementation


def _determinant(a):
    if not is_smooth_array(a) or a.ndim != 2:
        return None
    new, number = new_array(a.dtype), to_float
    eliminate = register_jitable(determinant)

    def implementation(a):
        m = new(a.shape)
        for i in range(a.shape[0]):
            for j in range(a.shape[1]):
                m[i, j] = a[i, j]
        return eliminate(m, number(1.0))

    return implementation


# --- tables -------------------------------------------------------------------------------------------------


def _interpolated(x, xp, fp):
    """A piecewise linear function; in a node the slope is that of the piece to the right, as the value is."""
    kinds = (x, element_type(xp), element_type(fp))
    if not isinstance(xp, types.Array) or not isinstance(fp, types.Array):
        return None
    if not (is_smooth(x) or is_number(x)) or not any(map(is_smooth, kinds)):
        return None

    wide = to_float

    def implementation(x, xp, fp):
        if len(xp) != len(fp):
            raise ValueError("fp and xp are not of the same length.")
        last = len(xp) - 1
        if x < xp[0]:
            return wide(fp[0])
        if x >= xp[last]:
            return wide(fp[last])
        if x != x:
            return wide(x)
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            if x < xp[middle]:
                high = middle
            else:
                low = middle
        slope = (fp[low + 1] - fp[low]) / (xp[low + 1] - xp[low])
        return wide(fp[low] + slope * (x - xp[low]))

    return implementation


def _position(a, v, side="left"):
    """`np.searchsorted`: locally constant."""
    if not isinstance(a, types.Array) or not (is_smooth(v) or is_number(v)):
        return None
    if not is_smooth(v) and not is_smooth(a.dtype):
        return None
    side = getattr(side, "literal_value", getattr(side, "value", side))
    if side not in ("left", "right"):
        return None
    text = (
        "def position(a, v, side='left'):\n"
        "    low, high = 0, len(a)\n"
        "    while low < high:\n"
        "        middle = (low + high) // 2\n"
        f"        if {'a[middle] < v' if side == 'left' else 'a[middle] <= v'}:\n"
        "            low = middle + 1\n"
        "        else:\n"
        "            high = middle\n"
        "    return low\n"
    )
    return compile_function("position", text, {})


def register() -> None:
    """Register everything of this file."""
    array_overload(np.linalg.solve)(_solve)
    array_overload(np.linalg.inv)(_inverse)
    array_overload(np.linalg.det)(_determinant)
    array_overload(np.interp)(_interpolated)
    array_overload(np.searchsorted, prefer_literal=True)(_position)
