"""`vmap`: the new axis becomes the first batch axis of every input of the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from fwddiff.hosts.jax.internals import batching
from fwddiff.hosts.jax.operation import Operation
from fwddiff.hosts.jax.primitive import bind, primitive


def batched(
    arrays: Sequence[Any], axes: Sequence[int | None], *, operation: Operation, batch_ndim: int
) -> tuple[list[Any], list[int]]:
    """An input without the axis gets one of size 1, which the rule broadcasts without copying."""
    moved = [
        jnp.expand_dims(x, 0) if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(arrays, axes, strict=True)
    ]
    outputs = bind(operation, moved, batch_ndim + 1)
    return outputs, [0] * len(outputs)


batching.primitive_batchers[primitive] = batched
