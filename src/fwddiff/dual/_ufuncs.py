"""NumPy's universal functions on duals: calls, reductions and outer products."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from fwddiff._errors import DerivativeError
from fwddiff.dual._chain import apply, row_of
from fwddiff.dual._ignored import refuse_ignored
from fwddiff.dual._number import max_level
from fwddiff.dual._parts import Operand, strip
from fwddiff.dual._reductions import maximum_of, minimum_of, product, total
from fwddiff.dual._shapes import as_floating, multilinear

_BY_VALUE = frozenset({
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.isnan, np.isinf,
    np.isfinite,
    np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
})  # fmt: skip
_REDUCTIONS: dict[Any, Callable[..., Operand]] = {
    np.add: total, np.multiply: product, np.maximum: maximum_of, np.minimum: minimum_of,
}  # fmt: skip


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What `__array_ufunc__` has to return."""
    refuse_ignored()
    out = options.pop("out", None)
    _refuse(ufunc, options)
    operands = tuple(as_floating(x) for x in inputs)
    if ufunc in _BY_VALUE:
        return _written(getattr(ufunc, method)(*map(strip, operands), **options), out, ufunc)
    forms = {"__call__": _call, "reduce": _reduce, "accumulate": _accumulate, "outer": _outer}
    if method not in forms:
        raise DerivativeError(
            f"numpy.{ufunc.__name__}.{method} has no derivative in the numpy engine: use a loop."
        )
    return _written(forms[method](ufunc, *operands, **options), out, ufunc)


def _refuse(ufunc: np.ufunc, options: dict[str, Any]) -> None:
    if options.get("where", True) is not True:
        raise DerivativeError(
            f"numpy.{ufunc.__name__} with where= leaves elements undefined, and their derivatives "
            "too: call it without, and "
            "select with numpy.where(condition, result, otherwise)."
        )
    options.pop("where", None)
    wrong = [
        name for name in options if name not in ("axis", "keepdims", "initial") and options[name] is not None
    ]
    if wrong:
        raise DerivativeError(
            f"numpy.{ufunc.__name__} with {wrong[0]}= is not supported on dual numbers: leave "
            f"{wrong[0]}= out."
        )


def _written(result: Any, out: Any, ufunc: np.ufunc) -> Any:
    targets = out if isinstance(out, tuple) else (out,)
    if all(target is None for target in targets):
        return result
    return _write_into(targets[0], result, ufunc.__name__)


def _write_into(target: Any, result: Any, name: str) -> Any:
    if isinstance(target, np.ndarray) and max_level([result]) >= 0:
        raise DerivativeError(
            f"numpy.{name} cannot write a dual number into a plain array (out= or an operator such as "
            "+=), its "
            "derivative would be lost: use the result (x = x + y), or make the array with "
            "numpy.zeros_like of a "
            "dual array. A buffer from outside is a fd.DiffCache."
        )
    target[...] = result
    return target


def copy_to(dst: Any, src: Any, casting: Any = None, where: Any = True) -> None:
    """`numpy.copyto`, which `numpy.full_like` and others call."""
    _write_into(dst, src, "copyto")


def _call(ufunc: np.ufunc, *operands: Operand, **options: Any) -> Any:
    if ufunc is np.matmul:
        return matmul(*operands, **options)
    if ufunc is np.divmod:
        return np.floor_divide(*operands), np.remainder(*operands)
    if ufunc is np.modf:
        whole = np.trunc(strip(operands[0]))
        return operands[0] - whole, whole
    if ufunc is np.conjugate:
        return np.positive(*operands)
    return apply(row_of(ufunc), ufunc, operands)


def _reduce(ufunc: np.ufunc, x: Operand, axis: Any = 0, **options: Any) -> Operand:
    if ufunc not in _REDUCTIONS:
        return _folded(ufunc, x, axis, **options)
    return _REDUCTIONS[ufunc](x, axis, **options)


def _accumulate(ufunc: np.ufunc, x: Operand, axis: int = 0) -> Operand:
    if ufunc is np.add:
        return np.cumsum(x, axis=axis)
    if ufunc is np.multiply:
        return np.cumprod(x, axis=axis)
    return np.stack(list(itertools.accumulate(_along(x, axis), ufunc)), axis=axis)


def _folded(ufunc: np.ufunc, x: Operand, axis: Any = 0, keepdims: bool = False, **options: Any) -> Operand:
    """Of other functions: one element after the other, as NumPy does it."""
    if ufunc.nin != 2 or options or not isinstance(axis, int):
        raise DerivativeError(
            f"numpy.{ufunc.__name__}.reduce with these options has no derivative in the numpy engine: reduce "
            "in a loop over the axis."
        )
    result = functools.reduce(ufunc, _along(x, axis))
    return np.expand_dims(result, axis) if keepdims else result


def _along(x: Operand, axis: int) -> list[Operand]:
    return [np.take(x, k, axis=axis) for k in range(np.shape(strip(x))[axis])]


def _outer(ufunc: np.ufunc, a: Operand, b: Operand) -> Operand:
    return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b)


def matmul(a: Operand, b: Operand) -> Operand:
    """`a @ b` by the product rule."""
    return multilinear(np.matmul, (a, b))
