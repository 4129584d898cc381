"""PyTensor's JAX linker: the ops of a rule become the call that JAX's own arrays would make.

JAX is loaded by the user, maybe after the graph was made: graphs are looked at when they are rewritten, too.
"""

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff._rule import Rule
from fwddiff.hosts.pytensor._arrays import ArrayRule
from fwddiff.hosts.pytensor._elementwise import ScalarRule


def offer() -> None:
    """Tell PyTensor how our ops become functions of JAX, if JAX is loaded."""
    if "jax" in sys.modules:
        _register()


@functools.cache
def _register() -> None:
    dispatch = importlib.import_module("pytensor.link.jax.dispatch")
    dispatch.jax_funcify.register(ArrayRule, lambda op, **options: _single(_of_arrays(op)))
    dispatch.jax_funcify.register(ScalarRule, lambda op, **options: _single(_of_elements(op.derivation.rule)))


def _single(function: Callable) -> Callable:
    """PyTensor takes one output as itself."""

    def call(*arrays: Any) -> Any:
        results = function(arrays)
        return results[0] if len(results) == 1 else tuple(results)

    return call


def _apply(rule: Rule, arrays: Sequence[Any]) -> list[Any]:
    host, jnp = importlib.import_module("fwddiff.hosts.jax"), importlib.import_module("jax.numpy")
    return host.apply(rule, [jnp.asarray(x, s.dtype) for x, s in zip(arrays, rule.inputs, strict=True)])


def _of_elements(rule: Rule) -> Callable[[Sequence[Any]], list[Any]]:
    """Outputs of the shape of the loop: what a rule sums, `Elemwise` sums itself."""

    def call(arrays: Sequence[Any]) -> list[Any]:
        if any(slot.reduce is not None for slot in rule.outputs):
            arrays = importlib.import_module("jax.numpy").broadcast_arrays(*arrays)
        return _apply(rule, arrays)

    return call


def _of_arrays(op: ArrayRule) -> Callable[[Sequence[Any]], list[Any]]:
    """Batch axes are JAX's `vmap`."""
    jax = importlib.import_module("jax")
    function = functools.partial(_apply, op.rule)
    for _ in range(op.batch_ndim):
        function = jax.vmap(function)

    def call(arrays: Sequence[Any]) -> list[Any]:
        count = op.batch_ndim
        batch = np.broadcast_shapes(*(np.shape(x)[:count] for x in arrays))
        return function([jax.numpy.broadcast_to(x, batch + np.shape(x)[count:]) for x in arrays])

    return call
