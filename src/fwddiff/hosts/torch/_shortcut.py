"""Repeated calls: from the leaves of a call straight to the launch and the node that served one like it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from fwddiff._rule import Rule
from fwddiff.hosts.torch._constants import kept_number
from fwddiff.hosts.torch._dtypes import NUMPY_DTYPES, TORCH_DTYPES
from fwddiff.hosts.torch._evaluation import (
    PLAIN_TYPES,
    dispatch_modes,
    functorch_is_active,
    launch_for,
)
from fwddiff.hosts.torch._operation import direct, operation, way_for

_NUMBERS = (float, int, bool, np.float64)
_tracing_state = torch._C._get_tracing_state


def describe(structure: tuple, leaves: Sequence[Any]) -> tuple | None:
    """All that decides how a call is served, as cheaply as it can be had; `None`: not by a shortcut."""
    if (
        functorch_is_active()
        or dispatch_modes()
        or getattr(forward_ad, "_current_level", 0) >= 0
        or _tracing_state() is not None
    ):
        return None
    key: list[Any] = [structure, torch.is_grad_enabled()]
    for leaf in leaves:
        kind = type(leaf)
        if kind in PLAIN_TYPES:
            if not leaf.is_cpu or leaf.is_neg():
                return None
            key += leaf.dtype, leaf.shape, leaf.stride(), leaf.requires_grad
        elif kind in _NUMBERS:
            key.append(kind)
        else:
            return None
    return tuple(key)


def shortcut(
    rule: Rule, dynamic: Sequence[int], leaves: Sequence[Any], finish: Callable[[Sequence[Any]], Any]
) -> Callable[[Sequence[Any]], Any] | None:
    """How to serve calls that `describe` does not tell from this one; `None`: in the ordinary way.

    `leaves[k]` for k in `dynamic` are the rule's inputs, `finish` makes the result of its outputs.
    """
    if any(isinstance(leaf, torch.Tensor) and leaf.dtype not in NUMPY_DTYPES for leaf in leaves):
        return None  # half precision, as long as `torch.autocast` is at work
    # Otherwise PyTorch's default dtype counts too, which `describe` leaves out.
    if not any(isinstance(leaf, torch.Tensor) and leaf.is_floating_point() for leaf in leaves):
        return None
    gather = _gatherer(rule, dynamic, leaves)
    tensors = leaves if gather is None else gather(leaves)
    active = ()
    if torch.is_grad_enabled():
        active = tuple(
            i
            for i, (slot, tensor) in enumerate(zip(rule.inputs, tensors, strict=True))
            if slot.differentiable and tensor.requires_grad
        )
    way = way_for(rule, active, tensors) if active else None
    launch = launch_for(rule if way is None else way.forward, 0, tensors)
    if launch is None:
        return None
    if way is not None:
        record = direct(way)
        if gather is None:
            return lambda leaves: finish(record(way, launch, *leaves))
        return lambda leaves: finish(record(way, launch, *gather(leaves)))
    slow = operation(rule)

    def evaluated(leaves: Sequence[Any]) -> Any:
        tensors = leaves if gather is None else gather(leaves)
        return finish(launch(tensors) or slow(*tensors))

    return evaluated


def _gatherer(
    rule: Rule, dynamic: Sequence[int], leaves: Sequence[Any]
) -> Callable[[Sequence[Any]], Sequence[torch.Tensor]] | None:
    """Picks the rule's inputs from the leaves, numbers as tensors; `None` where they are the leaves."""
    inputs = [leaves[k] for k in dynamic]
    fits = [
        isinstance(x, torch.Tensor) and x.dtype == TORCH_DTYPES[slot.dtype]
        for x, slot in zip(inputs, rule.inputs, strict=True)
    ]
    if len(dynamic) == len(leaves) and all(fits):
        return None
    steps = [
        (k, None if fit else _converter(leaves[k], slot.dtype))
        for k, slot, fit in zip(dynamic, rule.inputs, fits, strict=True)
    ]
    return lambda leaves: [leaves[k] if convert is None else convert(leaves[k]) for k, convert in steps]


def _converter(leaf: Any, dtype: np.dtype) -> Callable[[Any], torch.Tensor]:
    """Numbers as tensors; tensors without axes in the dtype of those that have some."""
    if isinstance(leaf, torch.Tensor):
        return lambda tensor: tensor.to(TORCH_DTYPES[dtype])
    return lambda number: kept_number(number, dtype)
