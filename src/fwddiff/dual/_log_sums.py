"""`logsumexp`, `softmax` and `log_softmax` on arrays of duals.

With t the largest element, Σ exp(a) = exp(t) (1 + s), and log1p(s) has all digits where the others are small.
`logsumexp` does not depend on what t is: taken as a constant, slopes are sums of positive terms.
`softmax` divides exp(a - t) by 1 + s with t differentiated, so that the slope of the largest element is made
of the other terms, and not the difference 1 - p.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fwddiff.dual._made import stacked
from fwddiff.dual._parts import Operand, map_parts, strip
from fwddiff.dual._reductions import Axis, axes_of, lines_of

_LARGEST_EXPONENT = 700.0


def logsumexp(
    a: Operand, axis: Axis = None, b: Operand = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """`scipy.special.logsumexp`."""
    arrays = [_array(x) for x in ((a,) if b is None else (a, b))]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    lines = [lines_of(np.broadcast_to(x, shape), axis, keepdims) for x in arrays]
    with np.errstate(all="ignore"):
        log, sign = _log_sum(*(x for x, _ in lines))
        log = log if return_sign else np.where(sign < 0, math.nan, log)
    log, sign = (np.reshape(x, lines[0][1])[()] for x in (log, sign))
    return (log, sign) if return_sign else log


def _log_sum(x: Operand, w: Operand = 1.0) -> tuple[Operand, Any]:
    """log|Σ w exp(x)| along the first axis, and the sign of the sum."""
    if not len(strip(x)):
        return np.full(strip(x).shape[1:], -math.inf), np.zeros(strip(x).shape[1:])
    counted = np.where(strip(w) != 0, strip(x), -math.inf)
    top = np.max(counted, axis=0)
    shift = np.where(np.isfinite(top), top, 0.0)
    if np.any(top == -math.inf):  # weights that are all zero have slopes
        largest = np.max(strip(x), axis=0)
        shift = np.where((top == -math.inf) & np.isfinite(largest), largest, shift)
    terms = _terms(x - shift, w)
    is_top = np.arange(len(counted))[:, None] == np.argmax(counted, axis=0)
    total, rest = np.sum(terms, axis=0), np.sum(terms - is_top, axis=0)
    log = shift + np.where(abs(strip(rest)) < 0.5, np.log1p(rest), np.log(np.abs(total)))
    return _at_infinity(x, w, counted, log, np.sign(strip(total)))


def _terms(u: Operand, w: Operand) -> Operand:
    """w exp(u). A weight of zero cancels what overflows, but not its slope: the root has the value 0 and an
    infinite one."""
    is_out = (strip(w) == 0) & ~(strip(u) <= _LARGEST_EXPONENT)
    if not np.any(is_out):
        return w * np.exp(u)
    return np.where(is_out, np.sqrt(w), w * np.exp(np.where(is_out, 0.0, u)))


def _at_infinity(x: Operand, w: Operand, counted: Any, log: Operand, sign: Any) -> tuple[Operand, Any]:
    """Where the largest element is inf or all are -inf."""
    top = np.max(counted, axis=0)
    if not np.any(np.isinf(top)):
        return log, sign
    is_end = counted == math.inf
    shared = np.sum(np.where(is_end, x, 0.0), axis=0) / np.maximum(np.sum(is_end, axis=0), 1)
    weights = np.sum(np.where(is_end, strip(w), 0.0), axis=0)
    nothing = np.max(strip(x), axis=0) == -math.inf
    log = np.where(top == math.inf, shared, np.where(nothing, -math.inf, log))
    return log, np.where(top == math.inf, np.sign(weights), np.where(nothing, 0.0, sign))


def softmax(x: Operand, axis: Axis = None) -> Operand:
    """`scipy.special.softmax`."""
    with np.errstate(all="ignore"):
        parts = np.exp(_below_top(x, axis)[0])
        return _in_place(parts / np.sum(parts, axis=0), x, axis)


def log_softmax(x: Operand, axis: Axis = None) -> Operand:
    """`scipy.special.log_softmax`."""
    with np.errstate(all="ignore"):
        u, is_top = _below_top(x, axis)
        counted = np.isfinite(strip(u)) & ~is_top
        parts = np.where(counted, np.exp(np.where(counted, u, 0.0)), 0.0)
        return _in_place(u - np.log1p(np.sum(parts, axis=0)), x, axis)


def _below_top(x: Operand, axis: Axis) -> tuple[Operand, Any]:
    """What is left of each element without the largest of its line, nan where that is infinite; and which is
    the largest."""
    lines, _ = lines_of(_array(x), axis, False)
    place = np.argmax(strip(lines), axis=0)
    top = np.take_along_axis(lines, place[None], axis=0)
    if np.any(is_nothing := strip(top) == -math.inf):  # of all that are -inf, none is the largest
        top = np.where(is_nothing, np.sum(lines * math.nan, axis=0, keepdims=True), top)
    return lines - top, np.arange(len(strip(lines)))[:, None] == place


def _in_place(lines: Operand, x: Operand, axis: Axis) -> Operand:
    """Lines as elements of an array like `x`: `lines_of` backwards."""
    shape = _array(x).shape
    axes, kept = axes_of(len(shape), axis)
    order = axes + kept
    array = np.reshape(lines, tuple(shape[k] for k in order))
    return np.transpose(array, tuple(np.argsort(order)))[()]


def _array(x: Any) -> Operand:
    """With an axis at least, as SciPy has it; nested lists may hold duals."""
    array = map_parts(np.asarray, stacked(x))
    return array if array.ndim else np.reshape(array, (1,))


FORMS = {function.__name__: function for function in (logsumexp, softmax, log_softmax)}
