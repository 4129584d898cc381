"""A rule as a function of tensors, by the cheapest way that is right for the call at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from fwddiff._rule import Rule
from fwddiff.hosts.tensorflow import _derivatives, _eager, _graph


def operation(rule: Rule, batch_ndim: int, values: Sequence[Any], candidates: tuple[int, ...]) -> list[Any]:
    """One tensor per output. `values` are tensors or NumPy arrays; only those at `candidates` may be
    differentiated."""
    if tf.executing_eagerly():
        return _eager.call(rule, batch_ndim, values, candidates)
    return _graph.call(rule, batch_ndim, values, candidates)


_derivatives.upper.operation = operation
