"""`magnitude`: the size of a number and of its derivatives, for the stopping tests of loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fwddiff.dual import Dual


def magnitude(x: Any) -> float:
    """|x| of a number; of a dual number the largest of |value| and |partials|, at all levels.

    A stopping test sees values alone, so a loop may stop before its derivatives have settled: Newton's
    iteration that starts at its solution takes no step at all. `while magnitude(step) > tolerance` goes on
    until the derivatives of the step are small as well, and is `while abs(step) > tolerance` where nobody
    differentiates. Partials belong to the seeds: those of `frule` and `pushforward` scale with the tangent.

    Args:
        x: A number, dual number, or array of them (the largest of its elements, 0.0 if it has none).

    Returns:
        A plain float without derivatives (float32 in a kernel of float32 numbers). nan where the value is
        nan; partials that are infinite or nan do not count, because no further step would settle them.
    """
    if isinstance(x, Dual):
        return max(magnitude(x.value), *map(_settling, x.partials))
    if isinstance(x, np.ndarray):
        return float(np.max(np.abs(x), initial=0.0))
    return float(abs(x)) if isinstance(x, int | float | np.floating | np.integer) else abs(x)


def _settling(partial: Any) -> float:
    """Magnitude of a partial, of its finite elements alone."""
    if isinstance(partial, Dual):
        return max(_settling(partial.value), *map(_settling, partial.partials))
    if isinstance(partial, np.ndarray):
        return magnitude(partial[np.isfinite(partial)])
    return abs(float(partial)) if math.isfinite(partial) else 0.0
