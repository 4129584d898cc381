"""The way into a compiled program for rules without machine code: `jax.pure_callback`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from fwddiff.hosts.jax.internals import mlir
from fwddiff.hosts.jax.primitive import Operation


def lower_to_callback(ctx: Any, *operands: Any, operation: Operation, batch_ndim: int) -> Sequence[Any]:
    """Lowering rule of the primitive: XLA calls Python, which evaluates the rule on NumPy arrays."""
    results = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in ctx.avals_out]
    evaluate = partial(_evaluate, operation, batch_ndim, [aval.dtype for aval in ctx.avals_out])

    def call(*arrays: Any) -> Any:
        return jax.pure_callback(evaluate, results, *arrays)

    return mlir.lower_fun(call, multiple_results=True)(ctx, *operands)


def _evaluate(operation: Operation, batch_ndim: int, dtypes: Sequence[Any], *arrays: Any) -> list[np.ndarray]:
    """Evaluate in the rule's dtypes, answer in JAX's (without `jax_enable_x64`, 64 bits are 32 there)."""
    rule = operation.rule
    given = [np.asarray(x, dtype=slot.dtype) for x, slot in zip(arrays, rule.inputs, strict=True)]
    return [y.astype(dtype, copy=False) for y, dtype in zip(rule(given, batch_ndim), dtypes, strict=True)]
