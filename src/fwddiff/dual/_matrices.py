"""Factorizations and powers of matrices of duals.

Slopes of the Cholesky factor: S. P. Smith, "Differentiation of the Cholesky algorithm", 1995, in the form of
I. Murray, arXiv:1602.07527, eq. 8. Slope of log|det A|: tr(A⁻¹ dA), Jacobi's formula.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff.dual._chain import missing, where
from fwddiff.dual._parts import Operand, level_of, make, map_parts, partials, strip, value_at
from fwddiff.dual._shapes import Handler, as_floating


def _log_determinant(a: Operand) -> Any:
    """`numpy.linalg.slogdet`; a singular matrix has the slope nan."""
    sign, _ = plain = np.linalg.slogdet(strip(a))
    return type(plain)(sign, _log_size(a, sign))


def _log_size(a: Operand, sign: Any) -> Operand:
    level = level_of(a)
    if level < 0:
        return np.linalg.slogdet(a)[1]
    matrix = value_at(a, level)
    # Where there is no inverse, that of the unit matrix keeps `solve` from failing for all of a stack.
    is_singular = np.asarray(sign == 0)[..., None, None]
    safe = np.where(is_singular, np.eye(np.shape(strip(matrix))[-1]), matrix) if is_singular.any() else matrix
    undefined = np.where(sign == 0, np.nan, 0.0)
    slopes = [_trace(np.linalg.solve(safe, d)) + undefined for d in partials(a, level, len(a.partials))]
    return make(_log_size(matrix, sign), slopes, level)


def _trace(a: Operand) -> Operand:
    return map_parts(lambda part: np.trace(part, axis1=-2, axis2=-1), a)


def _cholesky(a: Operand, *, upper: bool = False) -> Operand:
    """`numpy.linalg.cholesky`, which reads the lower triangle alone: dL = L Φ(L⁻¹ dA L⁻ᵀ), where Φ halves the
    diagonal and drops what is above."""
    if upper:
        raise missing(np.linalg.cholesky)
    level = level_of(a)
    if level < 0:
        return np.linalg.cholesky(a)
    factor = _cholesky(value_at(a, level))
    return make(factor, [_slope(factor, d) for d in partials(a, level, len(a.partials))], level)


def _slope(factor: Operand, d: Operand) -> Operand:
    n = np.shape(strip(d))[-1]
    lower, strict = np.tril(np.ones((n, n))), np.tril(np.ones((n, n)), -1)
    symmetric = d * lower + _transposed(d * strict)
    inner = _transposed(np.linalg.solve(factor, _transposed(np.linalg.solve(factor, symmetric))))
    return factor @ (inner * (lower + strict) / 2)


def _transposed(a: Operand) -> Operand:
    return np.swapaxes(a, -1, -2)


def _power(a: Operand, n: int) -> Operand:
    """`numpy.linalg.matrix_power`, by squaring."""
    if n < 0:
        return _power(np.linalg.inv(a), -n)
    result: Operand = np.eye(np.shape(strip(a))[-1]) + np.zeros(np.shape(strip(a)))
    while n:
        result, n = (result @ a if n & 1 else result), n >> 1
        a = a @ a if n else a
    return result


def _product_of_all(arrays: Sequence[Operand], *, out: None = None) -> Operand:
    return functools.reduce(np.matmul, map(as_floating, arrays))


def _eigenvalues(a: Operand, UPLO: Any = "L") -> Operand:
    return _symmetric_eigen(a, UPLO)[0]


def _symmetric_eigen(a: Operand, UPLO: Any = "L") -> Any:
    """`numpy.linalg.eigh`. With P = VᵀA'V: w' = diag P, V' = V (F ∘ P), F_ij = 1 / (w_j - w_i) for i ≠ j.

    M. Giles, "Collected matrix derivative results", 2008, 3.1. Equal eigenvalues have no derivative of V.
    """
    level = level_of(a)
    if level < 0:
        return np.linalg.eigh(a, UPLO)
    lower = a if UPLO == "L" else _transposed(a)
    w, v = found = _symmetric_eigen(value_at(lower, level))
    n = np.shape(strip(w))[-1]
    apart = np.reshape(w, (*np.shape(strip(w))[:-1], 1, n)) - np.reshape(w, (*np.shape(strip(w)), 1))
    with np.errstate(all="ignore"):
        f = where(np.eye(n, dtype=bool), 0.0, 1.0 / apart)
        moved = [_transposed(v) @ _symmetric(p) @ v for p in partials(lower, level, len(lower.partials))]
        slopes = [np.einsum("...ii->...i", p) for p in moved]
        turned = [v @ (f * p) for p in moved]
    return type(found)(make(w, slopes, level), make(v, turned, level))


def _symmetric(p: Operand) -> Operand:
    """What `eigh` makes of a lower triangle."""
    return np.tril(p) + _transposed(np.tril(p, -1))


def matrix_handlers() -> dict[Any, Handler]:
    """NumPy function → its form on duals."""
    return {
        np.linalg.slogdet: _log_determinant,
        np.linalg.cholesky: _cholesky,
        np.linalg.matrix_power: _power,
        np.linalg.multi_dot: _product_of_all,
        np.linalg.eigh: _symmetric_eigen,
        np.linalg.eigvalsh: _eigenvalues,
    }
