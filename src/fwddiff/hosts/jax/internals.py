"""Everything that fwddiff takes from inside JAX, in one place, so that a new JAX release is checked here.

`jax.custom_vjp` has no forward mode and `jax.custom_jvp` cannot run a pullback kernel of its own, so the host
is a primitive. JAX offers `Primitive` and the tables of rules in `jax.extend.core` and `jax.interpreters` for
that purpose, without a promise of stability.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.core
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import ad, batching, mlir
from jax.interpreters import partial_eval as pe

ShapedArray = jax.core.ShapedArray
Tracer = jax.core.Tracer

__all__ = [
    "Primitive",
    "ShapedArray",
    "Tracer",
    "ad",
    "batching",
    "converted",
    "is_zero",
    "mlir",
    "pe",
    "typeof",
    "zero_tangent",
]


def typeof(value: Any) -> Any:
    """Abstract value of an array or tracer (`jax.typeof` came with jax 0.6)."""
    return jax.typeof(value) if hasattr(jax, "typeof") else getattr(jax.core, "get_aval")(value)


def converted(value: Any, aval: Any) -> Any:
    """A value inside a lowering, converted to the dtype of `aval` (floats or integers of 32 or 64 bits)."""
    kind, bits = aval.dtype.kind, 8 * aval.dtype.itemsize
    if kind == "f":
        element = ir.F64Type.get() if bits == 64 else ir.F32Type.get()
    else:
        make = ir.IntegerType.get_unsigned if kind == "u" else ir.IntegerType.get_signless
        element = make(bits)
    return stablehlo.convert(ir.RankedTensorType.get(aval.shape, element), value)


def is_zero(tangent: Any) -> bool:
    """Whether a tangent or cotangent is a symbolic zero, or of the dtype that stands for "no derivative"."""
    return type(tangent) is ad.Zero or getattr(tangent, "dtype", None) == jax.dtypes.float0


def zero_tangent(value: Any) -> Any:
    """The symbolic zero that is the tangent of `value`."""
    return ad.Zero(typeof(value).to_tangent_aval())
