"""Reverse mode for plain tensors, which is nearly every call: one `autograd.Function` per rule, kept lean.

A `Way` is what was decided for calls that require gradients for the same inputs: keep the inputs alone and
run the pullback rule later, or run the partials rule now. `torch.func`, forward mode and tensors without
memory take the functions of `_function`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import Function

from fwddiff._rule import FEW, Habit, Rule, Shape
from fwddiff.hosts.torch._evaluation import Launch, Unbounded, evaluate
from fwddiff.hosts.torch._function import (
    MakeOperation,
    contract,
    describe_outputs,
    filled,
    run_pullback,
    will_run,
)

Tensors = tuple[torch.Tensor, ...]

# Up to `FEW` elements, a kernel takes less time than PyTorch takes to say whether a leaf's cotangent is
# wanted (6 µs where it is), and keeping partials is quicker than a second kernel.
HABIT: Habit = "stores few"


class Way:
    """How calls are recorded whose inputs `active` require a gradient. `forward` is the rule that is run.

    `is_product`: one output, and stored partials of the shapes of their inputs: cotangents are products.
    """

    __slots__ = ("active", "asks", "few", "forward", "integers", "is_product", "nothing", "rule", "stores")

    def __init__(self, rule: Rule, active: tuple[int, ...], shapes: Sequence[Shape]):
        self.rule, self.active = rule, active
        self.few = math.prod(rule.loop_shape(shapes)) <= FEW and not rule.dear and rule.passes == "single"
        self.stores = rule.stores(active, shapes, HABIT)
        self.forward = rule.partials(active) if self.stores else rule
        self.integers = [j for j, slot in enumerate(rule.outputs) if not slot.differentiable]
        self.asks = len(active) > 1 and not (self.few and self.stores)
        self.is_product = self.stores and len(rule.outputs) == 1 and rule.shaped_like_inputs(active, shapes)
        self.nothing = (None,) * (len(rule.inputs) + 2)

    def wanted(self, ctx: Any) -> tuple[int, ...]:
        """Active inputs whose cotangents this backward pass asks for."""
        if not self.asks:
            return self.active
        return tuple([a for a in self.active if will_run(ctx.next_functions[a][0], self.few)])


def _evaluated(way: Way, tensors: Tensors) -> Sequence[torch.Tensor]:
    results = evaluate(way.forward, 0, tensors, recorded=True)
    if way.stores and not all(bool(p.isfinite().all()) for p in results[len(way.rule.outputs) :]):
        return Unbounded(results)
    return results


def make_direct(rule: Rule, operation: MakeOperation) -> Callable[..., Tensors]:
    """`record(way, launch, *tensors)`: the outputs, with a node. `launch` may be `None`."""
    n_inputs, n_outputs = len(rule.inputs), len(rule.outputs)

    class Recorded(Function):
        @staticmethod
        def forward(ctx: Any, way: Way, launch: Launch | None, *tensors: torch.Tensor) -> Any:
            results = (launch and launch(tensors)) or _evaluated(way, tensors)
            outputs = tuple(results[:n_outputs])
            ctx.way = way
            ctx.stores = way.stores and type(results) is not Unbounded
            ctx.save_for_backward(*tensors, *(results[n_outputs:] if ctx.stores else ()))
            describe_outputs(ctx, outputs, way.integers)
            return outputs

        @staticmethod
        def backward(ctx: Any, *cotangents: torch.Tensor | None) -> Any:
            way, saved = ctx.way, ctx.saved_tensors
            if all(cotangent is None for cotangent in cotangents):
                return way.nothing
            active, tensors = way.wanted(ctx), saved[:n_inputs]
            if ctx.stores and not torch.is_grad_enabled():
                partials = saved[n_inputs:]
                return None, None, *contract(rule, way.active, active, tensors, partials, cotangents)
            given = filled(rule, ctx.output_shapes, cotangents, tensors[0])
            return None, None, *run_pullback(rule, 0, operation, active, tensors, given)

    base: Any = super(Function, Recorded)
    return base.apply


def make_product(rule: Rule, operation: MakeOperation) -> Callable[..., Tensors]:
    """The same for ways whose `is_product` holds, which is what most calls take: no step more than needed."""
    n_inputs = len(rule.inputs)

    class RecordedProduct(Function):
        @staticmethod
        def forward(ctx: Any, way: Way, launch: Launch | None, *tensors: torch.Tensor) -> Any:
            results = (launch and launch(tensors)) or _evaluated(way, tensors)
            ctx.way = way
            ctx.stores = type(results) is not Unbounded
            ctx.save_for_backward(*tensors, *results[1:])
            ctx.set_materialize_grads(False)
            return (results[0],)

        @staticmethod
        def backward(ctx: Any, cotangent: torch.Tensor | None) -> Any:
            way, saved = ctx.way, ctx.saved_tensors
            if cotangent is None:
                return way.nothing
            active = way.wanted(ctx)
            if not ctx.stores or torch.is_grad_enabled():
                found = run_pullback(rule, 0, operation, active, saved[:n_inputs], (cotangent,))
                return None, None, *found
            results = list(way.nothing)
            for k, a in enumerate(way.active, n_inputs):
                if active is way.active or a in active:
                    results[a + 2] = cotangent * saved[k]
            return tuple(results)

    base: Any = super(Function, RecordedProduct)
    return base.apply
