"""Derivatives by differences, extrapolated to step zero, with an estimate of their error.

Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", Advances in Engineering Software 4 (1982): central
differences with steps h, h/2, h/4, … and Richardson's extrapolation in h²; of all values in the tableau the
one is taken that differs least from its neighbours. Small differences may be chance where values are noisy,
so this is done with two first steps, and what they disagree in is an error too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

_FIRST_STEPS = (0.02, 0.013)
_STEPS = 6

Function = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


class Difference(NamedTuple):
    """A derivative and how far it may be off, element by element."""

    value: np.ndarray
    error: np.ndarray


def along(
    function: Function, leaves: Sequence[np.ndarray], direction: Sequence[np.ndarray]
) -> list[Difference]:
    """Directional derivative of each output of `function` at `leaves`.

    Elements where the function is not finite at all steps have the error inf.
    """
    both = [_from_step(function, leaves, direction, first) for first in _FIRST_STEPS]
    return [_combined(a, b) for a, b in zip(*both, strict=True)]


def _from_step(function: Function, leaves, direction, first: float) -> list[Difference]:
    columns = [_central(function, leaves, direction, first / 2**k) for k in range(_STEPS)]
    return [_extrapolated([column[j] for column in columns]) for j in range(len(columns[0]))]


def _combined(a: Difference, b: Difference) -> Difference:
    """The one with the smaller estimate of its error, and at least the error that the other shows."""
    better = a.error <= b.error
    off = np.nan_to_num(abs(a.value - b.value), nan=np.inf)
    value = np.where(better, a.value, b.value)
    return Difference(value, np.maximum(np.where(better, a.error, b.error), off))


def _central(function: Function, leaves, direction, step: float) -> list[np.ndarray]:
    scaled = [step * d for d in direction]
    with np.errstate(all="ignore"):
        above = function([np.asarray(x, float) + d for x, d in zip(leaves, scaled, strict=True)])
        below = function([np.asarray(x, float) - d for x, d in zip(leaves, scaled, strict=True)])
        return [(a - b) / (2 * step) for a, b in zip(above, below, strict=True)]


def _extrapolated(differences: list[np.ndarray]) -> Difference:
    best = np.full(differences[0].shape, np.nan)
    error = np.full(differences[0].shape, np.inf)
    previous: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for first in differences:
            row = [first]
            for order, older in enumerate(previous, start=1):
                row.append((4**order * row[-1] - older) / (4**order - 1))
                off = np.maximum(abs(row[-1] - row[-2]), abs(row[-1] - older))
                better = off < error
                best, error = np.where(better, row[-1], best), np.where(better, off, error)
            previous = row
    return Difference(best, error)
