"""NumPy functions that reduce, order or measure arrays of duals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff._errors import DerivativeError
from fwddiff.dual._chain import locally_constant, missing, where
from fwddiff.dual._elimination import determinant
from fwddiff.dual._parts import Operand, level_of, make, map_parts, partials, strip, value_at
from fwddiff.dual._shapes import Handler

# Functions of values alone: their results are indices, truth values, shapes or dtypes.
_BY_VALUE: tuple[Any, ...] = (
    np.argmax, np.argmin, np.argsort, np.argpartition, np.any, np.all, np.shape, np.ndim, np.size,
    np.count_nonzero,
    np.nonzero, np.flatnonzero, np.argwhere, np.isclose, np.allclose, np.iscomplexobj, np.isrealobj,
    np.iscomplex,
    np.isreal, np.searchsorted, np.result_type, np.array_equiv, np.isneginf, np.isposinf, np.nanargmax,
    np.nanargmin, np.array_equal, np.digitize,
)  # fmt: skip
Axis = int | tuple[int, ...] | None


def _by_value(function: Any) -> Handler:
    def of_values(*arguments: Any, **options: Any) -> Any:
        return function(*map(strip, arguments), **{name: strip(x) for name, x in options.items()})

    return of_values


def total(
    x: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = True,
) -> Operand:
    """`numpy.sum`."""

    # NumPy's sum of -0.0 is 0.0 unless it starts from -0.0, which says "does not depend" in partials.
    def added(part: Any) -> Any:
        start = part.dtype.type(-0.0) if part.dtype.kind == "f" else 0
        return np.sum(part, axis=axis, keepdims=_flag(keepdims), initial=start)

    result = map_parts(added, x)
    return result if _absent(initial) else result + initial


def product(
    x: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = True,
) -> Operand:
    """`numpy.prod`, factor by factor: exact where factors are zero, unlike y/x."""
    lines, shape = lines_of(x, axis, _flag(keepdims))
    result = np.ones_like(lines[0]) if len(strip(lines)) else np.ones(shape)
    for line in lines:
        result = result * line
    result = _reshaped(result, shape)
    return result if _absent(initial) else result * initial


def _extremum(position: Callable[..., Any], choose: Any) -> Handler:
    def on_dual(
        x: Operand,
        axis: Axis = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Operand:
        lines, shape = lines_of(x, axis, _flag(keepdims))
        # One of the largest: the first has all of the slope. nan counts as the largest, as in NumPy.
        chosen = position(strip(lines), axis=0)
        result = _reshaped(np.take_along_axis(lines, chosen[None], axis=0)[0], shape)
        return result if _absent(initial) else choose(result, initial)

    return on_dual


maximum_of = _extremum(np.argmax, np.maximum)
minimum_of = _extremum(np.argmin, np.minimum)


def axes_of(ndim: int, axis: Axis) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that are reduced, and the others."""
    given = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(range(ndim)[a] for a in given)
    return axes, tuple(a for a in range(ndim) if a not in axes)


def lines_of(x: Operand, axis: Axis, keepdims: bool) -> tuple[Operand, tuple[int, ...]]:
    """`x` with the reduced axes as one leading axis, the others as a second, and the result's shape."""
    array = map_parts(np.asarray, x)
    ndim = array.ndim
    axes, kept = axes_of(ndim, axis)
    sizes = array.shape
    shape = tuple(1 if a in axes else n for a, n in enumerate(sizes) if keepdims or a not in axes)
    count = math.prod(sizes[a] for a in axes)
    rest = math.prod(sizes[a] for a in kept)
    return np.reshape(np.transpose(array, axes + kept), (count, rest)), shape


def _reshaped(x: Operand, shape: tuple[int, ...]) -> Operand:
    result = np.reshape(x, shape)
    return result if shape else result[()]


def _flag(option: Any) -> bool:
    return False if _absent(option) else bool(option)


def _absent(option: Any) -> bool:
    return option is None or option is np._NoValue


def _variance(
    x: Operand,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = False,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Operand:
    ddof = ddof if _absent(correction) else correction
    deviation = x - (np.mean(x, axis=axis, keepdims=True) if _absent(mean) else mean)
    squares = np.sum(deviation * deviation, axis=axis, keepdims=_flag(keepdims))
    count = deviation.size / np.size(strip(squares))
    return squares / (count - ddof)


def _deviation(*arguments: Any, **options: Any) -> Operand:
    return np.sqrt(_variance(*arguments, **options))


def _norm(x: Operand, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Operand:
    """Euclidean (Frobenius for matrices), or of order 1, inf or any power for vectors."""
    vectors = isinstance(axis, int) or (axis is None and x.ndim == 1)
    if ord is None or (ord == "fro" and not vectors) or (vectors and ord == 2):
        return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))
    if not vectors or isinstance(ord, str):
        raise DerivativeError(
            f"numpy.linalg.norm with ord={ord!r} of a matrix has no derivative in the numpy engine: "
            "use ord=None, 'fro', "
            "or norms of vectors (axis=...)."
        )
    if abs(ord) == math.inf:
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    powers = np.abs(x) if ord == 1 else np.abs(x) ** ord
    result = np.sum(powers, axis=axis, keepdims=keepdims)
    return result if ord == 1 else result ** (1 / ord)


def _sort(x: Operand, axis: int | None = -1, **options: Any) -> Operand:
    if axis is None:
        x, axis = np.ravel(x), -1
    return np.take_along_axis(x, np.argsort(strip(x), axis=axis, kind="stable"), axis=axis)


def _clip(
    x: Operand, a_min: Operand = None, a_max: Operand = None, out: Any = None, **options: Any
) -> Operand:
    low, high = options.pop("min", a_min), options.pop("max", a_max)
    x = x if _absent(low) else np.maximum(x, low)
    return x if _absent(high) else np.minimum(x, high)


def _cumulative_product(x: Operand, axis: int | None = None, dtype: Any = None, out: Any = None) -> Operand:
    lines = np.moveaxis(np.ravel(x) if axis is None else x, axis or 0, 0)
    products = [lines[0]]
    for line in list(lines)[1:]:
        products.append(products[-1] * line)
    return np.moveaxis(np.stack(products), 0, axis or 0)


def _solve(a: Operand, b: Operand) -> Operand:
    """`numpy.linalg.solve`: the partials of x = a⁻¹ b solve a dx = db - da x."""
    level = max(level_of(a), level_of(b))
    if level < 0:
        return np.linalg.solve(a, b)
    count = len((a if level_of(a) == level else b).partials)
    matrix, x = value_at(a, level), _solve(value_at(a, level), value_at(b, level))
    pairs = zip(partials(a, level, count), partials(b, level, count), strict=True)
    return make(x, [_solve(matrix, db - da @ x) for da, db in pairs], level)


def _inverse(a: Operand) -> Operand:
    return _solve(a, np.eye(a.shape[-1], dtype=a.dtype))


def _determinant(a: Operand) -> Operand:
    if np.ndim(strip(a)) != 2:
        raise missing(np.linalg.det)
    return determinant(a.copy(), 1.0)


def _interpolated(x: Operand, xp: Operand, fp: Operand, *others: Any, **options: Any) -> Operand:
    """`numpy.interp`: in a node the slope is that of the piece to the right, as the value is."""
    if others or options:
        raise missing(np.interp)
    xp, fp = (table if level_of(table) >= 0 else np.asarray(table) for table in (xp, fp))
    at, nodes = strip(x), strip(xp)
    k = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, len(nodes) - 2)
    inside = fp[k] + (fp[k + 1] - fp[k]) / (xp[k + 1] - xp[k]) * (x - xp[k])
    return where(at < nodes[0], fp[0], where(at >= nodes[-1], fp[-1], inside))


def _rounded(x: Operand, decimals: int = 0, out: None = None) -> Operand:
    return locally_constant(lambda part: np.round(part, decimals), x)


def is_by_value(function: Any) -> bool:
    """Whether a NumPy function looks at values alone, so that its options cannot lose a derivative."""
    return function in _BY_VALUE


def reduction_handlers() -> dict[Any, Handler]:
    """NumPy function → its form on duals."""
    handlers: dict[Any, Handler] = {f: _by_value(f) for f in _BY_VALUE}
    handlers |= {np.sum: total, np.prod: product, np.max: maximum_of, np.min: minimum_of, np.amax: maximum_of}
    handlers |= {
        np.amin: minimum_of,
        np.var: _variance,
        np.std: _deviation,
        np.linalg.norm: _norm,
        np.sort: _sort,
    }
    handlers |= {
        np.clip: _clip,
        np.cumprod: _cumulative_product,
        np.linalg.solve: _solve,
        np.linalg.inv: _inverse,
        np.linalg.det: _determinant,
        np.interp: _interpolated,
    }
    return handlers | {np.round: _rounded, np.around: _rounded}
