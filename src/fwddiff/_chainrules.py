"""The rule layer: pullbacks and pushforwards of wrapped functions on plain numbers and NumPy arrays.

The names and their meaning follow ChainRulesCore.jl (White et al., https://juliadiff.org/ChainRulesCore.jl).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _tree
from fwddiff._call import Call
from fwddiff._errors import ArgumentError, HostError, ShapeError, StructureError
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
    operation = _operation(f)
    call = operation.prepare(*args, **kwargs)
    arrays = _plain_arrays(call, f)
    outputs = call.rule(arrays)
    given = operation.wrapped.target.given_positions(len(args))
    y = _tree.unflatten(call.result_tree(), [_like_leaf(output) for output in outputs])

    def pullback(cotangent: Any) -> tuple[Thunk, ...]:
        cotangents = _cotangents(call, cotangent, outputs)
        thunks = _Pullback(call, arrays, cotangents).thunks()
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
    operation = _operation(f)
    call = operation.prepare(*primals)
    arrays = _plain_arrays(call, f)
    outputs = call.rule(arrays)
    given = operation.wrapped.target.given_positions(len(primals))
    moving = _tangents(call, arrays, dict(zip(given, tangents, strict=True)))
    results = iter(_pushforward(call, arrays, moving, outputs))
    moved = [next(results) if slot.differentiable else None for slot in call.rule.outputs]
    tree = call.result_tree()
    y = _tree.unflatten(tree, [_like_leaf(output) for output in outputs])
    return y, _tree.unflatten(tree, [None if d is None else _like_leaf(d) for d in moved])


def _operation(f: Callable) -> Any:
    if isinstance(f, Operation):
        return f
    return f.whole if isinstance(f, FwdDiff) else fwddiff(f).whole


def _plain_arrays(call: Call, f: Any) -> list[np.ndarray]:
    if call.host is not None:
        raise HostError(
            f"{f!r}: rrule and frule work on plain numbers and NumPy arrays, but an argument or "
            f"a captured value belongs to {call.host.__name__.rpartition('.')[2]}, which differentiates by "
            "itself: call the function there."
        )
    return [np.asarray(leaf, slot.dtype) for leaf, slot in zip(call.inputs, call.rule.inputs, strict=True)]


def _like_leaf(array: np.ndarray) -> Any:
    """Numbers as Python's own, arrays as they are."""
    return array.item() if array.ndim == 0 else array


# --- cotangents in, cotangents out --------------------------------------------------------------------------


def _cotangents(call: Call, cotangent: Any, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
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


def _like_output(leaf: Any, output: np.ndarray, position: int) -> np.ndarray:
    if leaf is None:
        return np.zeros_like(output)
    array = _real(leaf, output.dtype, f"the cotangent of output {position}")
    if array.shape != output.shape:
        if array.ndim == 0:
            return np.broadcast_to(array, output.shape)
        raise ShapeError(
            f"the cotangent of output {position} has shape {array.shape}, the output {output.shape}."
        )
    return array


def _real(leaf: Any, dtype: np.dtype, what: str) -> np.ndarray:
    found = np.asarray(leaf)
    if found.dtype.kind not in "fiub":
        raise ArgumentError(f"{what} has dtype {found.dtype}: it must be real, like the value it belongs to.")
    return found.astype(dtype, copy=False)


class _Pullback:
    """The cotangents of one pullback call, computed when the first thunk (or each) is asked."""

    def __init__(self, call: Call, arrays: list[np.ndarray], cotangents: list[np.ndarray]):
        self.call, self.arrays, self.cotangents = call, arrays, cotangents
        rule = call.rule
        self.active = tuple(i for i, slot in enumerate(rule.inputs) if slot.differentiable)
        self.passes = rule.pullback_passes(self.active) if self.active else []
        self.computed: dict[int, np.ndarray] = {}

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
            results = [np.zeros_like(self.arrays[a]) for a in group]
        else:
            results = self.call.rule.pullback(group)([*self.arrays, *self.cotangents])
        self.computed.update(zip(group, results, strict=True))


def _tangents(call: Call, arrays, tangents: dict[int, Any]) -> dict[int, np.ndarray]:
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
        array = _real(tangent, arrays[i].dtype, "a tangent")
        if array.shape != arrays[i].shape:
            if array.ndim:
                raise ShapeError(f"a tangent has shape {array.shape}, its argument {arrays[i].shape}.")
            array = np.broadcast_to(array, arrays[i].shape)
        moving[i] = array
    return moving


def _pushforward(call: Call, arrays, moving: dict[int, np.ndarray], outputs) -> Sequence[np.ndarray]:
    if not call.rule.differentiable_outputs:
        return []
    if not moving:
        return [
            np.zeros_like(o)
            for o, slot in zip(outputs, call.rule.outputs, strict=True)
            if slot.differentiable
        ]
    return call.rule.pushforward(tuple(moving))([*arrays, *moving.values()])
