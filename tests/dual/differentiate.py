"""Derivatives of Python functions by duals alone: each call is one level deeper than its caller."""

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from fwddiff import dual

_levels = []


@contextmanager
def new_level():
    _levels.append(len(_levels))
    try:
        yield _levels[-1]
    finally:
        _levels.pop()


def derivative(f: Callable, x):
    """df/dx at a number, or along all elements of an array at once."""
    with new_level() as level:
        y = f(dual.make(x, [np.ones_like(dual.strip(x)) if np.ndim(dual.strip(x)) else 1.0], level))
        return dual.partials(y, level, 1)[0]


def gradient(f: Callable, *xs: float) -> list:
    """One partial per argument, by one pass; a direction is the integer 0 in the other arguments."""
    with new_level() as level:
        seeds = [[float(i == k) if i == k else 0 for k in range(len(xs))] for i in range(len(xs))]
        y = f(*[dual.make(x, s, level) for x, s in zip(xs, seeds, strict=True)])
        return list(dual.partials(y, level, len(xs)))


def jacobian(f: Callable, x: np.ndarray) -> np.ndarray:
    """Derivatives of f(x) by each element of the array x, on a last axis."""
    with new_level() as level:
        units = np.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
        y = f(dual.make(x, list(units), level))
        return np.stack(dual.partials(y, level, x.size), axis=-1)


def numerical_jacobian(f: Callable, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The same by central differences."""
    columns = []
    for unit in np.eye(x.size).reshape(x.size, *x.shape):
        columns.append((np.asarray(f(x + step * unit)) - np.asarray(f(x - step * unit))) / (2 * step))
    return np.stack(columns, axis=-1)
