"""One JAX primitive for every rule: a call of the rule, whatever its order of differentiation."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from fwddiff import _nesting
from fwddiff._errors import ArgumentError
from fwddiff._rule import Rule
from fwddiff.hosts.jax import division
from fwddiff.hosts.jax.internals import Primitive, Tracer, mesh_of, result_aval, runs_as_one, varying_alike
from fwddiff.hosts.jax.operation import Operation, evaluated_outside, jax_dtype, static_shapes

primitive = Primitive("fwddiff")
primitive.multiple_results = True


def call(operation: Operation, arrays: Sequence[Any]) -> list[Any]:
    """Under a transformation the call is recorded; on arrays it runs as a jitted function of its own."""
    if any(isinstance(x, Tracer) for x in arrays):
        return bind(operation, arrays)
    return evaluate(*arrays, operation=operation)


def bind(operation: Operation, arrays: Sequence[Any], batch_ndim: int = 0) -> list[Any]:
    """Record a call of `operation` on JAX arrays or tracers; one array per output of its rule."""
    return primitive.bind(*varying_alike(arrays), operation=operation, batch_ndim=batch_ndim)


@lru_cache(maxsize=4096)
def compiled(operation: Operation, batch_ndim: int) -> Callable[..., list[Any]]:
    """The call as a jitted function (one program per shape): so JAX runs primitives outside `jit`."""

    def record(*arrays: Any) -> list[Any]:
        return bind(operation, arrays, batch_ndim)

    def fwddiff(*arrays: Any) -> list[Any]:
        if any(isinstance(x, Tracer) for x in arrays):
            return record(*arrays)
        return _despite_switches(jax.jit(record), operation.rule.name, arrays)

    runs_as_one(fwddiff, operation.rule.name)
    return jax.jit(fwddiff)


def _despite_switches(function: Callable[..., list[Any]], name: str, arrays: Sequence[Any]) -> list[Any]:
    """The call under JAX's debugging switches, by which a jitted function is run as it is: `jax.disable_jit`,
    and `jax_debug_nans` and `jax_debug_infs` in a JAX to which `runs_as_one` says nothing."""
    config: Any = jax.config
    wanted = {np.isnan: config.jax_debug_nans, np.isinf: config.jax_debug_infs}
    with jax.disable_jit(False), jax.debug_nans(False), jax.debug_infs(False):
        results = function(*arrays)
        floats = [np.asarray(y) for y in results if y.dtype.kind == "f"]
    for is_invalid, asked in wanted.items():
        if asked and any(is_invalid(y).any() for y in floats):
            raise FloatingPointError(f"invalid value ({is_invalid.__name__[2:]}) encountered in {name}")
    return results


def evaluate(*arrays: Any, operation: Operation, batch_ndim: int = 0) -> list[Any]:
    """The call on arrays. A program tells only that it failed, so the rule is asked for the exception.

    Functions of JAX that the rule calls cannot run while a program waits (measured: from some 10⁵ elements
    on, the two wait for each other). Without `jit` none has to: such rules run outside from then on.
    """
    if operation in _calls_jax or operation.base in _calls_jax:
        return _outside(operation, batch_ndim, arrays)
    try:
        results = compiled(operation, batch_ndim)(*arrays)
        is_python = type(operation.rule).native is Rule.native
        return jax.block_until_ready(results) if is_python else results
    except jax.errors.JaxRuntimeError as error:
        results = _outside(operation, batch_ndim, arrays)
        if _nesting.WAITING not in str(error):
            raise
        _calls_jax.add(operation)
        return results


def _outside(operation: Operation, batch_ndim: int, arrays: Sequence[Any]) -> list[Any]:
    return [jax.device_put(y) for y in evaluated_outside(operation, batch_ndim, arrays)]


_calls_jax: weakref.WeakSet[Operation] = weakref.WeakSet()


def _abstract(*avals: Any, operation: Operation, batch_ndim: int) -> list[Any]:
    rule = operation.rule
    shapes = rule.output_shapes(static_shapes(rule, avals), batch_ndim)
    for i, (aval, slot) in enumerate(zip(avals, rule.inputs, strict=True)):
        if aval.dtype != jax_dtype(slot):
            raise ArgumentError(
                f"{rule.name}: array {i} has dtype {aval.dtype}, but was declared {jax_dtype(slot)}."
            )
    specs = _result_specs(rule, avals, batch_ndim)
    return [
        result_aval(shape, jax_dtype(slot), avals, spec)
        for shape, slot, spec in zip(shapes, rule.outputs, specs, strict=True)
    ]


def _result_specs(rule: Rule, avals: Sequence[Any], batch_ndim: int) -> list[Any]:
    """How the results are divided, where the division of arrays is part of their type; else `None`."""
    mesh = mesh_of(avals)
    if mesh is None:
        return [None] * len(rule.outputs)
    found = division.correspondence(rule, [aval.shape for aval in avals], batch_ndim)
    given = [
        (axes, division.names_of(aval.sharding.spec, aval.ndim))
        for axes, aval in zip(found.inputs, avals, strict=True)
    ]
    return [division.spec_of(names) for names in division.divide(found, given, mesh.shape).outputs]


primitive.def_impl(evaluate)
primitive.def_abstract_eval(_abstract)
