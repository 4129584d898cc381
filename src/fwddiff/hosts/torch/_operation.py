"""A rule as a callable of tensors, by the cheapest way that is right for the call at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from fwddiff._errors import HostError
from fwddiff._rule import Rule
from fwddiff.hosts.torch import _library
from fwddiff.hosts.torch._direct import Way, make_direct, make_product
from fwddiff.hosts.torch._evaluation import (
    PLAIN_TYPES,
    LegacyBatchError,
    dispatch_modes,
    evaluate,
    functorch_is_active,
)
from fwddiff.hosts.torch._function import make_function
from fwddiff.hosts.torch._library import call_recorded

Tensors = tuple[torch.Tensor, ...]
Operation = Callable[..., Tensors]

_TRACED = "torch.compile has to go through the wrapped function itself: call that, not its parts."
_MOST_WAYS = 1000


def operation(rule: Rule, batch_ndim: int = 0) -> Operation:
    """The rule as a function of tensors; made once per number of batch axes and kept with the rule."""
    operations = vars(rule).get("_torch_operations")
    if operations is None:
        operations = vars(rule).setdefault("_torch_operations", {})
    found = operations.get(batch_ndim)
    if found is None:
        found = operations.setdefault(batch_ndim, _make_operation(rule, batch_ndim))
    return found


_library.upper.record = operation


def _make_operation(rule: Rule, batch_ndim: int) -> Operation:
    # From now on, exported graphs that are loaded find the rule, and their operator.
    _library.key(rule)
    _library.operator(len(rule.inputs), len(rule.outputs))
    function = make_function(rule, batch_ndim, operation)
    # `Function.apply` of Python binds a signature at each call; outside `torch.func` the C method is enough.
    base: Any = super(torch.autograd.Function, function)
    record = base.apply
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
                active = [i for i in differentiable if tensors[i].requires_grad]
                if active:
                    if batch_ndim or dispatch_modes() or not PLAIN_TYPES.issuperset(map(type, tensors)):
                        return record(*tensors)
                    way = way_for(rule, tuple(active), tensors)
                    return direct(way)(way, None, *tensors)
            return evaluate(rule, batch_ndim, tensors)
        except LegacyBatchError:
            return call_recorded(rule, batch_ndim, tensors)

    return run


def direct(way: Way) -> Callable[..., Any]:
    """The function that records a rule in reverse mode: `record(way, launch, *tensors)`."""
    kept = vars(way.rule)
    name = "_torch_product" if way.is_product else "_torch_direct"
    found = kept.get(name)
    if found is None:
        make = make_product if way.is_product else make_direct
        found = kept.setdefault(name, make(way.rule, operation))
    return found


def way_for(rule: Rule, active: tuple[int, ...], tensors: Sequence[torch.Tensor]) -> Way:
    """Store or recompute, for gradients of the active inputs; decided once per shapes."""
    ways = vars(rule).get("_torch_ways")
    if ways is None:
        ways = vars(rule).setdefault("_torch_ways", {})
    question = (active, *[tensor.shape for tensor in tensors])
    found = ways.get(question)
    if found is None:
        if len(ways) >= _MOST_WAYS:
            ways.clear()
        found = ways[question] = Way(rule, active, [tuple(tensor.shape) for tensor in tensors])
    return found
