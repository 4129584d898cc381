"""`magnitude`: the size of a number and of its derivatives, for the stopping tests of loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from fwddiff.dual import Dual, level_of, partials, value_at


def magnitude(x: Any, scale: Any = None) -> float:
    """|x| of a number; of a dual number the largest of |value| and |partials|, at all levels.

    A stopping test sees values alone, so a loop may stop before its derivatives have settled: Newton's
    iteration that starts at its solution takes no step at all. A test of `magnitude(step, y)` goes on until
    the derivatives of the step are small as well, and is `abs(step) / max(1, abs(y))` where nobody
    differentiates. Steps of derivatives never become smaller than their own rounding errors, which may be far
    above those of the value: give the `scale`, and bound the number of steps:

        for _ in range(50):
            step = ...
            y = y - step
            if fd.magnitude(step, y) <= 1e-12:
                break

    Partials belong to the seeds: those of `frule` and `pushforward` scale with the tangent.

    Args:
        x: A number, dual number, or array of them (the largest of its elements, 0.0 if it has none).
        scale: What `x` is compared with, part by part: |x| is divided by |scale| where that is above 1, each
            partial by the partial of `scale`. An array if `x` is one.

    Returns:
        A plain float without derivatives (float32 in a kernel of float32 numbers). nan where the value is
        nan; partials that are infinite or nan do not count, because no further step would settle them.
    """
    if scale is not None:
        return _relative(x, scale)
    if isinstance(x, Dual):
        return max(magnitude(x.value), *map(_settling, x.partials))
    if isinstance(x, np.ndarray):
        return float(np.max(np.abs(x), initial=0.0))
    return float(abs(x)) if isinstance(x, int | float | np.floating | np.integer) else abs(x)


def _relative(x: Any, scale: Any) -> float:
    level = max(level_of(x), level_of(scale))
    if level < 0:
        return magnitude(np.abs(x) / np.fmax(1.0, np.abs(scale)))
    count = len((x if level_of(x) == level else scale).partials)
    pairs = zip(partials(x, level, count), partials(scale, level, count), strict=True)
    return max(_relative(value_at(x, level), value_at(scale, level)), *(_settling(*pair) for pair in pairs))


def _settling(partial: Any, scale: Any = 0.0) -> float:
    """Magnitude of a partial relative to that of the scale, of its finite elements alone."""
    level = max(level_of(partial), level_of(scale))
    if level < 0:
        sizes = np.abs(partial) / np.fmax(1.0, np.abs(scale))
        return float(np.max(np.where(np.isfinite(partial), sizes, 0.0), initial=0.0))
    count = len((partial if level_of(partial) == level else scale).partials)
    pairs = zip(partials(partial, level, count), partials(scale, level, count), strict=True)
    own = _settling(value_at(partial, level), value_at(scale, level))
    return max(own, *(_settling(*pair) for pair in pairs))
