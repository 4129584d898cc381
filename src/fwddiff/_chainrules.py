"""The rule layer: pullbacks and pushforwards of wrapped functions on plain numbers and NumPy arrays.

The names and their meaning follow ChainRulesCore.jl (White et al., https://juliadiff.org/ChainRulesCore.jl).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _dual_host, _nesting, _tree
from fwddiff._call import Call
from fwddiff._capture import STANDS_FOR
from fwddiff._errors import ArgumentError, HostError, ShapeError, StructureError
from fwddiff._rule import Rule
from fwddiff._thunk import Thunk
from fwddiff._wrapper import FwdDiff, Operation, fwddiff


def rrule(f: Callable, *args: Any, **kwargs: Any) -> tuple[Any, Callable]:
    """Value and pullback of `f` at plain arguments.

    Args:
        f: A wrapped function, its `broadcast` or `sum`, a custom rule, or a plain function (then wrapped).
        args: Python numbers, NumPy arrays, structs of them.

    Returns:
        `(y, pullback)`. `pullback(cotangent of y)` returns one `Thunk` per positional argument; nothing is
        computed before `fd.unthunk`. Keyword arguments and defaults are constants.
        A cotangent mirrors its argument: the same container and shapes, `None` in the place of what has no
        derivative (integers, strings, `None`). The cotangent of y mirrors y; `None` or 0 stands for zero.

    Raises:
        HostError: an argument is an array of a framework, which differentiates by itself.
        StructureError, ShapeError: (from the pullback) the cotangent does not mirror y.
    """
    operation = operation_of(f)
    call = operation.prepare(*args, **kwargs)
    inputs = _inputs(call, f)
    outputs = _evaluate(call.rule, inputs)
    given = operation.wrapped.target.given_positions(len(args))
    y = _tree.unflatten(call.result_tree(), [_like_leaf(output) for output in outputs])

    def pullback(cotangent: Any) -> tuple[Thunk, ...]:
        cotangents = _cotangents(call, cotangent, outputs)
        thunks = _Pullback(call, inputs, cotangents).thunks()
        return tuple(thunks[position] for position in given)

    return y, pullback


def frule(f: Callable, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Value and pushforward: `(y, dy)` for arguments `primals` moving along `tangents`.

    A tangent mirrors its argument; `None` or 0 stands for zero. `dy` mirrors y, with `None` for what has no
    derivative.
    """
    if len(primals) != len(tangents):
        raise StructureError(
            f"{len(primals)} primals but {len(tangents)} tangents: give one tangent per argument."
        )
    operation = operation_of(f)
    call = operation.prepare(*primals)
    inputs = _inputs(call, f)
    outputs = _evaluate(call.rule, inputs)
    given = operation.wrapped.target.given_positions(len(primals))
    moving = _tangents(call, inputs, dict(zip(given, tangents, strict=True)))
    results = iter(_pushforward(call, inputs, moving, outputs))
    moved = [next(results) if slot.differentiable else None for slot in call.rule.outputs]
    tree = call.result_tree()
    y = _tree.unflatten(tree, [_like_leaf(output) for output in outputs])
    return y, _tree.unflatten(tree, [None if d is None else _like_leaf(d) for d in moved])


def operation_of(f: Callable, backend: str = "auto", chunk: int | None = None) -> Operation:
    """What differentiating `f` differentiates: a wrapped function's operation, on the engine asked for.

    Inside a function that runs as Python, `f` runs as Python too: it may meet duals that it did not get as
    arguments, and is mostly made anew each time.
    """
    f = getattr(f, STANDS_FOR, f)
    wrapped: FwdDiff = f.wrapped if isinstance(f, Operation) else f if isinstance(f, FwdDiff) else fwddiff(f)
    kind = f.kind if isinstance(f, Operation) else "whole"
    if backend == wrapped.options["engine"] == "auto" and kind == "whole" and _nesting.depth():
        backend = "numpy"
    found = wrapped.with_engine(backend).with_chunk(chunk)
    return f if isinstance(f, Operation) and found is wrapped else found.operation(kind)


def refuse_host(call: Call, f: Any) -> None:
    """Raises HostError for a call with arrays of a framework, unless `f` is written for that."""
    if not _dual_host.is_home(call.rule, call.inputs):
        _refuse_framework(call, f)


def _refuse_framework(call: Call, f: Any) -> None:
    if call.host not in (None, _dual_host):
        name = call.host.__name__.rpartition(".")[2]
        raise HostError(
            f"{getattr(f, '__name__', f)}: rrule, frule and operators work on plain numbers and NumPy "
            f"arrays, but an argument or a captured value belongs to {name}, which differentiates by itself: "
            "call fwddiff(f) there, or hand over NumPy arrays. A function written for a framework takes "
            "backend=."
        )


def _inputs(call: Call, f: Any) -> list[Any]:
    """The rule's inputs: arrays of their dtypes, and duals as they are."""
    _refuse_framework(call, f)
    pairs = zip(call.inputs, call.rule.inputs, strict=True)
    return [leaf if _dual_host.owns(leaf) else np.asarray(leaf, slot.dtype) for leaf, slot in pairs]


def _evaluate(rule: Rule, leaves: Sequence[Any]) -> Sequence[Any]:
    if not _nesting.depth() and not any(map(_dual_host.owns, leaves)):
        return rule(leaves)
    return _dual_host.evaluate(rule, [_like_leaf(leaf) for leaf in leaves])


def _like_leaf(leaf: Any) -> Any:
    """Numbers as Python's own, arrays and duals as they are."""
    return leaf.item() if isinstance(leaf, np.ndarray | np.generic) and leaf.ndim == 0 else leaf


# --- cotangents in, cotangents out --------------------------------------------------------------------------


def _cotangents(call: Call, cotangent: Any, outputs: Sequence[Any]) -> list[Any]:
    """The cotangents of the differentiable outputs as arrays of their shapes."""
    leaves = _mirror(cotangent, call.result_tree(), len(outputs), "the cotangent", "the result")
    pairs = zip(call.rule.outputs, leaves, outputs, strict=True)
    return [
        _like_output(leaf, output, k) for k, (slot, leaf, output) in enumerate(pairs) if slot.differentiable
    ]


def _mirror(tree: Any, spec: Any, count: int, name: str, model: str) -> list[Any]:
    """Leaves of `tree`, which has the structure `spec`, except that `None` or 0 may stand for a whole subtree
    of zeros."""
    if tree is None or (isinstance(tree, int | float) and tree == 0):
        return [None] * count
    if spec.is_leaf():
        return [tree]
    try:
        found = spec.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise StructureError(f"{name} does not have the structure of {model}, {spec}: {error}") from None
    return found


def _like_output(leaf: Any, output: Any, position: int) -> Any:
    return _shaped(leaf, output, f"the cotangent of output {position}", "the output")


def _shaped(leaf: Any, model: Any, what: str, model_name: str) -> Any:
    """A (co)tangent of the model's shape and dtype; `None` and numbers stand for whole arrays."""
    shape = _dual_host.shape(model)
    if leaf is None:
        return np.zeros(shape, _dual_host.dtype(model))
    array = _real(leaf, _dual_host.dtype(model), what)
    if _dual_host.shape(array) == shape:
        return array
    if _dual_host.shape(array):
        raise ShapeError(f"{what} has shape {_dual_host.shape(array)}, {model_name} {shape}.")
    return array + np.zeros(shape, _dual_host.dtype(model))


def _real(leaf: Any, dtype: np.dtype, what: str) -> Any:
    if _dual_host.owns(leaf):
        return leaf
    found = np.asarray(leaf)
    if found.dtype.kind not in "fiub":
        raise ArgumentError(f"{what} has dtype {found.dtype}: it must be real, like the value it belongs to.")
    return found.astype(dtype, copy=False)


class _Pullback:
    """The cotangents of one pullback call, computed when the first thunk (or each) is asked."""

    def __init__(self, call: Call, inputs: list[Any], cotangents: list[Any]):
        self.call, self.given, self.cotangents = call, inputs, cotangents
        rule = call.rule
        self.active = tuple(i for i, slot in enumerate(rule.inputs) if slot.differentiable)
        self.passes = rule.pullback_passes(self.active) if self.active else []
        self.computed: dict[int, Any] = {}

    def thunks(self) -> tuple[Thunk, ...]:
        children = self.call.spec.children()
        starts = np.cumsum([0, *(child.num_leaves for child in children)])
        return tuple(
            Thunk(functools.partial(self._cotangent, child, range(start, start + child.num_leaves)))
            for child, start in zip(children, starts, strict=False)
        )

    def _cotangent(self, spec: Any, leaves: range) -> Any:
        position = {leaf: i for i, leaf in enumerate(self.call.dynamic)}
        values = [self._leaf(position[leaf]) if leaf in position else None for leaf in leaves]
        return _tree.unflatten(spec, values)

    def _leaf(self, i: int) -> Any:
        if i not in self.active:
            return None
        if i not in self.computed:
            self._compute(next(group for group in self.passes if i in group))
        return _like_leaf(self.computed[i])

    def _compute(self, group: tuple[int, ...]) -> None:
        if not self.cotangents:
            results: Sequence[Any] = [_shaped(None, self.given[a], "", "") for a in group]
        else:
            results = _evaluate(self.call.rule.pullback(group), [*self.given, *self.cotangents])
        self.computed.update(zip(group, results, strict=True))


def _tangents(call: Call, inputs: Sequence[Any], tangents: dict[int, Any]) -> dict[int, Any]:
    """Tangents of the inputs that move, by position."""
    leaves: list[Any] = []
    for k, child in enumerate(call.spec.children()):
        leaves += _mirror(
            tangents.get(k), child, child.num_leaves, f"the tangent of argument {k}", "the argument"
        )
    moving = {}
    for i, leaf in enumerate(call.dynamic):
        tangent = leaves[leaf] if leaf < len(leaves) else None
        if tangent is None or not call.rule.inputs[i].differentiable:
            continue
        moving[i] = _shaped(tangent, inputs[i], "a tangent", "its argument")
    return moving


def _pushforward(
    call: Call, inputs: list[Any], moving: dict[int, Any], outputs: Sequence[Any]
) -> Sequence[Any]:
    if not call.rule.differentiable_outputs:
        return []
    if not moving:
        return [
            _shaped(None, o, "", "")
            for o, slot in zip(outputs, call.rule.outputs, strict=True)
            if slot.differentiable
        ]
    return _evaluate(call.rule.pushforward(tuple(moving)), [*inputs, *moving.values()])
