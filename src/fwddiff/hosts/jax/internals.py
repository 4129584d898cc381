"""Everything that fwddiff takes from inside JAX, in one place, so that a new JAX release is checked here.

`jax.custom_vjp` has no forward mode and `jax.custom_jvp` cannot run a pullback kernel of its own, so the host
is a primitive. JAX offers `Primitive` and the tables of rules in `jax.extend.core` and `jax.interpreters` for
that purpose, without a promise of stability.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.core
from jax import lax
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import ad, batching, mlir
from jax.interpreters import partial_eval as pe
from jax.sharding import NamedSharding, PartitionSpec

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
    "result_aval",
    "varying_alike",
    "zero_tangent",
]


def converted(value: Any, aval: Any) -> Any:
    """A value inside a lowering, converted to the dtype of `aval` (floats or integers of 32 or 64 bits)."""
    kind, bits = aval.dtype.kind, 8 * aval.dtype.itemsize
    if kind == "f":
        element = ir.F64Type.get() if bits == 64 else ir.F32Type.get()
    else:
        make = ir.IntegerType.get_unsigned if kind == "u" else ir.IntegerType.get_signless
        element = make(bits)
    return stablehlo.convert(ir.RankedTensorType.get(aval.shape, element), value)


def varying_axes(value: Any) -> frozenset:
    """Mesh axes of the surrounding `jax.shard_map` along which a value or abstract value differs."""
    aval = value if isinstance(value, ShapedArray) else jax.typeof(value)
    kind = getattr(aval, "manual_axis_type", None)  # jax 0.10; before, `vma`
    return getattr(aval, "vma", frozenset()) if kind is None else kind.varying


def varying_alike(arrays: Sequence[Any]) -> Sequence[Any]:
    """All arrays varying along the mesh axes of any, as primitives want; a cast is transposed to a sum."""
    own = [varying_axes(x) for x in arrays]
    every = frozenset().union(*own)
    return [
        _cast(x, tuple(every - axes)) if every != axes else x for x, axes in zip(arrays, own, strict=True)
    ]


def _cast(array: Any, axes: tuple) -> Any:
    if hasattr(lax, "pcast"):
        return lax.pcast(array, axes, to="varying")
    return lax.pvary(array, axes)  # pyright: ignore[reportAttributeAccessIssue] -- its name before jax 0.9


def result_aval(shape: tuple[int, ...], dtype: Any, given: Sequence[Any]) -> Any:
    """Abstract value of a result of inputs that vary alike."""
    if not given or not varying_axes(given[0]):
        return ShapedArray(shape, dtype)
    sharding = NamedSharding(given[0].sharding.mesh, PartitionSpec(*[None] * len(shape)))
    return given[0].update(shape=shape, dtype=dtype, weak_type=False, sharding=sharding)


def is_zero(tangent: Any) -> bool:
    """Whether a tangent or cotangent is a symbolic zero, or of the dtype that stands for "no derivative"."""
    return type(tangent) is ad.Zero or getattr(tangent, "dtype", None) == jax.dtypes.float0


def zero_tangent(value: Any) -> Any:
    """The symbolic zero that is the tangent of `value`."""
    return ad.Zero(jax.typeof(value).to_tangent_aval())
