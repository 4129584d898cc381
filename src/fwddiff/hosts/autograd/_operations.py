"""Rules as autograd's primitives.

Autograd's primitives return one value, so a rule with several outputs returns a tuple, boxed as such and then
indexed: the forward pass runs once. Autograd passes exactly the argument numbers that are boxed, so only
those are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd.builtins import SequenceBox
from autograd.builtins import tuple as box_tuple
from autograd.extend import defjvp_argnums, defvjp_argnums, primitive
from autograd.tracer import getval

from fwddiff._rule import Rule


def primitive_of(rule: Rule) -> Any:
    """The primitive that keeps its inputs and runs the pullback rule, made once and kept with the rule."""
    found = vars(rule).get("_autograd_primitive")
    if found is None:
        found = vars(rule).setdefault("_autograd_primitive", _make_primitive(rule))
    return found


def _make_primitive(rule: Rule) -> Any:
    @primitive
    def run(*values: Any) -> Any:
        return packed(rule, evaluate(rule, values))

    def pullback_of(argnums: Sequence[int], answer: Any, values: Any, options: dict) -> Callable:
        del answer, options
        return lambda cotangent: _pullback(rule, tuple(argnums), values, cotangent)

    def pushforward_of(argnums: Sequence[int], tangents: Any, answer: Any, values: Any, options: dict) -> Any:
        del options
        derived = rule.pushforward(tuple(argnums))
        return full(rule, separate(derived, primitive_of(derived)(*values, *tangents)), answer)

    defvjp_argnums(run, pullback_of)
    defjvp_argnums(run, pushforward_of)
    return run


def _pullback(rule: Rule, active: tuple[int, ...], values: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    given = differentiable(rule, cotangent)
    results = {}
    for group in rule.pullback_passes(active):
        derived = rule.pullback(group)
        found = separate(derived, primitive_of(derived)(*values, *given))
        results.update(zip(group, found, strict=True))
    return tuple(results[a] for a in active)


def evaluate(rule: Rule, values: Sequence[Any]) -> tuple[np.ndarray, ...]:
    return rule([np.asarray(value, slot.dtype) for value, slot in zip(values, rule.inputs, strict=True)])


# --- several outputs: one tuple -----------------------------------------------------------------------------


def separate(rule: Rule, results: Any) -> list[Any]:
    if len(rule.outputs) == 1:
        results = [results]
    return [
        results[j] if slot.differentiable else _unboxed(results, j) for j, slot in enumerate(rule.outputs)
    ]


def _unboxed(results: Any, j: int) -> Any:
    while isinstance(results, SequenceBox):
        results = results._value
    return getval(results[j])


def packed(rule: Rule, results: Sequence[Any]) -> Any:
    return results[0] if len(rule.outputs) == 1 else tuple(results)


def differentiable(rule: Rule, packed: Any) -> list[Any]:
    """Those of a packed value or cotangent that belong to differentiable outputs."""
    if len(rule.outputs) == 1:
        return [packed]
    return [packed[j] for j, slot in enumerate(rule.outputs) if slot.differentiable]


def full(rule: Rule, tangents: Sequence[Any], answer: Any) -> Any:
    """Tangents of the differentiable outputs, with zeros for the integer ones, packed like the answer."""
    if len(rule.outputs) == 1:
        return tangents[0]
    given = iter(tangents)
    return box_tuple(
        [
            next(given) if slot.differentiable else np.zeros(np.shape(getval(answer[j])))
            for j, slot in enumerate(rule.outputs)
        ]
    )
