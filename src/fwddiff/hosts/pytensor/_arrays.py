"""Rules of arrays, with sums and core axes: one op of PyTensor for all of them, derived ones included."""

# PyTensor is an extra, which type checkers do not find.
# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.tensor.shape import Shape_i
from pytensor.tensor.utils import broadcast_static_dim_lengths

from fwddiff._errors import ShapeError
from fwddiff._rule import Rule, Slot
from fwddiff.hosts.pytensor._derivation import (
    Derivation,
    OfThisProcess,
    disconnected,
    is_missing,
    static_shapes,
)


class ArrayRule(Op, OfThisProcess):
    """A rule applied to whole tensors, whose first `batch_ndim` axes are batch axes (`vectorize_graph`).
    Equal to others of the same rule, so that PyTensor merges them."""

    __props__ = ("rule", "batch_ndim")

    def __init__(self, derivation: Derivation, batch_ndim: int = 0):
        self.derivation, self.rule, self.batch_ndim = derivation, derivation.rule, batch_ndim

    def make_node(self, *inputs: Any) -> Apply:
        variables = [pt.as_tensor_variable(value) for value in inputs]
        sizes = output_sizes(self.derivation, [v.type.shape for v in variables], self.batch_ndim)
        outputs = [
            pt.tensor(dtype=slot.dtype.name, shape=shape)
            for slot, shape in zip(self.rule.outputs, sizes, strict=True)
        ]
        return Apply(self, variables, outputs)

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        arrays = [np.asarray(x, slot.dtype) for x, slot in zip(inputs, self.rule.inputs, strict=True)]
        check_broadcasting(self, node, [array.shape for array in arrays])
        for storage, result in zip(output_storage, self.rule(arrays, self.batch_ndim), strict=True):
            storage[0] = result

    def infer_shape(self, fgraph: Any, node: Apply, shapes: Sequence[Any]) -> list[tuple[Any, ...]]:
        del fgraph
        known = [
            [s if s is not None else symbolic for s, symbolic in zip(v.type.shape, shape, strict=True)]
            for v, shape in zip(node.inputs, shapes, strict=True)
        ]
        sizes = output_sizes(self.derivation, known, self.batch_ndim)
        return [
            tuple(
                pt.as_tensor_variable(Shape_i(axis)(output) if size is None else size, dtype="int64")
                for axis, size in enumerate(shape)
            )
            for output, shape in zip(node.outputs, sizes, strict=True)
        ]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        pattern = self.derivation.connection_pattern()
        return [
            [False] * len(row) if isinstance(variable, Constant) else row
            for variable, row in zip(node.inputs, pattern, strict=True)
        ]

    def pullback(self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        rule, derivation = self.rule, self.derivation
        results = [disconnected() for _ in inputs]
        active = tuple(
            i
            for i, slot in enumerate(rule.inputs)
            if slot.differentiable and not isinstance(inputs[i], Constant)
        )
        if not active or all(map(is_missing, cotangents)):
            return results
        given = [
            pt.zeros_like(output) if is_missing(cotangent) else cotangent.astype(slot.dtype.name)
            for slot, output, cotangent in zip(rule.outputs, outputs, cotangents, strict=True)
            if slot.differentiable
        ]
        stores = not self.batch_ndim and derivation.stores(
            active, static_shapes([x.type.shape for x in inputs])
        )
        for group in rule.pullback_passes(active):
            if stores:
                found = _from_partials(derivation, group, inputs, given)
            else:
                op = ArrayRule(derivation.derived("pullback", group), self.batch_ndim)
                found = op(*inputs, *given, return_list=True)
            for a, cotangent in zip(group, found, strict=True):
                results[a] = _summed_to(cotangent, inputs[a])
        return results

    def pushforward(
        self, inputs: Sequence[Any], outputs: Sequence[Any], tangents: Sequence[Any]
    ) -> list[Any]:
        del outputs
        rule = self.rule
        active = tuple(
            i for i, slot in enumerate(rule.inputs) if slot.differentiable and not is_missing(tangents[i])
        )
        if not active:
            return [disconnected() for _ in rule.outputs]
        op = ArrayRule(self.derivation.derived("pushforward", active), self.batch_ndim)
        given = [tangents[a].astype(rule.inputs[a].dtype.name) for a in active]
        found = iter(op(*inputs, *given, return_list=True))
        return [next(found) if slot.differentiable else disconnected() for slot in rule.outputs]

    L_op = pullback

    def R_op(self, inputs: Sequence[Any], eval_points: Sequence[Any]) -> list[Any]:
        found = self.pushforward(inputs, (), eval_points)
        return [None if is_missing(tangent) else tangent for tangent in found]

    def __str__(self) -> str:
        return f"fwddiff({self.rule.name})"


def whole_arrays(derivation: Derivation, inputs: Sequence[Any]) -> list[Any]:
    return ArrayRule(derivation)(*inputs, return_list=True)


# --- cotangents ---------------------------------------------------------------------------------------------


def _from_partials(
    derivation: Derivation, group: Sequence[int], inputs: Sequence[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """The sum over outputs j of ct[j] * P[j][a]; the op of the partials takes the place of the value's
    (`_rewrites`)."""
    op, rule = ArrayRule(derivation.derived("partials", group)), derivation.rule
    partials = op(*inputs, return_list=True)[len(rule.outputs) :]
    found = []
    for k, a in enumerate(group):
        core = rule.inputs[a].core_ndim
        terms = [
            (pt.shape_padright(ct, core) if ct.type.ndim else ct) * partial
            for ct, partial in zip(cotangents, partials[k :: len(group)], strict=True)
        ]
        found.append(sum(terms[1:], terms[0]).astype(rule.inputs[a].dtype.name))
    return found


def _summed_to(cotangent: Any, source: Any) -> Any:
    """Sum over the axes that the input does not have (rules never reduce batch axes)."""
    extra = cotangent.type.ndim - source.type.ndim
    if extra:
        cotangent = cotangent.sum(axis=tuple(range(extra)))
    sizes = zip(source.type.shape, cotangent.type.shape, strict=True)
    axes = tuple(axis for axis, (own, size) in enumerate(sizes) if own == 1 and size != 1)
    return cotangent.sum(axis=axes, keepdims=True) if axes else cotangent


# --- shapes -------------------------------------------------------------------------------------------------


def output_sizes(derivation: Derivation, shapes: Sequence[Sequence[Any]], batch_ndim: int) -> list[tuple]:
    """Shapes of the outputs from those of the inputs. A size is a number, a symbolic number, or `None` if
    unknown."""
    rule = derivation.rule
    loops = [tuple(s[: len(s) - slot.core_ndim]) for slot, s in zip(rule.inputs, shapes, strict=True)]
    cores = _core_sizes(
        derivation, [tuple(s[len(s) - slot.core_ndim :]) for slot, s in zip(rule.inputs, shapes, strict=True)]
    )
    longest = max(map(len, loops), default=0)
    aligned = [p[:batch_ndim] + (1,) * (longest - len(p)) + p[batch_ndim:] for p in loops]
    loop = tuple(map(_common_size, zip(*aligned, strict=True)))
    return [
        _kept_loop(slot, loop, loops, batch_ndim) + core
        for slot, core in zip(rule.outputs, cores, strict=True)
    ]


def _kept_loop(slot: Slot, loop: tuple, loops: Sequence[tuple], batch_ndim: int) -> tuple:
    if slot.reduce is None:
        return loop
    return loop[:batch_ndim] + (() if slot.reduce == "sum" else loops[slot.reduce][batch_ndim:])


def _common_size(sizes: Sequence[Any]) -> Any:
    """A size other than the number one, a number if there is one."""
    numbers = [size for size in sizes if isinstance(size, int)]
    try:
        known = broadcast_static_dim_lengths(numbers) if numbers else 1
    except ValueError:
        raise ShapeError(
            f"axes of sizes {numbers} do not broadcast together; they must be equal or 1."
        ) from None
    if known != 1:
        return known
    symbols = [size for size in sizes if not isinstance(size, int)]
    return next((size for size in symbols if size is not None), None) if symbols else 1


def _core_sizes(derivation: Derivation, cores: Sequence[tuple]) -> list[tuple]:
    """Core axes of the outputs: a function says which if all sizes are known; cotangents follow their
    input."""
    rule, base = derivation.rule, derivation.base
    if base is None:
        if all(isinstance(size, int) for core in cores for size in core):
            # Sizes that only the values tell are no matter of the graph's.
            with contextlib.suppress(ShapeError):
                return [tuple(map(int, core)) for core in rule.core_shapes(cores)]
        return [(None,) * slot.core_ndim for slot in rule.outputs]
    given = cores[: len(base.rule.inputs)]
    sources = [given[a] for a in derivation.active]
    if derivation.kind == "pullback":
        return sources
    values = _core_sizes(base, given)
    results = [core for core, slot in zip(values, base.rule.outputs, strict=True) if slot.differentiable]
    return results if derivation.kind == "pushforward" else [*values, *(sources * len(results))]


def check_broadcasting(op: ArrayRule, node: Apply, shapes: Sequence[tuple[int, ...]]) -> None:
    """PyTensor broadcasts only axes whose size 1 was known when the graph was made: the sums over them are
    part of the graph. Raises `ShapeError` otherwise."""
    rule: Rule = op.rule
    aligned = rule.aligned_loops(shapes, op.batch_ndim)
    known = rule.aligned_loops([v.type.shape for v in node.inputs], op.batch_ndim)
    for axis, size in enumerate(rule.loop_shape(shapes, op.batch_ndim)):
        for i, loop in enumerate(aligned):
            if loop[axis] == 1 != size and known[i][axis] != 1:
                raise ShapeError(
                    f"{rule.name}: input {i} has size 1 along an axis of size {size}, but PyTensor did not "
                    "know that when the graph was made. Use pytensor.tensor.specify_broadcastable on it."
                )


# --- vectorisation ------------------------------------------------------------------------------------------


@_vectorize_node.register(ArrayRule)
def _vectorize(op: ArrayRule, node: Apply, *inputs: Any) -> Apply:
    """`vectorize_graph` puts new axes in front: batch axes."""
    variables = [pt.as_tensor_variable(value) for value in inputs]
    extra = [new.type.ndim - old.type.ndim for new, old in zip(variables, node.inputs, strict=True)]
    most = max(extra)
    padded = [pt.shape_padleft(x, most - own) for x, own in zip(variables, extra, strict=True)]
    return ArrayRule(op.derivation, op.batch_ndim + most).make_node(*padded)
