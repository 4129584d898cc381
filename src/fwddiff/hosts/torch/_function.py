"""The `autograd.Function` of a rule. Its backward and its jvp record derived rules in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import Function

from fwddiff._rule import Rule
from fwddiff.hosts.torch._dtypes import TORCH_DTYPES
from fwddiff.hosts.torch._evaluation import evaluate, is_ordinary
from fwddiff.hosts.torch._library import derived

# Private names, so each has a safe substitute: compute what nobody may want; the way always right.
_Leaf = getattr(getattr(torch._C, "_functions", None), "AccumulateGrad", None)
_engine_will_execute = getattr(torch._C, "_will_engine_execute_node", lambda node: True)

Tensors = tuple[torch.Tensor, ...]
MakeOperation = Callable[..., Callable[..., Tensors]]


def make_function(rule: Rule, batch_ndim: int, operation: MakeOperation) -> type[Function]:
    """A function that keeps its inputs and runs the pullback rule when cotangents arrive."""
    integers = [j for j, slot in enumerate(rule.outputs) if not slot.differentiable]
    differentiable = [i for i, slot in enumerate(rule.inputs) if slot.differentiable]

    class RuleFunction(Function):
        @staticmethod
        def forward(*tensors: torch.Tensor) -> Tensors:
            return evaluate(rule, batch_ndim, tensors, recorded=True)

        @staticmethod
        def setup_context(ctx: Any, inputs: Tensors, output: Tensors) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)
            describe_outputs(ctx, output, integers)

        @staticmethod
        def backward(ctx: Any, *cotangents: torch.Tensor | None) -> Any:
            active = _wanted(rule, ctx, cotangents)
            if not active:
                return (None,) * len(rule.inputs)
            tensors = ctx.saved_tensors
            given = filled(rule, ctx.output_shapes, cotangents, tensors[0])
            return run_pullback(rule, batch_ndim, operation, active, tensors, given)

        @staticmethod
        def jvp(ctx: Any, *tangents: torch.Tensor | None) -> Any:
            active = tuple(i for i in differentiable if tangents[i] is not None)
            if not active:
                return (None,) * len(rule.outputs)
            pushforward = operation(derived(rule, "pushforward", active), batch_ndim)
            results = iter(pushforward(*ctx.saved_tensors, *[tangents[a] for a in active]))
            return tuple(next(results) if slot.differentiable else None for slot in rule.outputs)

        @staticmethod
        def vmap(info: Any, in_dims: Sequence[int | None], *tensors: torch.Tensor) -> Any:
            batched = [
                tensor.unsqueeze(0) if axis is None else tensor.movedim(axis, 0)
                for tensor, axis in zip(tensors, in_dims, strict=True)
            ]
            results = operation(rule, batch_ndim + 1)(*batched)
            return results, (0,) * len(results)

    return RuleFunction


def describe_outputs(ctx: Any, output: Tensors, integers: Sequence[int]) -> None:
    ctx.set_materialize_grads(False)
    ctx.output_shapes = [tensor.shape for tensor in output]
    if integers:
        ctx.mark_non_differentiable(*[output[j] for j in integers])


def _wanted(rule: Rule, ctx: Any, cotangents: Sequence[torch.Tensor | None]) -> tuple[int, ...]:
    """Inputs whose cotangents are asked for and not known to be zero."""
    if all(cotangent is None for cotangent in cotangents):
        return ()
    active = _active(rule, ctx)
    if len(active) > 1 and is_ordinary():
        return tuple([a for a in active if will_run(ctx.next_functions[a][0])])
    return active


def will_run(node: Any, few: bool = False) -> bool:
    """Whether this backward pass goes on to the node: `torch.autograd.grad(..., y)` needs no cotangent of x.

    PyTorch answers by an exception (6 µs) for the leaves asked for: not worth it where elements are few.
    """
    if few and type(node) is _Leaf:
        return True
    try:
        return _engine_will_execute(node)
    except RuntimeError:
        return True


def _active(rule: Rule, ctx: Any) -> tuple[int, ...]:
    needed = zip(ctx.needs_input_grad, rule.inputs, strict=True)
    return tuple([i for i, (needs, slot) in enumerate(needed) if needs and slot.differentiable])


def filled(
    rule: Rule,
    shapes: Sequence[Any],
    cotangents: Sequence[torch.Tensor | None],
    like: torch.Tensor,
) -> Sequence[torch.Tensor]:
    """Cotangents of the differentiable outputs as memory; undefined ones are zeros that take none."""
    if len(cotangents) == 1 and cotangents[0] is not None and cotangents[0].layout is torch.strided:
        return (cotangents[0],)
    cotangents = [c if c is None or c.layout is torch.strided else c.to_dense() for c in cotangents]
    return [
        like.new_zeros((), dtype=TORCH_DTYPES[slot.dtype]).expand(shape) if cotangent is None else cotangent
        for slot, shape, cotangent in zip(rule.outputs, shapes, cotangents, strict=True)
        if slot.differentiable
    ]


def run_pullback(
    rule: Rule,
    batch_ndim: int,
    operation: MakeOperation,
    active: tuple[int, ...],
    tensors: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor],
) -> tuple[torch.Tensor | None, ...]:
    results: list[torch.Tensor | None] = [None] * len(rule.inputs)
    plain = not torch.is_grad_enabled() and is_ordinary()
    for group in rule.pullback_passes(active):
        pullback = derived(rule, "pullback", group)
        if plain:
            found = evaluate(pullback, batch_ndim, (*tensors, *cotangents))
        else:
            found = operation(pullback, batch_ndim)(*tensors, *cotangents)
        for a, cotangent in zip(group, found, strict=True):
            results[a] = _without_batch(cotangent, tensors[a], batch_ndim) if batch_ndim else cotangent
    return tuple(results)


def _without_batch(cotangent: torch.Tensor, source: torch.Tensor, batch_ndim: int) -> torch.Tensor:
    """Sum over the batch axes that the input does not have (rules never reduce batch axes)."""
    axes = [i for i in range(batch_ndim) if source.shape[i] == 1 and cotangent.shape[i] != 1]
    return cotangent.sum(axes, keepdim=True) if axes else cotangent


def contract(
    rule: Rule,
    stored: tuple[int, ...],
    active: tuple[int, ...],
    tensors: Sequence[torch.Tensor],
    partials: Sequence[torch.Tensor],
    cotangents: Sequence[torch.Tensor | None],
) -> tuple[torch.Tensor | None, ...]:
    """The cotangent of a is the sum over outputs j of ct[j] * P[j][a], un-broadcast to the shape of a."""
    results: list[torch.Tensor | None] = [None] * len(rule.inputs)
    given = [c for c, slot in zip(cotangents, rule.outputs, strict=True) if slot.differentiable]
    for a in active:
        for j, cotangent in enumerate(given):
            if cotangent is not None:
                term = _term(rule, a, tensors[a], partials[j * len(stored) + stored.index(a)], cotangent)
                so_far = results[a]
                results[a] = term if so_far is None else so_far + term
    return tuple(results)


def _term(
    rule: Rule, a: int, source: torch.Tensor, partial: torch.Tensor, cotangent: torch.Tensor
) -> torch.Tensor:
    # A cotangent has the output's loop axes, the partial has the input's core axes after them.
    core_ndim = rule.inputs[a].core_ndim
    if cotangent.ndim and core_ndim:
        cotangent = cotangent[(...,) + (None,) * core_ndim]
    product = cotangent * partial
    return product if product.shape == source.shape else product.sum_to_size(source.shape).to(source.dtype)
