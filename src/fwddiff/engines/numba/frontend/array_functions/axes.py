"""Functions that keep an axis, go along one, or repeat elements: `keepdims=True`, `np.max(x, axis=1)`,
`np.squeeze(x, axis=0)`, `np.tile(x, n)`, `x[[0, 2]]`."""

# Numba's types have attributes, and its modules exports, that no stub lists.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fwddiff.engines.numba.frontend.array_functions.arguments import (
    array_overload,
    is_none,
    is_smooth_array,
    known,
    new_array,
)
from fwddiff.engines.numba.frontend.expressions import compile_function
from numba import types


def _axis(a: Any, axis: Any) -> int | None:
    """The axis, if it is constant and the array has it."""
    axis = known(axis)
    return axis % a.ndim if type(axis) is int and -a.ndim <= axis < a.ndim else None


def _register_kept(function: Any) -> None:
    """`function(a, axis, keepdims=True)`: the result with an axis of length one."""
    name = function.__name__

    def typer(a, axis=None, keepdims=False):
        keeps = known(keepdims)
        is_given = isinstance(keepdims, types.Literal)  # else it is another form's, which this one calls
        if not is_smooth_array(a) or not is_given or type(keeps) is not bool:
            return None
        if is_none(axis):
            call, kept = "function(a)", range(0)
        else:
            constant = _axis(a, axis)
            if constant is None:
                return None
            call, kept = f"function(a, {constant})", [k for k in range(a.ndim) if k != constant]
        if not keeps:
            text = call
        elif a.ndim == 1 or is_none(axis):
            text = f"np.full(({'1, ' * a.ndim}), {call})"
        else:
            lengths = "".join(f"a.shape[{k}], " if k in kept else "1, " for k in range(a.ndim))
            text = f"{call}.reshape(({lengths}))"
        source = f"def {name}(a, axis=None, keepdims=False):\n    return {text}\n"
        return compile_function(name, source, {"function": function, "np": np})

    array_overload(function, prefer_literal=True)(typer)


def _register_along(function: Any) -> None:
    """`function(a, axis)`, by what it does with one row."""
    name = function.__name__

    def typer(a, axis):
        constant = _axis(a, axis) if is_smooth_array(a) else None
        if constant is None:
            return None
        if a.ndim == 1:
            return compile_function(
                name, f"def {name}(a, axis):\n    return function(a)\n", {"function": function}
            )
        kept = [k for k in range(a.ndim) if k != constant]
        shape = "".join(f"a.shape[{k}], " for k in kept)
        places = ", ".join(f"i{k}" for k in kept)
        row = ", ".join(":" if k == constant else f"i{k}" for k in range(a.ndim))
        lines = [f"out = new(({shape}))"]
        lines += [f"{'    ' * n}for i{k} in range(a.shape[{k}]):" for n, k in enumerate(kept)]
        lines += [f"{'    ' * len(kept)}out[{places}] = function(a[{row}])", "return out"]
        text = f"def {name}(a, axis):\n" + "".join(f"    {line}\n" for line in lines)
        return compile_function(name, text, {"new": new_array(a.dtype), "function": function})

    array_overload(function, prefer_literal=True)(typer)


def _squeeze(a, axis):
    constant = _axis(a, axis) if is_smooth_array(a) else None
    if constant is None:
        return None
    row = ", ".join("0" if k == constant else ":" for k in range(a.ndim))
    lines = [
        f"if a.shape[{constant}] != 1:",
        "    raise ValueError('cannot select an axis to squeeze out which has size not equal to one')",
        f"return a[{row}]",
    ]
    text = "def squeeze(a, axis):\n" + "".join(f"    {line}\n" for line in lines)
    return compile_function("squeeze", text, {})


def _tile(A, reps):
    if not is_smooth_array(A) or A.ndim != 1 or not isinstance(reps, types.Integer):
        return None
    new = new_array(A.dtype)

    def implementation(A, reps):
        out = new((A.shape[0] * max(reps, 0),))
        for k in range(reps):
            for i in range(A.shape[0]):
                out[k * A.shape[0] + i] = A[i]
        return out

    return implementation


def _picked(a, index):
    """`x[[0, 2]]`: rows by a list of places."""
    is_list = isinstance(index, types.List) and isinstance(index.dtype, types.Integer)
    if not is_smooth_array(a) or not is_list:
        return None
    new, rest = new_array(a.dtype), a.ndim - 1
    shape = "".join(f"a.shape[{k + 1}], " for k in range(rest))
    text = f"def picked(a, index):\n    out = new((len(index), {shape}))\n    k = 0\n"
    text += "    for place in index:\n        if place < -a.shape[0] or place >= a.shape[0]:\n"
    text += "            raise IndexError('index is out of bounds')\n"
    text += "        out[k] = a[place]\n        k += 1\n    return out\n"
    return compile_function("picked", text, {"new": new})


def register() -> None:
    """Register everything of this file."""
    for function in (np.sum, np.prod, np.mean, np.max, np.min):
        _register_kept(function)
    for function in (np.max, np.min):
        _register_along(function)
    array_overload(np.squeeze, prefer_literal=True)(_squeeze)
    array_overload(np.tile)(_tile)
    array_overload(operator.getitem)(_picked)
