"""From a call to XLA: machine code by the typed FFI where there is some, a call back into Python if not."""

from __future__ import annotations

import functools
import re
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import jax

from fwddiff._errors import HostError
from fwddiff._rule import Native
from fwddiff.hosts.jax import kernels, partition
from fwddiff.hosts.jax.callback import lower_to_callback
from fwddiff.hosts.jax.internals import ShapedArray, converted, device_count, lower_for_its_devices, mlir
from fwddiff.hosts.jax.operation import Operation, static_shapes
from fwddiff.hosts.jax.primitive import primitive

TARGET = "fwddiff_kernel"
OLDEST, NEWEST = (0, 6), (0, 12)


def lower(ctx: Any, *operands: Any, operation: Operation, batch_ndim: int) -> Sequence[Any]:
    """Lowering rule of the primitive on CPUs."""
    rule = operation.rule
    if handler_registered():
        native = rule.native(static_shapes(rule, ctx.avals_in), batch_ndim)
        if native is not None and device_count(ctx) > 1:
            name = kernels.remember(rule, native, batch_ndim)
            return _lower_in_parts(ctx, operands, operation, batch_ndim, name)
        if native is not None:
            return _lower_to_kernel(ctx, operands, operation, native, batch_ndim)
    return lower_to_callback(ctx, *operands, operation=operation, batch_ndim=batch_ndim)


def _lower_to_kernel(
    ctx: Any, operands: Sequence[Any], operation: Operation, native: Native, batch_ndim: int
) -> Sequence[Any]:
    """The custom call. Kernels have the dtypes of the rule's slots, 64 bits even where JAX has only 32."""
    rule = operation.rule
    avals_in = [ShapedArray(a.shape, slot.dtype) for a, slot in zip(ctx.avals_in, rule.inputs, strict=True)]
    avals_out = [
        ShapedArray(a.shape, slot.dtype) for a, slot in zip(ctx.avals_out, rule.outputs, strict=True)
    ]
    call = jax.ffi.ffi_lowering(TARGET)
    results = call(
        ctx.replace(avals_in=avals_in, avals_out=avals_out),
        *_converted(operands, ctx.avals_in, avals_in),
        **kernels.load_kernel(rule, native, batch_ndim)._asdict(),
    )
    return _converted(results, avals_out, ctx.avals_out)


def _lower_in_parts(
    ctx: Any, operands: Sequence[Any], operation: Operation, batch_ndim: int, name: str
) -> Sequence[Any]:
    """For several devices: XLA asks how to divide the call once it knows where its operands are."""

    def call(*arrays: Any) -> Any:
        return partition.in_parts(operation, batch_ndim, name, arrays)

    return mlir.lower_fun(call, multiple_results=True)(ctx, *operands)


def _converted(values: Sequence[Any], given: Sequence[Any], wanted: Sequence[Any]) -> list[Any]:
    return [
        x if a.dtype == b.dtype else converted(x, b) for x, a, b in zip(values, given, wanted, strict=True)
    ]


def handler_registered() -> bool:
    """Whether kernels can be called by the FFI. False, with one warning, for a JAX that nobody has tried."""
    with _registering:  # two threads that lower at once would register two handlers
        return _register(jax.__version__)


def known(version: str) -> bool:
    """Whether this is one of the versions of JAX that were tried."""
    return OLDEST <= tuple(int(part) for part in re.findall(r"\d+", version)[:2]) <= NEWEST


_registering = threading.Lock()


@functools.cache
def _register(version: str) -> bool:
    """Register the handler, once.

    A handler that XLA refuses before its CPU backend exists would break that backend for the whole process:
    hence the versions, and making the backend first.
    """
    if not known(version):
        _warn_slow(f"jax {version} is not one of the versions 0.6 to 0.12 that it knows")
        return False
    from fwddiff.hosts.jax.handler import compile_handler

    try:
        jax.local_devices(backend="cpu")
        jax.ffi.register_ffi_target(
            TARGET, jax.ffi.pycapsule(compile_handler()), platform="cpu", api_version=1
        )
    except Exception as error:
        _warn_slow(f"jax {version} refused its kernels ({error})")
        return False
    return True


def _warn_slow(reason: str) -> None:
    warnings.warn(
        f"fwddiff calls Python from compiled JAX programs (about 100 µs per call), because {reason}.",
        RuntimeWarning,
        stacklevel=3,
    )


def refuse(ctx: Any, *operands: Any, operation: Operation, batch_ndim: int) -> Sequence[Any]:
    """Lowering rule of the primitive on all other platforms."""
    platforms = ctx.platforms or ctx.module_context.platforms
    raise HostError(
        f"{operation.rule.name}: fwddiff runs on CPUs; this program is compiled for {', '.join(platforms)}. "
        "Move its arrays with jax.device_put(x, jax.devices('cpu')[0])."
    )


mlir.register_lowering(primitive, refuse)
mlir.register_lowering(primitive, lower, platform="cpu")
lower_for_its_devices(primitive)
