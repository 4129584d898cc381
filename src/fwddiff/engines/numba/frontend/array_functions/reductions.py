"""Sums, means, products, variances and norms of arrays."""

from __future__ import annotations

import numpy as np

from fwddiff.engines.numba.frontend.array_functions.arguments import (
    array_overload,
    is_none,
    is_smooth_array,
    known,
    new_array,
)
from fwddiff.engines.numba.frontend.expressions import compile_function
from fwddiff.engines.numba.frontend.numbers import to_float


def _constant_axis(axis) -> int | None:
    """The axis, if it is known at compile time."""
    axis = known(axis)
    return axis if type(axis) is int else None


def _over_axis(name: str, a, axis: int, sign: str, start: float):
    """`name(a, axis)` for a constant axis: a loop over the array that folds each element into the result."""
    if not -a.ndim <= axis < a.ndim:
        return None
    axis %= a.ndim
    kept = [k for k in range(a.ndim) if k != axis]
    shape = "".join(f"a.shape[{k}], " for k in kept)
    indices = ", ".join(f"i{k}" for k in range(a.ndim))
    target = ", ".join(f"i{k}" for k in kept)
    lines = [f"out = new(({shape}))", "out[...] = start(c)"]
    lines += [f"{'    ' * k}for i{k} in range(a.shape[{k}]):" for k in range(a.ndim)]
    lines += [f"{'    ' * a.ndim}out[{target}] = out[{target}] {sign} a[{indices}]", "return out"]
    text = f"def {name}(a, axis=None):\n" + "".join(f"    {line}\n" for line in lines)
    return compile_function(name, text, {"new": new_array(a.dtype), "start": to_float, "c": start})


def _folded(name: str, a, sign: str, start: float):
    text = f"def {name}(a, axis=None):\n    total = start(c)\n    for element in a.flat:\n"
    text += f"        total = total {sign} element\n    return total\n"
    return compile_function(name, text, {"start": to_float, "c": start})


def _fold(function, sign: str, start: float) -> None:
    def typer(a, axis=None):
        if not is_smooth_array(a):
            return None
        if is_none(axis):
            return _folded(function.__name__, a, sign, start)
        constant = _constant_axis(axis)
        if constant is None:
            return None
        if a.ndim == 1 and constant in (0, -1):
            return _folded(function.__name__, a, sign, start)
        return _over_axis(function.__name__, a, constant, sign, start)

    array_overload(function, prefer_literal=True)(typer)


def _mean(a, axis=None):
    if not is_smooth_array(a):
        return None
    if is_none(axis):
        return lambda a, axis=None: np.sum(a) / a.size
    constant = _constant_axis(axis)
    if constant is None or not -a.ndim <= constant < a.ndim:
        return None
    return lambda a, axis=None: np.sum(a, constant) / a.shape[constant]


def _var(a, axis=None, dtype=None, out=None, ddof=0):
    if not is_smooth_array(a) or not all(map(is_none, (axis, dtype, out))):
        return None

    def implementation(a, axis=None, dtype=None, out=None, ddof=0):
        centre = np.mean(a)
        return np.sum(np.square(a - centre)) / (a.size - ddof)

    return implementation


def _std(a, axis=None, dtype=None, out=None, ddof=0):
    if not is_smooth_array(a) or not all(map(is_none, (axis, dtype, out))):
        return None
    return lambda a, axis=None, dtype=None, out=None, ddof=0: np.sqrt(np.var(a, ddof=ddof))


def _cumulative(function, sign: str, start: float) -> None:
    @array_overload(function)
    def typer(a):
        if not is_smooth_array(a):
            return None
        text = f"def {function.__name__}(a):\n    out = new((a.size,))\n    total = start(c)\n    k = 0\n"
        text += f"    for element in a.flat:\n        total = total {sign} element\n        out[k] = total\n"
        text += "        k += 1\n    return out\n"
        namespace = {"new": new_array(a.dtype), "start": to_float, "c": start}
        return compile_function(function.__name__, text, namespace)


def _norm(x, ord=None):
    if not is_smooth_array(x) or not is_none(ord) or x.ndim > 2:
        return None
    return lambda x, ord=None: np.sqrt(np.sum(np.square(x)))


def register() -> None:
    """Register everything of this file."""
    _fold(np.sum, "+", 0.0)
    _fold(np.prod, "*", 1.0)
    _cumulative(np.cumsum, "+", 0.0)
    _cumulative(np.cumprod, "*", 1.0)
    array_overload(np.mean, prefer_literal=True)(_mean)
    array_overload(np.var)(_var)
    array_overload(np.std)(_std)
    array_overload(np.linalg.norm)(_norm)
