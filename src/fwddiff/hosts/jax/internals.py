"""Everything that fwddiff takes from inside JAX, in one place, so that a new JAX release is checked here.

`jax.custom_vjp` has no forward mode and `jax.custom_jvp` cannot run a pullback kernel of its own, so the host
is a primitive. JAX offers `Primitive` and the tables of rules in `jax.extend.core` and `jax.interpreters` for
that purpose, without a promise of stability. Names that the primitive needs are not defined here where JAX
has them no more: files that import them then fail, and `ways` chooses another way. What the primitive can do
without is looked for when it is used.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

with contextlib.suppress(ImportError, AttributeError):
    from jax.core import ShapedArray
    from jax.extend.core import Primitive
    from jax.extend.mlir import ir
    from jax.extend.mlir.dialects import stablehlo
    from jax.interpreters import ad, batching, mlir


def _optional(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


literals, dispatch, core = (_optional(f"jax._src.{name}") for name in ("literals", "dispatch", "core"))
# NumPy arrays that JAX has wrapped to remember their dtypes: constants, but not NumPy's.
# The first name is that of jax 0.7.2, the second of later ones.
LITERAL_ARRAYS = tuple(
    getattr(literals, name) for name in ("LiteralArray", "TypedNdArray") if hasattr(literals, name)
)

__all__ = [
    "LITERAL_ARRAYS",
    "Primitive",
    "ShapedArray",
    "Tracer",
    "ad",
    "batching",
    "carried",
    "converted",
    "device_count",
    "divided_alike",
    "drop_unused_by",
    "is_zero",
    "lower_for_its_devices",
    "mesh_of",
    "mlir",
    "result_aval",
    "runs_as_one",
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


def carried(leaf: Any) -> np.ndarray | None:
    """The numbers of an array, or of a tracer that carries them (`grad`, `jvp`, the first of a `vmap`)."""
    if not isinstance(leaf, Tracer):
        return np.asarray(leaf)
    if hasattr(leaf, "batch_dim"):
        found, axis = carried(leaf.val), leaf.batch_dim
        if found is None or axis is None:
            return found
        return np.take(found, 0, axis) if isinstance(axis, int) and found.shape[axis] else None
    known = getattr(leaf, "primal", None)  # of `grad` and `jvp`
    partial: Any = getattr(leaf, "pval", None)  # of a partial evaluation
    if known is None and partial is not None:
        known = partial.get_known()
    return None if known is None else carried(known)


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
    # What JAX's own operations use: `lax.pvary` is deprecated, the transpose of `lax.pcast` fails in jax 0.8.
    own = getattr(core, "pvary", None)
    return own(array, axes) if own else lax.pcast(array, axes, to="varying")


def mesh_of(avals: Sequence[Any]) -> Any:
    """The mesh of explicitly sharded or varying abstract values, `None` if there is none."""
    meshes = [aval.sharding.mesh for aval in avals]
    return next((mesh for mesh in meshes if not mesh.empty), None)


def result_aval(shape: tuple[int, ...], dtype: Any, given: Sequence[Any], spec: PartitionSpec | None) -> Any:
    """Abstract value of a result of inputs that vary alike, divided as `spec` says along explicit axes."""
    if spec is None:
        return ShapedArray(shape, dtype)
    sharding = NamedSharding(mesh_of(given), spec)
    return given[0].update(shape=shape, dtype=dtype, weak_type=False, sharding=sharding)


def divided_alike(array: Any, aval: Any) -> Any:
    """The array divided among devices as its type `aval` says, where division is part of the type."""
    if mesh_of([aval]) is None or jax.typeof(array).sharding == aval.sharding:
        return array
    reshard = (
        getattr(jax.sharding, "reshard", None) or importlib.import_module("jax.experimental.shard").reshard
    )
    return reshard(array, aval.sharding)


def device_count(ctx: Any) -> int:
    """Devices among which XLA divides the program being lowered; 1 inside `shard_map`, and for `jax.export`,
    whose programs cannot ask Python how to divide a call."""
    module = ctx.module_context
    known = getattr(module.axis_context, "device_assignment", None)
    return len(known) if known and not module.lowering_parameters.for_export else 1


def lower_for_its_devices(primitive: Primitive) -> None:
    """Have the devices known when the primitive is lowered; else `device_count` is 1."""
    known = getattr(dispatch, "prim_requires_devices_during_lowering", None)
    if known is not None:
        known.add(primitive)


def drop_unused_by(primitive: Primitive, rule: Callable[[Sequence[bool], Any], Any]) -> None:
    """Have `rule(used, equation)` shrink equations of the primitive.

    Since jax 0.12, JAX says in between which references live on; an equation without any has no use for it.
    """
    rules = getattr(_optional("jax.interpreters.partial_eval"), "dce_rules", None)
    if rules is not None:  # else everything is computed that is not wholly unused
        rules[primitive] = lambda used, *between: rule(used, between[-1])


def runs_as_one(function: Any, name: str) -> None:
    """Tell JAX that a function to be jitted is one operation: errors about nan and inf call it `name`."""
    function._apply_primitive, function.__qualname__ = True, name


def is_zero(tangent: Any) -> bool:
    """Whether a tangent or cotangent is a symbolic zero, or of the dtype that stands for "no derivative"."""
    return type(tangent) is ad.Zero or getattr(tangent, "dtype", None) == jax.dtypes.float0


def zero_tangent(value: Any) -> Any:
    """The symbolic zero that is the tangent of `value`."""
    return ad.Zero(jax.typeof(value).to_tangent_aval())
