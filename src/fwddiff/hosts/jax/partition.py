"""What XLA asks about a call whose operands are divided among devices.

XLA's partitioner knows nothing of our custom calls, and would gather every operand. It asks here instead:
each device runs the kernel on its part, and outputs that are summed along a divided axis are added up by an
all-reduce.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax.experimental.custom_partitioning import ArrayMapping, SdyShardingRule, custom_partitioning
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fwddiff.hosts.jax.division import Correspondence, Division, correspondence, divide, names_of, spec_of
from fwddiff.hosts.jax.operation import Operation
from fwddiff.hosts.jax.primitive import bind


def in_parts(operation: Operation, batch_ndim: int, name: str, arrays: Sequence[Any]) -> list[Any]:
    """The call, as one that XLA may divide. For lowering only: JAX cannot differentiate or batch it.

    The program holds no more of it than a pointer into this process, which JAX may leave out of the key of
    its compilation cache. A hash of `name`, which tells rules apart, goes into it as constant operands.
    """
    found = correspondence(operation.rule, [x.shape for x in arrays], batch_ndim)
    count = len(arrays)
    mark = np.frombuffer(hashlib.sha256(name.encode()).digest()[:8], np.uint32)

    def call(*parts: Any) -> list[Any]:
        return bind(operation, parts[:count], batch_ndim)

    def division(mesh: Any, operands: Sequence[Any], results: Sequence[Any]) -> Division | None:
        given = zip(found.inputs, operands[:count], strict=True)
        every = [*given, *zip(found.outputs, results, strict=len(results) > 0)]
        known = [(axes, x.sharding) for axes, x in every if x.sharding is not None]
        if not all(isinstance(sharding, NamedSharding) for _, sharding in known):
            return None
        specs = [(axes, names_of(sharding.spec, len(axes))) for axes, sharding in known]
        return divide(found, specs, mesh.shape)

    def partition(mesh: Any, operands: Sequence[Any], results: Sequence[Any]) -> Any:
        divided = division(mesh, operands, results)
        if divided is None:
            return _undivided(call, operands, len(found.outputs))

        def part(*parts: Any) -> list[Any]:
            values = call(*parts)
            return [
                lax.psum(y, names) if names else y for y, names in zip(values, divided.summed, strict=True)
            ]

        of_inputs, of_outputs = (
            [NamedSharding(mesh, spec_of(names)) for names in side]
            for side in ([*divided.inputs, *[()] * len(mark)], divided.outputs)
        )
        return mesh, part, of_outputs, tuple(of_inputs)

    def infer(mesh: Any, operands: Sequence[Any], results: Sequence[Any]) -> Any:
        divided = division(mesh, operands, [])
        if divided is None:
            return [_replicated(operands)] * len(found.outputs)
        return [NamedSharding(mesh, spec_of(names)) for names in divided.outputs]

    divisible = custom_partitioning(call)
    divisible.def_partition(
        partition, infer_sharding_from_operands=infer, sharding_rule=_propagation(found, len(mark))
    )
    return divisible(*arrays, *mark)


def _undivided(call: Any, operands: Sequence[Any], outputs: int) -> Any:
    """Every device does the whole call: where arrays are divided, but not along the axes of one mesh."""
    everywhere = _replicated(operands)
    return everywhere.mesh, call, [everywhere] * outputs, (everywhere,) * len(operands)


def _replicated(operands: Sequence[Any]) -> NamedSharding:
    known = next(x.sharding for x in operands if x.sharding is not None)
    devices = sorted(known.device_set, key=lambda device: device.id)
    return NamedSharding(Mesh(np.array(devices), ("fwddiff",)), PartitionSpec())


def _propagation(found: Correspondence, scalars: int) -> SdyShardingRule:
    """The correspondence in the words of XLA's propagation of shardings: equal factors, equal division.
    `scalars` is the number of further operands, without axes."""
    sides = []
    for side, arrays in (("in", [*found.inputs, *[()] * scalars]), ("out", found.outputs)):
        sides.append(
            tuple(
                ArrayMapping(
                    *(f"{side}{k}_{n}" if axis is None else f"loop{axis}" for n, axis in enumerate(axes))
                )
                for k, axes in enumerate(arrays)
            )
        )
    return SdyShardingRule(*sides)
