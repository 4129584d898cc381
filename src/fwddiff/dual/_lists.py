"""NumPy's functions of arrays, given lists of numbers (`np.sum([x, y])`): NumPy asks lists no questions, and
would lose the partials of what is in them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff.dual._made import holds_dual, stacked

_FUNCTIONS: tuple[Callable, ...] = (
    np.sum, np.prod, np.mean, np.max, np.min, np.amax, np.amin, np.var, np.std, np.median, np.average, np.ptp,
    np.quantile, np.percentile, np.nansum, np.nanmean, np.nanmax, np.nanmin, np.cumsum, np.cumprod, np.diff,
    np.dot, np.vdot, np.inner, np.outer, np.cross, np.kron, np.convolve, np.tensordot, np.einsum,
    np.linalg.norm, np.linalg.det, np.linalg.solve, np.linalg.inv,
    np.sort, np.argsort, np.argmax, np.argmin, np.any, np.all, np.clip, np.where, np.interp, np.polyval,
    np.reshape, np.ravel, np.transpose, np.flip, np.roll, np.tile, np.repeat, np.diag, np.trace, np.append,
    np.round, np.atleast_1d, np.atleast_2d, np.size, np.shape, np.ndim, np.squeeze, np.take,
)  # fmt: skip


def of_lists(as_array: Callable[[Any], Any] | None = None) -> dict[Callable, Callable]:
    """NumPy function → its form on lists that hold duals, too; `as_array` makes arrays of such lists."""
    made = as_array or _as_array
    # NumPy 1 calls it by its older name.
    trapezoid = getattr(np, "trapezoid", None) or getattr(np, "trapz")  # noqa: B009 - no stub has it
    return {function: _of_lists(function, made) for function in (*_FUNCTIONS, trapezoid)}


def _of_lists(function: Callable, as_array: Callable[[Any], Any]) -> Callable:
    @functools.wraps(function)
    def of_anything(*arguments: Any, **options: Any) -> Any:
        given = [as_array(x) for x in arguments]
        return function(*given, **{name: as_array(x) for name, x in options.items()})

    return of_anything


def _as_array(x: Any) -> Any:
    return stacked(x) if type(x) in (list, tuple) and holds_dual(x) else x
