"""The host of Python's dual numbers: what becomes of a rule that is called on them.

A function that runs on duals may call a wrapped operation (`g.sum(x, q)`) or differentiate another function
at a point that is a dual. Rules take plain arrays, but their pushforwards are rules again: the value of a
dual goes through the rule, its partials through the pushforward, and what is a dual of a lower level comes
back here. So every rule, of any engine, and every derived one is differentiated by every derivative around
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fwddiff import _nesting
from fwddiff._rule import Rule
from fwddiff.dual import level_of, make, strip, terms, value_at


def owns(leaf: Any) -> bool:
    return level_of(leaf) >= 0


def shape(leaf: Any) -> tuple[int, ...]:
    return np.shape(strip(leaf))


def dtype(leaf: Any) -> np.dtype:
    return np.asarray(strip(leaf)).dtype


def weak(leaf: Any) -> bool:
    return type(strip(leaf)) is float


def values(leaf: Any) -> np.ndarray:
    return np.asarray(strip(leaf))


def integer_dtype() -> np.dtype:
    return np.dtype(np.int64)


def float_dtype() -> np.dtype:
    return np.dtype(np.float64)


def detach(leaf: Any) -> Any:
    return strip(leaf)


def apply(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """Outputs of a rule for numbers, arrays and duals."""
    level = max(map(level_of, leaves), default=-1)
    if level < 0:
        arrays = [np.asarray(leaf, slot.dtype) for leaf, slot in zip(leaves, rule.inputs, strict=True)]
        return [output[()] for output in rule(arrays)]
    values = [value_at(leaf, level) for leaf in leaves]
    outputs = apply(rule, values)
    moving = [i for i, slot in enumerate(rule.inputs) if level_of(leaves[i]) == level and slot.differentiable]
    if not moving or not rule.differentiable_outputs:
        return outputs
    count = len(leaves[moving[0]].partials)
    tangents = {i: terms(leaves[i], level, count) for i in moving}
    columns = [_pushed(rule, values, {i: t[k] for i, t in tangents.items()}) for k in range(count)]
    rows = iter(zip(*columns, strict=True))
    pairs = zip(outputs, rule.outputs, strict=True)
    return [make(y, next(rows), level) if slot.differentiable else y for y, slot in pairs]


def _pushed(rule: Rule, values: Sequence[Any], tangents: dict[int, Any]) -> Sequence[Any]:
    """One partial of every differentiable output; the integer 0 says that it does not depend on that seed."""
    active = [i for i, tangent in tangents.items() if not (type(tangent) is int and tangent == 0)]
    if not active:
        return [0] * len(rule.differentiable_outputs)
    return apply(rule.pushforward(active), [*values, *(tangents[i] for i in active)])


def evaluate(rule: Any, leaves: Sequence[Any]) -> Sequence[Any]:
    """Outputs of a rule inside or outside of other evaluations.

    Python code runs on duals as they are: so it sees also those that it did not get as arguments. Functions
    of a framework run on its own arrays as they are.
    """
    if is_home(rule, leaves):
        return rule.within(leaves)
    if _nesting.depth() and hasattr(rule, "on_leaves") and not has_loop_axes(rule, leaves):
        return rule.on_leaves(leaves)
    return apply(rule, leaves)


def is_home(rule: Any, leaves: Sequence[Any]) -> bool:
    """Whether the function is written for a framework whose arrays are among the leaves."""
    return hasattr(rule, "is_home") and rule.is_home(leaves)


def has_loop_axes(rule: Rule, leaves: Sequence[Any]) -> bool:
    """Whether the rule would be applied to several elements."""
    return any(len(shape(leaf)) != slot.core_ndim for leaf, slot in zip(leaves, rule.inputs, strict=True))
