"""fwddiff's kernels alone, on arrays made beforehand: no host and no wrapper is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.harness.case import Run


def kernel(
    operation: Any,
    arrays: Sequence[np.ndarray],
    derive: str = "",
    active: Sequence[int] = (),
    more: Sequence[np.ndarray] = (),
    threads: int = 0,
) -> Run:
    """One launch of the kernel of `operation` on `arrays`, or of its derived rule ("partials", "pullback").

    `more` are the derived rule's further operands; `threads=1` keeps to the calling thread, as plain C does.
    """
    call = operation.prepare(*arrays)
    rule = getattr(call.rule, derive)(tuple(active)) if derive else call.rule
    operands = [np.asarray(array) for array in (*call.inputs, *more)]
    launch = rule.launcher((0, *[(array.shape, array.strides) for array in operands]))
    outputs = [np.empty(shape, dtype) for shape, dtype in launch.outputs]
    addresses = [array.ctypes.data for array in (*operands, *outputs)]

    bound = launch.bound(*addresses, threads=threads)

    def run(kept: Sequence[np.ndarray] = operands) -> list[np.ndarray]:
        bound()
        return outputs

    return run
