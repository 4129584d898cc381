"""The way into a compiled program for rules without machine code: `jax.pure_callback`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax

from fwddiff.hosts.jax.internals import mlir
from fwddiff.hosts.jax.operation import Operation, in_python


def lower_to_callback(ctx: Any, *operands: Any, operation: Operation, batch_ndim: int) -> Sequence[Any]:
    """Lowering rule of the primitive: XLA calls Python, which evaluates the rule on NumPy arrays."""
    results = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in ctx.avals_out]
    evaluate = partial(in_python, operation, batch_ndim, [aval.dtype for aval in ctx.avals_out])

    def call(*arrays: Any) -> Any:
        return jax.pure_callback(evaluate, results, *arrays)

    return mlir.lower_fun(call, multiple_results=True)(ctx, *operands)
