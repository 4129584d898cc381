"""Patterns in the form in which they are used, whether found or given: CSR, each entry once, sorted."""

from __future__ import annotations

from typing import Any

import numpy as np

from fwddiff._errors import ArgumentError, FwdDiffError, ShapeError
from fwddiff.sparsity._detect import Found


def scipy_sparse() -> Any:
    """SciPy's module `sparse`, which is imported where it is needed."""
    try:
        import scipy.sparse
    except ImportError as error:
        raise FwdDiffError("sparsity= needs SciPy: pip install 'fwddiff[scipy]'.") from error
    return scipy.sparse


def given(pattern: Any, shape: tuple[int, int]) -> Any:
    """A pattern that the user gave, a `scipy.sparse` array or a NumPy array, whose entries that are not zero
    count; of a sparse one all entries that it stores.

    Raises:
        ArgumentError: it is neither.
        ShapeError: it is not of this shape.
    """
    sparse = scipy_sparse()
    if isinstance(pattern, list | tuple):
        pattern = np.asarray(pattern)
    if isinstance(pattern, np.ndarray) and pattern.dtype.kind in "bifu" and pattern.ndim == 2:
        rows, columns = np.nonzero(pattern)
    elif sparse.issparse(pattern) and len(pattern.shape) == 2:
        stored = sparse.coo_array(pattern)
        rows, columns = stored.row, stored.col
    else:
        raise ArgumentError(
            f'sparsity={pattern!r} is no pattern: give "detect", a scipy.sparse array, or a boolean NumPy '
            "array with two axes."
        )
    if tuple(pattern.shape) != shape:
        raise ShapeError(
            f"the pattern has shape {tuple(pattern.shape)}, and the derivatives have {shape}: a row for each "
            "element of the result, a column for each of the argument."
        )
    return compressed(Found(rows, columns), shape)


def compressed(found: Found, shape: tuple[int, int]) -> Any:
    """The pattern as a CSR array of ones."""
    entries = np.ones(len(found.rows), np.int8)
    pattern = scipy_sparse().coo_array((entries, (found.rows, found.columns)), shape=shape).tocsr()
    pattern.sort_indices()
    pattern.data = np.ones(pattern.nnz, np.int8)
    return pattern


def symmetric(pattern: Any) -> Any:
    """The pattern with the transpose of each of its entries."""
    both = (pattern + pattern.T).tocoo()
    return compressed(Found(both.row, both.col), pattern.shape)
