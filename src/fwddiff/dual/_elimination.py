"""The determinant, in code that Python runs and Numba compiles: on numbers, and on duals of either."""

from __future__ import annotations

from typing import Any


def determinant(m: Any, one: Any) -> Any:
    """Determinant of a square matrix, which is overwritten.

    A singular matrix has a derivative too. The largest element left is the pivot, so that a pivot of 0 means
    that the rest has the value 0: its determinant counts for as many derivatives as it has rows.
    """
    n, product = m.shape[0], one
    for k in range(n):
        row, column = k, k
        for i in range(k, n):
            for j in range(k, n):
                if abs(m[i, j]) > abs(m[row, column]):
                    row, column = i, j
        for j in range(n):
            m[k, j], m[row, j] = m[row, j], m[k, j]
        for i in range(n):
            m[i, k], m[i, column] = m[i, column], m[i, k]
        if (row != k) != (column != k):
            product = -product
        size = n - k
        if m[k, k] == 0 and size > 1:  # exact for two derivatives
            rest = m[k, k] * m[k + 1, k + 1] - m[k, k + 1] * m[k + 1, k]
            return product * (rest if size == 2 else rest * m[k + 2, k + 2])
        product = product * m[k, k]
        for i in range(k + 1, n):
            factor = m[i, k] / m[k, k]
            for j in range(k + 1, n):
                m[i, j] = m[i, j] - factor * m[k, j]
    return product
