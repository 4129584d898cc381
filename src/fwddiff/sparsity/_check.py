"""Whether a pattern has all entries: told by one direction, as the pushforward knows no pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff._rule import Rule

_TOLERANCE = {"float64": 1e-7, "float32": 1e-3}
_NOISE = 1e-6


def missed(rule: Rule, leaves: Sequence[np.ndarray], shape: tuple[int, ...], derivative: Any) -> np.ndarray:
    """Rows in which the sparse `derivative` times a random direction is not what `rule`, a pushforward, says;
    `shape` is that of the direction.

    An entry that is left out is in none of the sums, or in another column's place: either shows, as the
    components of the direction differ. Numbers are compared relative to the magnitudes in their row, and rows
    of rounding errors to those of all.
    """
    slot = rule.inputs[-1]
    size = derivative.shape[1]
    direction = np.random.default_rng(size).uniform(0.5, 1.5, size).astype(slot.dtype)
    exact = np.ravel(rule([*leaves, direction.reshape(shape)])[0])
    with np.errstate(all="ignore"):
        product = derivative @ direction
        scale = abs(derivative) @ direction + np.abs(exact)
        finite = scale[np.isfinite(scale)]
        scale += _NOISE * finite.max(initial=0.0)
        differs = ~(np.abs(product - exact) <= _TOLERANCE[exact.dtype.name] * scale)
    both = ~np.isfinite(product) & ~np.isfinite(exact)
    return np.flatnonzero(differs & ~both)
