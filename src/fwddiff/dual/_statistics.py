"""NumPy's statistics of arrays of duals: order statistics, averages, what leaves nan out, integrals.

At ties an order statistic is one of the equal elements, which has all of the slope, as in `numpy.sort`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fwddiff.dual._chain import missing, where
from fwddiff.dual._parts import Operand, map_parts, strip
from fwddiff.dual._reductions import Axis, lines_of, maximum_of, minimum_of
from fwddiff.dual._shapes import Handler, as_floating


def _range(a: Operand, axis: Axis = None, out: Any = None, keepdims: Any = False) -> Operand:
    return maximum_of(a, axis, keepdims=keepdims) - minimum_of(a, axis, keepdims=keepdims)


def _median(
    a: Operand, axis: Axis = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Operand:
    ordered, shape = _ordered(a, axis, keepdims)
    middle = len(strip(ordered)) // 2
    odd = len(strip(ordered)) % 2
    found = ordered[middle] if odd else (ordered[middle - 1] + ordered[middle]) / 2
    return _shaped(_unless_nan(ordered, found), shape)


def _ordered(a: Operand, axis: Axis, keepdims: bool) -> tuple[Operand, tuple[int, ...]]:
    """Sorted lines, as one leading axis, and the shape of one number for each; nan comes last."""
    lines, shape = lines_of(as_floating(a), axis, bool(keepdims))
    return np.take_along_axis(lines, np.argsort(strip(lines), axis=0, kind="stable"), axis=0), shape


def _unless_nan(ordered: Operand, found: Operand) -> Operand:
    last = ordered[len(strip(ordered)) - 1]
    return where(np.isnan(strip(last)), last, found)


def _shaped(x: Operand, shape: tuple[int, ...]) -> Operand:
    return np.reshape(x, shape) if shape else np.reshape(x, (1,))[0]


def _quantile(
    a: Operand,
    q: Operand,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    **options: Any,
) -> Operand:
    """Differentiable in `q` too: the slope is that of the piece between two elements, to the right at one."""
    if method != "linear" or any(option is not None for option in options.values()):
        raise missing(np.quantile)
    if np.any((strip(q) < 0) | (strip(q) > 1) if not isinstance(q, list | tuple) else False):
        raise ValueError("Quantiles must be in the range [0, 1]")
    ordered, shape = _ordered(a, axis, keepdims)
    levels = as_floating(q)
    if not np.ndim(strip(levels)):
        return _shaped(_at_level(ordered, levels), shape)
    each = [_shaped(_at_level(ordered, level), shape) for level in np.ravel(levels)]
    return np.reshape(np.stack(each), (*np.shape(strip(levels)), *shape))


def _at_level(ordered: Operand, level: Operand) -> Operand:
    count = len(strip(ordered))
    place = level * (count - 1)
    below = int(np.clip(np.floor(strip(place)), 0, max(count - 2, 0)))
    a, b, t = ordered[below], ordered[min(below + 1, count - 1)], place - below
    # As NumPy has it, exact at both ends.
    found = b - (b - a) * (1 - t) if strip(t) >= 0.5 else a + (b - a) * t
    return _unless_nan(ordered, found)


def _percentile(a: Operand, q: Operand, *arguments: Any, **options: Any) -> Operand:
    return _quantile(a, as_floating(q) / 100, *arguments, **options)


def _average(
    a: Operand,
    axis: Axis = None,
    weights: Operand = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    a, keepdims = as_floating(a), keepdims is True
    if weights is None:
        mean = np.mean(a, axis=axis, keepdims=keepdims)
        return (
            (mean, np.full_like(strip(mean), np.size(strip(a)) / np.size(strip(mean)))) if returned else mean
        )
    weights = as_floating(weights)
    if np.shape(strip(weights)) != np.shape(strip(a)):
        if not isinstance(axis, int):
            raise missing(np.average)
        shape = [1] * np.ndim(strip(a))
        shape[axis] = -1
        weights = np.reshape(weights, tuple(shape)) + np.zeros(np.shape(strip(a)))
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    if np.any(strip(total) == 0):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    mean = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (mean, total) if returned else mean


# --- without what is nan ------------------------------------------------------------------------------------


def _without_nan(function: Any, filler: float) -> Handler:
    """A function of the numbers that are left, where the others are `filler`."""

    def on_dual(a: Operand, *arguments: Any, **options: Any) -> Operand:
        a = as_floating(a)
        return function(where(np.isnan(strip(a)), filler, a), *arguments, **options)

    return on_dual


_sum_of_numbers = _without_nan(np.sum, 0.0)


def _count(a: Operand, axis: Axis, keepdims: Any) -> Any:
    return np.sum(~np.isnan(strip(a)), axis=axis, keepdims=keepdims is True)


def _mean_of_numbers(
    a: Operand, axis: Axis = None, dtype: Any = None, out: Any = None, keepdims: Any = False
) -> Operand:
    return _sum_of_numbers(a, axis=axis, keepdims=keepdims) / _count(a, axis, keepdims)


def _variance_of_numbers(
    a: Operand, axis: Axis = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: Any = False
) -> Operand:
    a = as_floating(a)
    deviation = a - _mean_of_numbers(a, axis, keepdims=True)
    return _sum_of_numbers(deviation * deviation, axis=axis, keepdims=keepdims) / (
        _count(a, axis, keepdims) - ddof
    )


def _deviation_of_numbers(*arguments: Any, **options: Any) -> Operand:
    return np.sqrt(_variance_of_numbers(*arguments, **options))


def _extremum_of_numbers(extremum: Handler, filler: float) -> Handler:
    def on_dual(a: Operand, axis: Axis = None, out: Any = None, keepdims: Any = False) -> Operand:
        a = as_floating(a)
        found = extremum(where(np.isnan(strip(a)), filler, a), axis, keepdims=keepdims)
        return where(_count(a, axis, keepdims) == 0, np.nan, found)

    return on_dual


# --- integrals ----------------------------------------------------------------------------------------------


def _trapezoid(y: Operand, x: Operand = None, dx: Operand = 1.0, axis: int = -1) -> Operand:
    y = np.moveaxis(as_floating(y), axis, -1)
    if x is not None:
        x = as_floating(x)
        dx = np.diff(x if np.ndim(strip(x)) == 1 else np.moveaxis(x, axis, -1))
    return np.sum(dx * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


def _diagonal_of(c: Operand) -> Operand:
    return map_parts(np.diagonal, c)


def _covariance(
    m: Operand,
    y: Operand = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: float | None = None,
    **others: Any,
) -> Operand:
    if any(option is not None for option in others.values()):
        raise missing(np.cov)
    rows = [np.atleast_2d(as_floating(part)) for part in (m, y) if part is not None]
    rows = [part if rowvar or np.shape(strip(part))[0] == 1 else part.T for part in rows]
    both = np.concatenate(rows) if len(rows) > 1 else rows[0]
    centred = both - np.mean(both, axis=1, keepdims=True)
    ddof = (0 if bias else 1) if ddof is None else ddof
    found = centred @ centred.T / (np.shape(strip(centred))[1] - ddof)
    return np.squeeze(found)[()]


def _correlation(x: Operand, y: Operand = None, rowvar: bool = True, **others: Any) -> Operand:
    covariance = _covariance(x, y, rowvar, **others)
    if not np.ndim(strip(covariance)):
        return covariance / covariance
    deviation = np.sqrt(_diagonal_of(covariance))
    return covariance / np.reshape(deviation, (-1, 1)) / deviation


def statistics_handlers() -> dict[Any, Handler]:
    """NumPy function → its form on duals."""
    handlers: dict[Any, Handler] = {np.ptp: _range, np.median: _median, np.average: _average}
    handlers |= {np.quantile: _quantile, np.percentile: _percentile, np.cov: _covariance}
    handlers |= {np.nansum: _sum_of_numbers, np.nanprod: _without_nan(np.prod, 1.0)}
    handlers |= {np.nancumsum: _without_nan(np.cumsum, 0.0), np.nancumprod: _without_nan(np.cumprod, 1.0)}
    handlers |= {np.nanmean: _mean_of_numbers, np.nanvar: _variance_of_numbers}
    handlers |= {np.nanstd: _deviation_of_numbers, np.nanmax: _extremum_of_numbers(maximum_of, -np.inf)}
    handlers |= {np.nanmin: _extremum_of_numbers(minimum_of, np.inf), np.corrcoef: _correlation}
    # NumPy 1 calls it by its older name.
    return handlers | {getattr(np, "trapezoid", None) or np.trapz: _trapezoid}  # type: ignore[attr-defined]
