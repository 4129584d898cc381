"""A rule as a callable of tensors, by the cheapest way that is right for the call at hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from fwddiff._errors import HostError
from fwddiff._rule import Rule, Shape
from fwddiff.hosts.torch import _library
from fwddiff.hosts.torch._evaluation import LegacyBatchError, evaluate
from fwddiff.hosts.torch._function import functorch_is_active, make_function, make_storing_function
from fwddiff.hosts.torch._library import call_recorded

Tensors = tuple[torch.Tensor, ...]
Operation = Callable[..., Tensors]

_TRACED = "Call the function once, uncompiled, before torch.compile traces it: it then becomes one node."
_unmarked: list[Operation] = []
_PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)


def operation(rule: Rule, batch_ndim: int = 0) -> Operation:
    """The rule as a function of tensors; made once per number of batch axes and kept with the rule."""
    operations = vars(rule).get("_torch_operations")
    if operations is None:
        operations = vars(rule).setdefault("_torch_operations", {})
    found = operations.get(batch_ndim)
    if found is None:
        found = operations.setdefault(batch_ndim, _make_operation(rule, batch_ndim))
    if _unmarked and "torch._dynamo" in sys.modules:
        _mark_opaque()
    return found


_library.upper.record = operation


def _make_operation(rule: Rule, batch_ndim: int) -> Operation:
    function = make_function(rule, batch_ndim, operation)
    # `Function.apply` of Python binds a signature at each call; outside `torch.func` the C method is enough.
    record = _c_apply(function)
    stored = _storing(rule, record) if batch_ndim == 0 and rule.mode != "recompute" else record
    differentiable = [i for i, slot in enumerate(rule.inputs) if slot.differentiable]

    def run(*tensors: torch.Tensor) -> Tensors:
        if torch.compiler.is_dynamo_compiling():
            raise HostError(_TRACED)
        try:
            if functorch_is_active():  # `Function.apply` of Python, some 14 µs dearer
                return function.apply(*tensors)
            if getattr(forward_ad, "_current_level", 0) >= 0:
                return record(*tensors)
            if torch.is_grad_enabled():
                for i in differentiable:
                    if tensors[i].requires_grad:
                        return stored(*tensors)
            return evaluate(rule, batch_ndim, tensors)
        except LegacyBatchError:
            return call_recorded(rule, batch_ndim, tensors)

    _unmarked.append(run)
    return run


def _c_apply(function: type[torch.autograd.Function]) -> Operation:
    """`apply` of the C base class, which type checkers do not see."""
    base: Any = super(torch.autograd.Function, function)
    return base.apply


def _mark_opaque() -> None:
    """Let `torch.compile` keep calls as one node; the tracing below Dynamo follows the `autograd.Function`.

    When Dynamo itself traces an `autograd.Function`, a compiled `torch.func.grad` or `jvp` of it gives zeros,
    so calls that are not marked raise. Dynamo costs a second to import: this waits until somebody else has.
    """
    while _unmarked:
        torch.compiler.allow_in_graph(_unmarked.pop())


def _storing(rule: Rule, record: Operation) -> Operation:
    """Record so that partials are kept where the rule says so, else by `record`."""
    function = make_storing_function(rule, operation)
    store = _c_apply(function)
    answers: dict[tuple, bool] = {}

    def run(*tensors: torch.Tensor) -> Tensors:
        if any(type(tensor) not in _PLAIN_TYPES for tensor in tensors):
            return record(*tensors)
        question = (tuple([t.requires_grad for t in tensors]), tuple([t.shape for t in tensors]))
        answer = answers.get(question)
        if answer is None:
            if len(answers) > 1000:
                answers.clear()
            answer = answers[question] = _stores(rule, *question)
        return store(*tensors) if answer else record(*tensors)

    return run


def _stores(rule: Rule, requires_grad: Sequence[bool], shapes: Sequence[Shape]) -> bool:
    active = [i for i, slot in enumerate(rule.inputs) if requires_grad[i] and slot.differentiable]
    return rule.stores(active, [tuple(shape) for shape in shapes])
