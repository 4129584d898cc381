"""NumPy's functions that make arrays of numbers: points of an interval, powers, polynomials, selections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff.dual._chain import missing, where
from fwddiff.dual._parts import Operand, strip
from fwddiff.dual._shapes import Handler, as_floating


def _points(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **options: Any,
) -> Any:
    """`numpy.linspace`, whose last point is exactly `stop`."""
    count = num - 1 if endpoint else num
    start, stop = as_floating(start), as_floating(stop)
    shape = np.broadcast_shapes(np.shape(strip(start)), np.shape(strip(stop)))
    place = np.arange(num).reshape(-1, *[1] * len(shape))
    step = (stop - start) / count if count > 0 else (stop - start) * np.nan
    points = place * step + start if count > 0 else place * (stop - start) + start
    if endpoint and num > 1:
        points = where(place == num - 1, stop, points)
    points = np.moveaxis(points, 0, axis) if axis else points
    return (points, step) if retstep else points


def _powers_of_base(
    start: Operand, stop: Operand, num: int = 50, endpoint: bool = True, base: Operand = 10.0, **options: Any
) -> Operand:
    return np.power(base, _points(start, stop, num, endpoint, **options))


def _geometric(
    start: Operand, stop: Operand, num: int = 50, endpoint: bool = True, **options: Any
) -> Operand:
    """`numpy.geomspace`, between points of one sign."""
    start, stop = as_floating(start), as_floating(stop)
    return start * (stop / start) ** _points(0.0, 1.0, num, endpoint)


def _product_of_polynomials(a1: Operand, a2: Operand) -> Operand:
    return np.convolve(a1, a2)


def _powers(x: Operand, N: int | None = None, increasing: bool = False) -> Operand:
    """`numpy.vander`: columns of powers."""
    count = np.size(strip(x)) if N is None else N
    columns: list[Operand] = [np.ones(np.shape(strip(x)))]
    while len(columns) < count:
        columns.append(columns[-1] * x)
    columns = columns[:count]
    return np.stack(columns if increasing else columns[::-1], axis=-1)


def _polynomial(p: Operand, x: Operand) -> Operand:
    """`numpy.polyval`, by Horner's scheme."""
    if isinstance(p, np.poly1d) or isinstance(x, np.poly1d):
        raise missing(np.polyval)
    x = as_floating(x)
    result: Operand = np.zeros(np.shape(strip(x)))[()]
    for coefficient in p:
        result = result * x + coefficient
    return result


def _selected(condlist: Sequence[Any], choicelist: Sequence[Operand], default: Operand = 0) -> Operand:
    """`numpy.select`: the choice of the first condition that holds."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    result = as_floating(default)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(np.asarray(strip(condition)), as_floating(choice), result)
    return result


def _appended(arr: Operand, values: Operand, axis: int | None = None) -> Operand:
    parts = [as_floating(arr), as_floating(values)]
    if axis is None:
        return np.concatenate([np.ravel(part) for part in parts])
    return np.concatenate(parts, axis=axis)


def building_handlers() -> dict[Any, Handler]:
    """NumPy function → its form on duals."""
    return {
        np.linspace: _points,
        np.logspace: _powers_of_base,
        np.geomspace: _geometric,
        np.polymul: _product_of_polynomials,
        np.vander: _powers,
        np.polyval: _polynomial,
        np.select: _selected,
        np.append: _appended,
    }
