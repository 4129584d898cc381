"""partial * tangent, and its transpose partial * cotangent, where zero stays zero.

`lax.mul` would turn an infinite partial and the cotangent of an output that nobody reads, or of an element
that `jnp.where` has masked, into nan. A choice by the tangent is nothing that JAX can transpose, though the
product is as linear as any: hence a primitive.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fwddiff.hosts.jax.internals import Primitive, ad, batching, mlir, varying_alike

primitive = Primitive("fwddiff_product")


def product(partial: Any, tangent: Any) -> Any:
    """partial * tangent of arrays of equal rank that broadcast; 0 where the tangent is 0."""
    shape = np.broadcast_shapes(partial.shape, tangent.shape)
    operands = [
        x if x.shape == shape else lax.broadcast_in_dim(x, shape, range(len(shape)))
        for x in (partial, tangent)
    ]
    return primitive.bind(*varying_alike(operands))


def _chosen(partial: Any, tangent: Any) -> Any:
    return lax.select(tangent == 0, lax.full_like(tangent, 0), lax.mul(partial, tangent))


def _jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (partial, tangent), (dp, dt) = primals, tangents
    terms = [] if type(dp) is ad.Zero else [primitive.bind(dp, tangent)]
    terms += [] if type(dt) is ad.Zero else [primitive.bind(partial, dt)]
    y = primitive.bind(partial, tangent)
    if not terms:
        return y, ad.Zero(jax.typeof(y).to_tangent_aval())
    return y, terms[0] if len(terms) == 1 else lax.add(*terms)


def _transpose(cotangent: Any, partial: Any, tangent: Any) -> list[Any]:
    """It is linear in each operand; whichever is known is the other factor."""
    if type(cotangent) is ad.Zero:
        return [None, None]
    if ad.is_undefined_primal(tangent):
        return [None, primitive.bind(partial, cotangent)]
    return [primitive.bind(cotangent, tangent), None]


def _batched(operands: Any, axes: Any) -> tuple[Any, int]:
    moved = [
        lax.expand_dims(x, [0]) if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(operands, axes, strict=True)
    ]
    return product(*moved), 0


primitive.def_impl(jax.jit(primitive.bind))
primitive.def_abstract_eval(lambda partial, tangent: partial.update(weak_type=False))
ad.primitive_jvps[primitive] = _jvp
ad.primitive_transposes[primitive] = _transpose
batching.primitive_batchers[primitive] = _batched
mlir.register_lowering(primitive, mlir.lower_fun(_chosen, multiple_results=False))
