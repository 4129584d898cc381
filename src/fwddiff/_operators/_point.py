"""A function at arguments of certain kinds and shapes: its rule, and which of the rule's inputs move."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _dual_host, _tree
from fwddiff._call import Call
from fwddiff._chainrules import refuse_host
from fwddiff._errors import ArgumentError, FwdDiffError, ShapeError, StructureError
from fwddiff._function import Target
from fwddiff._rule import Rule, Shape
from fwddiff._wrapper import Operation
from fwddiff.dual import level_of

Argnum = int | str | Sequence[int | str]
Assemble = Callable[[Sequence[Any]], Any]


class Point:
    """What is decided once for all calls of one kind. It holds no arguments.

    `inputs` are the rule's inputs that move: the floats in the arguments `numbers`, which `argnum` chose.
    """

    def __init__(self, operation: Operation, call: Call, numbers: Sequence[int], is_single: bool, count: int):
        self.name = operation.wrapped.target.name
        self.numbers, self.is_single = numbers, is_single
        self.call = call._replace(inputs=[])
        self.rule: Rule = call.rule
        self.shapes: list[Shape] = [_dual_host.shape(leaf) for leaf in call.inputs]
        self._find_inputs(operation.wrapped.target, count)

    def _find_inputs(self, target: Target, count: int) -> None:
        given = target.given_positions(count)
        positions = [given[k] for k in self.numbers]
        children = self.call.spec.children()
        starts = list(itertools.accumulate((child.num_leaves for child in children), initial=0))
        input_of = {leaf: i for i, leaf in enumerate(self.call.dynamic)}
        self.specs = [children[p] for p in positions]
        # The rule's input for each leaf of each chosen argument, `None` for what is no number.
        self.places = [[input_of.get(leaf) for leaf in range(starts[p], starts[p + 1])] for p in positions]
        flat = [i for places in self.places for i in places if i is not None]
        self.inputs = tuple(i for i in flat if self.rule.inputs[i].differentiable)
        if not self.inputs:
            raise ArgumentError(
                f"{self.name}: the argument to differentiate by, {self.shown()}, holds no float to "
                "differentiate."
            )

    def tree(self) -> Any:
        return self.call.result_tree()

    def is_constant(self) -> bool:
        """Whether the results are integers: they have the derivative zero."""
        return not self.rule.differentiable_outputs

    def has_loop_axes(self) -> bool:
        """Whether the function is applied to several elements: a broadcast, or a sum of one."""
        return any(len(s) != slot.core_ndim for s, slot in zip(self.shapes, self.rule.inputs, strict=True))

    def only_number(self) -> bool:
        """Whether a single number moves."""
        return len(self.inputs) == 1 and not self.shapes[self.inputs[0]]

    def result_shapes(self) -> list[Shape] | None:
        """Of the differentiable outputs; `None` where only evaluating tells."""
        try:
            shapes = self.rule.output_shapes(self.shapes)
        except FwdDiffError:
            return None
        pairs = zip(self.rule.outputs, shapes, strict=True)
        return [tuple(shape) for slot, shape in pairs if slot.differentiable]

    def result_is_array(self) -> bool:
        """Whether what mirrors the result is one array, as far as that is known."""
        shapes = self.result_shapes()
        return self.tree().is_leaf() and bool(shapes and shapes[0])

    # --- evaluation -----------------------------------------------------------------------------------------

    def derived(self, kind: str, with_values: bool) -> Rule:
        """The pushforward, pullback or Jacobian by all inputs that move."""
        if with_values:
            return self.rule.with_values(kind, self.inputs)
        return getattr(self.rule, kind)(self.inputs)

    def by_basis(self, rule: Rule, leaves: Sequence[Any]) -> list[Any]:
        """Derivatives of the one output of `rule` by each input that moves, one direction after the other."""
        return [self._block(rule, i, leaves) for i in self.inputs]

    def _block(self, rule: Rule, i: int, leaves: Sequence[Any]) -> Any:
        shape, pushed = self.shapes[i], rule.pushforward((i,))
        if not shape:
            return evaluated(pushed, [*leaves, 1.0])[0]
        basis = np.eye(int(np.prod(shape))).reshape(-1, *shape)
        if max(map(level_of, leaves)) < 0:
            fixed = [np.asarray(leaf)[None] for leaf in leaves]
            pairs = zip([*fixed, basis], pushed.inputs, strict=True)
            columns = pushed([np.asarray(array, slot.dtype) for array, slot in pairs], 1)[0]
        else:
            columns = np.stack([evaluated(pushed, [*leaves, tangent])[0] for tangent in basis])
        return np.moveaxis(columns, 0, -1).reshape((*columns.shape[1:], *shape))

    # --- structures -----------------------------------------------------------------------------------------

    def by_argument(self, items: Sequence[Any]) -> Any:
        return items[0] if self.is_single else tuple(items)

    def is_array(self) -> bool:
        """Whether what mirrors x is one array."""
        return self.is_single and self.specs[0].is_leaf() and bool(self.shapes[self.inputs[0]])

    def is_plain(self) -> bool:
        """Whether what mirrors x is one array or number."""
        return self.is_single and self.specs[0].is_leaf()

    @functools.cached_property
    def like_x(self) -> Assemble:
        """Makes what mirrors x of the cotangents of `inputs`."""
        if self.is_plain():
            return operator.itemgetter(0)
        if all(spec.is_leaf() for spec in self.specs) and len(self.inputs) == len(self.specs):
            return tuple
        return self._structs_like_x

    def _structs_like_x(self, cotangents: Sequence[Any]) -> Any:
        found: dict[int | None, Any] = dict(zip(self.inputs, cotangents, strict=True))
        pairs = zip(self.specs, self.places, strict=True)
        return self.by_argument([_tree.unflatten(s, [found.get(i) for i in places]) for s, places in pairs])

    def like_result(self, moved: Sequence[Any]) -> Any:
        """`moved` belong to the differentiable outputs."""
        given = iter(moved)
        leaves = [next(given) if slot.differentiable else None for slot in self.rule.outputs]
        return _tree.unflatten(self.tree(), leaves)

    def value(self, outputs: Sequence[Any]) -> Any:
        return _tree.unflatten(self.tree(), outputs)

    def tangents(self, tangent: Any) -> list[Any]:
        """Leaves of a tangent of x, those of its float leaves."""
        given = (tangent,) if self.is_single else tuple(tangent)
        if len(given) != len(self.specs):
            raise StructureError(f"{len(given)} tangents for {len(self.specs)} arguments: give one for each.")
        leaves = []
        for spec, places, tree in zip(self.specs, self.places, given, strict=True):
            flat = _mirrored(tree, spec, "the tangent", "its argument")
            leaves += [leaf for leaf, i in zip(flat, places, strict=True) if i in self.inputs]
        _expect_shapes(leaves, [self.shapes[i] for i in self.inputs], "a tangent", "its argument")
        return leaves

    def cotangents(self, cotangent: Any) -> list[Any]:
        """Leaves of a cotangent of the result, those of its float leaves."""
        flat = _mirrored(cotangent, self.tree(), "the cotangent", "the result")
        pairs = zip(flat, self.rule.outputs, strict=True)
        leaves = [leaf for leaf, slot in pairs if slot.differentiable]
        shapes = self.result_shapes() if leaves else None
        if shapes is not None:
            _expect_shapes(leaves, shapes, "a cotangent", "its result")
        return leaves

    def shown(self) -> str:
        """What the chosen arguments are, in a few words."""
        return ", ".join(map(self._kind, self.specs, self.places))

    def _kind(self, spec: Any, places: Sequence[int | None]) -> str:
        if not spec.is_leaf():
            return f"a {spec.type.__name__}" if spec.type else "nothing"
        if places[0] is None:
            return "what is no number"
        dtype, shape = self.rule.inputs[places[0]].dtype, self.shapes[places[0]]
        return f"an array of shape {shape}" if shape else f"a number ({dtype.name})"

    # --- refusals -------------------------------------------------------------------------------------------

    def expect_one_number(self, name: str, other: str) -> None:
        slots = self.rule.differentiable_outputs or self.rule.outputs
        is_array = any(slot.core_ndim or (slot.reduce is None and self.has_loop_axes()) for slot in slots)
        if len(slots) != 1 or is_array or slots[0].dtype.kind == "b":
            raise ArgumentError(
                f"{name} needs a function that returns one number, and {self.name} returns {len(slots)} "
                f"float leaves{', an array' if len(slots) == 1 else ''}. Perhaps you meant {other}."
            )

    def expect_number(self) -> None:
        if not self.only_number():
            if len(self.specs) > 1:
                raise ArgumentError(
                    f"derivative takes one argument to differentiate {self.name} by, and argnum= names "
                    f"{len(self.specs)}: gradient gives a tuple of derivatives, one for each."
                )
            raise ArgumentError(
                f"derivative needs a function of a number; {self.name} got {self.shown()}. Use gradient or "
                "jacobian."
            )

    def expect_arrays(self, name: str) -> None:
        if not all(spec.is_leaf() for spec in self.specs):
            raise ArgumentError(f"{name} needs a number or an array as argument, not a struct. Use gradient.")

    def expect_one_array(self) -> None:
        outputs = self.rule.outputs
        if len(outputs) != 1 or not self.tree().is_leaf() or outputs[0].dtype.kind == "b":
            raise ArgumentError(
                f"jacobian needs a function that returns one float array or number; {self.name} does not. "
                "Use pushforward or pullback."
            )


def located(operation: Operation, args: tuple, argnum: Argnum) -> tuple[Point, list[Any]]:
    """The point of a call with these arguments, and the leaves that are the rule's inputs."""
    numbers, is_single, args = chosen(operation.wrapped.target, args, argnum)
    call = operation.prepare(*args)
    refuse_host(call, operation.wrapped.target.original)
    return Point(operation, call, numbers, is_single, len(args)), call.inputs


def chosen(target: Target, args: tuple, argnum: Argnum) -> tuple[list[int], bool, tuple]:
    """Positions of the arguments to differentiate by, whether `argnum` is one, and the arguments with
    integers as floats there."""
    is_single = isinstance(argnum, int | str)
    items: Any = (argnum,) if is_single else argnum
    numbers = [_number(target, item, len(args)) for item in items]
    if not numbers:
        raise ArgumentError("argnum=() chooses no argument to differentiate by.")
    return numbers, is_single, tuple(with_floats(a) if k in numbers else a for k, a in enumerate(args))


def evaluated(rule: Rule, leaves: Sequence[Any]) -> list[Any]:
    """Outputs of a rule; numbers as Python's own, arrays and duals as they are."""
    return [_bare(leaf) for leaf in _dual_host.evaluate(rule, leaves)]


def _bare(leaf: Any) -> Any:
    return leaf.item() if isinstance(leaf, np.generic | np.ndarray) and leaf.ndim == 0 else leaf


def _mirrored(tree: Any, spec: Any, what: str, model: str) -> list[Any]:
    if spec.is_leaf():
        return [tree]
    try:
        return spec.flatten_up_to(tree)
    except (ValueError, TypeError) as error:
        raise StructureError(f"{what} does not have the structure of {model}, {spec}: {error}") from None


def _expect_shapes(leaves: Sequence[Any], shapes: Sequence[Shape], what: str, model: str) -> None:
    for leaf, shape in zip(leaves, shapes, strict=True):
        if _dual_host.shape(leaf) != shape:
            raise ShapeError(f"{what} has shape {_dual_host.shape(leaf)}, {model} {shape}.")


def _number(target: Target, item: int | str, count: int) -> int:
    """Which of the `count` arguments given `argnum` means."""
    if isinstance(item, str) and item in target.names:
        found = target.names.index(item) - len(target.preset_args)
        if 0 <= found < count:
            return found
    elif isinstance(item, int) and -count <= item < count:
        return item % count
    raise ArgumentError(
        f"argnum={item!r} is none of the {count} arguments given: {target.name} takes "
        f"{', '.join(target.names[len(target.preset_args) :]) or 'none'}."
    )


def with_floats(argument: Any) -> Any:
    """Integers as floats, if the argument holds nothing but integers."""
    if type(argument) is float:
        return argument
    if type(argument) is np.ndarray:
        return _as_float(argument) if _is_integer_array(argument) else argument
    leaves, spec = _tree.flatten(argument)
    if not all(isinstance(leaf, int | np.integer) or _is_integer_array(leaf) for leaf in leaves):
        return argument
    return _tree.unflatten(spec, [_as_float(leaf) for leaf in leaves])


def _is_integer_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iub"


def _as_float(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return leaf if leaf.dtype.kind == "b" else leaf.astype(np.float64)
    return leaf if isinstance(leaf, bool) else float(leaf)
