"""JAX as a host: a rule is recorded by one primitive, and so are its derivatives and its batches.

operation     what a call is: a rule, and where it comes from
ways          by the primitive, or by `public` in a JAX whose internals are others (`rehearsal`)
primitive     the primitive, its shapes and dtypes; eager calls are jitted ones
derivatives   jvp, transpose, dead code
batching      vmap
lowering      to XLA: a custom call of machine code, or of Python (`callback`)
handler       the machine code that XLA calls
kernels       what it runs, found by keys that are the same in every process
division      which axes of a call may be divided among devices
partition     what XLA asks when it divides a call
internals     all that comes from inside JAX
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from fwddiff._errors import HostError
from fwddiff._rule import Rule, Slot
from fwddiff.hosts.jax import public, ways
from fwddiff.hosts.jax.internals import LITERAL_ARRAYS, Tracer, carried
from fwddiff.hosts.jax.operation import HABIT, Operation, jax_dtype, symbolic_size

__all__ = [
    "HABIT",
    "apply",
    "canonical_dtype",
    "checkpoint",
    "detach",
    "dtype",
    "float_dtype",
    "integer_dtype",
    "load_kernels",
    "owns",
    "shape",
    "values",
    "weak",
]

_DTYPES = {"float32", "float64", "bool"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}

_ARRAYS = (jax.Array, *LITERAL_ARRAYS)


def owns(leaf: object) -> bool:
    """Whether this is a JAX array or the tracer of one."""
    return isinstance(leaf, _ARRAYS)


def shape(leaf: jax.Array) -> tuple[int, ...]:
    """Shape of an array or tracer. Raises `HostError` for the symbolic sizes of `jax.export`."""
    found = tuple(leaf.shape)
    if not all(isinstance(n, int) for n in found):
        raise symbolic_size("this array", found)
    return found


def dtype(leaf: jax.Array) -> np.dtype:
    """NumPy dtype of an array or tracer. Raises `HostError` for dtypes that rules do not have."""
    found = leaf.dtype
    if not isinstance(found, np.dtype) or found.name not in _DTYPES:
        raise HostError(
            f"A JAX array of dtype {found} cannot be differentiated; "
            "convert it with .astype('float32') or .astype('float64')."
        )
    return found


def weak(leaf: jax.Array) -> bool:
    """Whether this stands for a Python number, whose dtype gives way to that of arrays (`weak_type`)."""
    return bool(getattr(leaf, "weak_type", False))


def canonical_dtype(wanted: np.dtype) -> np.dtype:
    """What JAX makes of a dtype: 64 bits become 32 unless `jax_enable_x64` is set."""
    return np.dtype(jax.dtypes.canonicalize_dtype(wanted))


def integer_dtype() -> np.dtype:
    """Dtype of integer results: int64, or int32 unless `jax_enable_x64` is set."""
    return canonical_dtype(np.dtype(np.int64))


def float_dtype() -> np.dtype:
    """Dtype of float results that come from no array: float64, or float32 unless `jax_enable_x64` is set."""
    return canonical_dtype(np.dtype(np.float64))


def detach(leaf: jax.Array) -> jax.Array:
    """The same array as a constant for JAX's derivatives."""
    return lax.stop_gradient(leaf)


def values(leaf: jax.Array) -> np.ndarray | None:
    """The array's numbers, where this process has them and no `jit` is being traced."""
    if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer) and not leaf.is_fully_addressable:
        return None
    return carried(leaf)


def load_kernels() -> None:
    """Make programs of other processes callable (`jax.export`) before fwddiff has been used in this process.

    Their kernels come from fwddiff's folder on disk, or from the same functions once they are called in this
    process. Raises `HostError` for a JAX whose compiled programs cannot call kernels.
    """
    if ways.chosen() is public.call or not ways.kernels_are_called():
        raise HostError(f"Compiled programs of jax {jax.__version__} cannot call fwddiff's kernels.")


def apply(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """Evaluate a rule on one JAX array, NumPy array or number per input; JAX can differentiate the result.

    Under a transformation the call is recorded, else it runs. A function that raises raises its own exception
    there, and a `JaxRuntimeError` inside `jit`.
    """
    arrays = [_in_dtype(leaf, slot) for leaf, slot in zip(leaves, rule.inputs, strict=True)]
    return ways.chosen()(Operation(rule), arrays)


def _in_dtype(leaf: Any, slot: Slot) -> Any:
    """The leaf in its slot's dtype: weak arrays and constants give way, and arrays of 64 bits that were made
    before `jax_enable_x64` was switched off become what JAX's own functions make of them. Others have it."""
    if not isinstance(leaf, jax.Array):
        return np.asarray(leaf, jax_dtype(slot))
    if weak(leaf) or (leaf.dtype.itemsize == 8 and not _wide()):
        return lax.convert_element_type(leaf, jax_dtype(slot))
    return leaf


def _wide() -> bool:
    config: Any = jax.config
    return config.jax_enable_x64


def checkpoint(function: Callable[..., tuple], leaves: Sequence[jax.Array]) -> list[Any]:
    """The function's results, by `jax.checkpoint`."""
    return list(jax.checkpoint(function)(*leaves))
