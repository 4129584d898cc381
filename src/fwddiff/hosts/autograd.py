"""HIPS autograd as a host: one primitive per rule, whose vjp and jvp are the primitives of derived rules.

Autograd's primitives return one value, so a rule with several outputs returns a tuple, boxed as such and
then indexed: the forward pass runs once. Autograd passes exactly the argument numbers that are boxed, so
only those are computed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from autograd.builtins import DictBox, SequenceBox
from autograd.builtins import tuple as box_tuple
from autograd.extend import Box, defjvp_argnums, defvjp_argnums, primitive
from autograd.numpy.numpy_boxes import ArrayBox
from autograd.tracer import getval, isbox, new_box

from fwddiff import _tree
from fwddiff._errors import HostError
from fwddiff._rule import Rule

# autograd fills this module at run time, so type checkers do not know what is in it.
anp: Any = importlib.import_module("autograd.numpy")

__all__ = [
    "apply",
    "describe",
    "detach",
    "dtype",
    "float_dtype",
    "integer_dtype",
    "owns",
    "shape",
    "shortcut",
    "weak",
]


def _sequence(box: Any) -> Any:
    return type(getval(box))(box[k] for k in range(len(box)))


_tree.register_container(SequenceBox, _sequence)
_tree.register_container(DictBox, lambda box: {key: box[key] for key in getval(box)})


def owns(leaf: object) -> bool:
    """Whether autograd is tracing this value (plain NumPy arrays belong to nobody)."""
    return isinstance(leaf, Box)


def shape(leaf: Box) -> tuple[int, ...]:
    """Shape of the boxed array or number. Raises `HostError` for boxed containers."""
    return np.shape(_array_value(leaf))


def dtype(leaf: Box) -> np.dtype:
    """Dtype of the boxed array, float64 for Python floats. Raises `HostError` for other dtypes."""
    found = np.asarray(_array_value(leaf)).dtype
    if found not in (np.float32, np.float64):
        raise HostError(
            f"Autograd traces a value of dtype {found}; convert it to float32 or float64 before grad."
        )
    return found


def weak(leaf: Box) -> bool:
    """Whether a Python float is boxed, whose dtype gives way to that of arrays."""
    return type(getval(leaf)) is float


def integer_dtype() -> np.dtype:
    """Dtype of integer results."""
    return np.dtype(np.int64)


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs."""
    return np.dtype(np.float64)


def apply(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """One array or box per output of the rule, recorded for every operator of autograd, to any order.

    `leaves` are one per input of the rule, broadcastable: boxes of arrays or floats, or NumPy arrays and
    numbers, which are constants. Integer outputs are plain arrays.
    """
    active = tuple(i for i, leaf in enumerate(leaves) if isbox(leaf) and rule.inputs[i].differentiable)
    if active and _one_trace([leaves[a] for a in active]) and _stores(rule, active, leaves):
        return _separate(rule, _store(rule, active, leaves))
    return _separate(rule, _primitive(rule)(*leaves))


def _stores(rule: Rule, active: tuple[int, ...], leaves: Sequence[Any]) -> bool:
    known = vars(rule).setdefault("_autograd_stores", {})
    key = (active, *[_shape(leaf) for leaf in leaves])
    found = known.get(key)
    if found is None:
        found = known[key] = rule.stores(active, key[1:])
    return found


_NUMBERS = (float, int, bool, np.float64)


def describe(structure: tuple, leaves: Sequence[Any]) -> tuple | None:
    """All that decides which rule serves a call, as cheaply as it can be had; `None`: not by a shortcut."""
    key: list[Any] = [structure]
    for leaf in leaves:
        kind = type(leaf)
        value = leaf
        if kind is ArrayBox:
            key.append(kind)
            value = leaf._value
            kind = type(value)
        if kind is np.ndarray:
            key += value.dtype, value.ndim
        elif kind in _NUMBERS:
            key.append(kind)
        else:
            return None
    return tuple(key)


def shortcut(
    rule: Rule, dynamic: Sequence[int], leaves: Sequence[Any], finish: Callable[[Sequence[Any]], Any]
) -> Callable[[Sequence[Any]], Any]:
    """How to serve calls that `describe` does not tell from this one."""
    if tuple(dynamic) == tuple(range(len(leaves))):
        return lambda leaves: finish(apply(rule, leaves))
    return lambda leaves: finish(apply(rule, [leaves[k] for k in dynamic]))


def detach(leaf: Box) -> Any:
    """The value itself, without any derivative."""
    return getval(leaf)


def _shape(leaf: Any) -> tuple[int, ...]:
    return np.shape(getval(leaf))


def _array_value(leaf: Box) -> Any:
    if not isinstance(leaf, ArrayBox):
        raise HostError(
            f"Autograd has boxed a whole {type(getval(leaf)).__name__}; hand its elements over one by one, "
            "as f((x[0], x[1])) or f({'a': x['a']})."
        )
    return getval(leaf)


def _one_trace(boxes: Sequence[Box]) -> bool:
    """Whether no order above the first is being recorded (partials, once stored, are constants)."""
    return len({box._trace for box in boxes}) == 1 and not any(isbox(box._value) for box in boxes)


def _separate(rule: Rule, results: Any) -> list[Any]:
    if len(rule.outputs) == 1:
        results = [results]
    return [
        results[j] if slot.differentiable else _unboxed(results, j) for j, slot in enumerate(rule.outputs)
    ]


def _unboxed(results: Any, j: int) -> Any:
    while isinstance(results, SequenceBox):
        results = results._value
    return getval(results[j])


def _primitive(rule: Rule) -> Any:
    """The primitive that keeps its inputs and runs the pullback rule, made once and kept with the rule."""
    found = vars(rule).get("_autograd_primitive")
    if found is None:
        found = vars(rule).setdefault("_autograd_primitive", _make_primitive(rule))
    return found


def _make_primitive(rule: Rule) -> Any:
    @primitive
    def run(*values: Any) -> Any:
        return _packed(rule, _evaluate(rule, values))

    def pullback_of(argnums: Sequence[int], answer: Any, values: Any, options: dict) -> Callable:
        del answer, options
        return lambda cotangent: _pullback(rule, tuple(argnums), values, cotangent)

    def pushforward_of(argnums: Sequence[int], tangents: Any, answer: Any, values: Any, options: dict) -> Any:
        del options
        derived = rule.pushforward(tuple(argnums))
        return _full(rule, _separate(derived, _primitive(derived)(*values, *tangents)), answer)

    defvjp_argnums(run, pullback_of)
    defjvp_argnums(run, pushforward_of)
    return run


def _pullback(rule: Rule, active: tuple[int, ...], values: Sequence[Any], cotangent: Any) -> tuple[Any, ...]:
    given = _differentiable(rule, cotangent)
    results = {}
    for group in rule.pullback_passes(active):
        derived = rule.pullback(group)
        found = _separate(derived, _primitive(derived)(*values, *given))
        results.update(zip(group, found, strict=True))
    return tuple(results[a] for a in active)


def _evaluate(rule: Rule, values: Sequence[Any]) -> tuple[np.ndarray, ...]:
    return rule([np.asarray(value, slot.dtype) for value, slot in zip(values, rule.inputs, strict=True)])


# --- several outputs: one tuple -----------------------------------------------------------------------------


def _packed(rule: Rule, results: Sequence[Any]) -> Any:
    return results[0] if len(rule.outputs) == 1 else tuple(results)


def _differentiable(rule: Rule, packed: Any) -> list[Any]:
    """Those of a packed value or cotangent that belong to differentiable outputs."""
    if len(rule.outputs) == 1:
        return [packed]
    return [packed[j] for j, slot in enumerate(rule.outputs) if slot.differentiable]


def _full(rule: Rule, tangents: Sequence[Any], answer: Any) -> Any:
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


# --- stored partials ----------------------------------------------------------------------------------------


def _store(rule: Rule, active: tuple[int, ...], leaves: Sequence[Any]) -> Any:
    values = [leaf._value if isbox(leaf) else leaf for leaf in leaves]
    results = _evaluate(rule.partials(active), values)
    count = len(rule.outputs)
    answer = _packed(rule, results[:count])
    return _recorded((rule, active, results[count:]), answer, values, [leaves[a] for a in active])


def _recorded(stored: tuple, answer: Any, values: Sequence[Any], boxes: Sequence[Box]) -> Box:
    """What `_attach(stored, answer, *values)` returns if `boxes` are the active values, all of one trace:
    there is nothing to search, and no wrapper to run twice."""
    node_type: Any = type(boxes[0]._node)
    numbers = tuple(a + 2 for a in stored[1])
    parents = [box._node for box in boxes]
    node = node_type(answer, _attach, (stored, answer, *values), {}, numbers, parents)
    return new_box(answer, boxes[0]._trace, node)


@primitive
def _attach(stored: tuple, answer: Any, *values: Any) -> Any:
    """The answer, whose partials by `values` have been computed already."""
    del stored, values
    return answer


def _attached_vjp(argnums: Sequence[int], answer: Any, arguments: Any, options: dict) -> Callable:
    del answer, options
    (rule, active, partials), _, *values = arguments

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = _differentiable(rule, cotangent)
        return tuple(
            _cotangent(rule, number - 2, values, given, partials[active.index(number - 2) :: len(active)])
            for number in argnums
        )

    return pullback


def _attached_jvp(argnums: Sequence[int], tangents: Any, answer: Any, arguments: Any, options: dict) -> Any:
    del options
    (rule, active, partials), *_ = arguments
    positions = [number - 2 for number in argnums]
    results = []
    for j, slot in enumerate(rule.differentiable_outputs):
        row = partials[j * len(active) : (j + 1) * len(active)]
        terms = [
            _tangent(rule, a, row[active.index(a)], tangent, slot.reduce)
            for a, tangent in zip(positions, tangents, strict=True)
        ]
        results.append(sum(terms[1:], terms[0]))
    return _full(rule, results, answer)


defvjp_argnums(_attach, _attached_vjp)
defjvp_argnums(_attach, _attached_jvp)


def _cotangent(rule: Rule, a: int, values: Any, cotangents: Sequence[Any], partials: Sequence[Any]) -> Any:
    """The sum over outputs j of ct[j] * P[j][a], un-broadcast to the shape of a."""
    slot, shape = rule.inputs[a], np.shape(values[a])
    if len(partials) == 1 and slot.core_ndim == 0 and not isbox(cotangents[0]):
        product = cotangents[0] * partials[0]
        if np.shape(product) == shape and product.dtype == slot.dtype:
            return product
    core = (None,) * slot.core_ndim
    terms = [
        (anp.asarray(ct)[(..., *core)] if np.ndim(getval(ct)) else ct) * partial
        for ct, partial in zip(cotangents, partials, strict=True)
    ]
    return _sum_to(sum(terms[1:], terms[0]), shape, slot.dtype)


def _tangent(rule: Rule, a: int, partial: np.ndarray, tangent: Any, reduce: Any) -> Any:
    product = partial * tangent
    axes = None if reduce == "sum" else tuple(range(-rule.inputs[a].core_ndim, 0))
    return product if axes == () else anp.sum(product, axis=axes)


def _sum_to(value: Any, shape: tuple[int, ...], wanted: np.dtype) -> Any:
    extra = np.ndim(getval(value)) - len(shape)
    padded = (1,) * extra + shape
    axes = tuple(i for i, size in enumerate(padded) if size == 1)
    if extra or np.shape(getval(value)) != shape:
        value = anp.reshape(anp.sum(value, axis=axes, keepdims=True), shape)
    return value if getval(value).dtype == wanted else value.astype(wanted)
