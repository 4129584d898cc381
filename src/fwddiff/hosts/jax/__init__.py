"""JAX as a host: a rule is recorded by one primitive, whose derivatives and batches are calls of the same primitive.

primitive     the primitive, its shapes and dtypes; eager calls are jitted ones
derivatives   jvp, transpose, dead code
batching      vmap
lowering      to XLA: a custom call of machine code (`handler`), or of Python (`callback`)
internals     all that comes from inside JAX
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from fwddiff._errors import HostError
from fwddiff._rule import Rule, Slot
from fwddiff.hosts.jax import batching, derivatives, lowering
from fwddiff.hosts.jax.internals import Tracer
from fwddiff.hosts.jax.primitive import Operation, bind, evaluate, jax_dtype

__all__ = ["apply", "dtype", "float_dtype", "integer_dtype", "owns", "shape"]

_RULES_OF_THE_PRIMITIVE = (batching, derivatives, lowering)  # importing them registers them


def owns(leaf: object) -> bool:
    """Whether this is a JAX array or the tracer of one."""
    return isinstance(leaf, jax.Array)


def shape(leaf: jax.Array) -> tuple[int, ...]:
    """Shape of an array or tracer."""
    return tuple(leaf.shape)


def dtype(leaf: jax.Array) -> np.dtype:
    """NumPy dtype of an array or tracer. Raises `HostError` for dtypes that rules do not have."""
    found = leaf.dtype
    if not isinstance(found, np.dtype) or found.kind not in "fiub" or found.name in ("float16", "int4", "uint4"):
        raise HostError(
            f"A JAX array of dtype {found} cannot be differentiated; convert it with .astype('float32') or 'float64'."
        )
    return found


def integer_dtype() -> np.dtype:
    """Dtype of integer results: int64, or int32 unless `jax_enable_x64` is set."""
    return np.dtype(jax.dtypes.canonicalize_dtype(np.int64))


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs: float64, or float32 unless `jax_enable_x64` is set."""
    return np.dtype(jax.dtypes.canonicalize_dtype(np.float64))


def apply(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """Evaluate a rule on JAX arrays, NumPy arrays and numbers, one per input; JAX can differentiate the result.

    Under a transformation the call is recorded; on arrays it runs as a jitted function of its own. A function that raises
    raises its own exception there, and a `JaxRuntimeError` inside `jit`.
    """
    arrays = [_constant_or_array(x, slot) for x, slot in zip(leaves, rule.inputs, strict=True)]
    operation = Operation(rule)
    if any(isinstance(x, Tracer) for x in arrays):
        return bind(operation, arrays)
    return evaluate(*arrays, operation=operation)


def _constant_or_array(leaf: Any, slot: Slot) -> Any:
    return leaf if isinstance(leaf, jax.Array) else np.asarray(leaf, jax_dtype(slot))
