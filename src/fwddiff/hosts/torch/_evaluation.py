"""Tensors in, tensors out: a rule reads the tensors' memory and writes into new tensors.

Three ways, the cheapest that is right: the addresses of plain tensors go to a launch of the engine that is
kept per layout; the memory of other tensors is lent to the rule as NumPy arrays; what has no memory of its
own goes on to the library operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from fwddiff._rule import Rule, Slot
from fwddiff.hosts.torch import _library, _team
from fwddiff.hosts.torch._dtypes import NUMPY_DTYPES, TORCH_DTYPES

Tensors = tuple[torch.Tensor, ...]

PLAIN_TYPES = frozenset((torch.Tensor, torch.nn.Parameter))
_MOST_LAYOUTS = 1000

# Private names, so each has a safe substitute: always take the library operator.
dispatch_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_is_legacy_batched = getattr(
    getattr(torch._C, "_functorch", None), "is_legacy_batchedtensor", lambda tensor: True
)
functorch_is_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
_functorch = getattr(torch._C, "_functorch", None)
_data_ptr = torch.Tensor.data_ptr


def is_ordinary() -> bool:
    """Whether neither `torch.func` nor forward mode is at work, and no mode that watches operators."""
    return not (functorch_is_active() or dispatch_modes() or getattr(forward_ad, "_current_level", 0) >= 0)


class LegacyBatchError(Exception):
    """Tensors batched by `is_grads_batched` cannot be recorded: the library operator takes the call."""


class Unbounded(list):
    """Outputs of a launch of partials some of which are infinite or nan (see `fwddiff._rule.Unbounded`)."""

    __slots__ = ()


class Launch:
    """A rule for inputs of one layout: `launch(tensors)` gives its outputs, or `None` where the tensors'
    memory is not what their layout says (lazy zeros have none)."""

    __slots__ = ("_divided", "_launch", "_templates")

    def __init__(self, launch: Callable[..., bool], templates: list[torch.Tensor]):
        self._launch, self._templates = launch, templates
        self._divided = getattr(launch, "tasks", 1) > 1

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor] | None:
        try:
            addresses = [*map(_data_ptr, tensors)]
        except RuntimeError:  # sparse and batched tensors
            return None
        if 0 in addresses:
            return None
        outputs = [*map(torch.empty_like, self._templates)]
        if self._divided:
            bounded = self._launch(*addresses, *map(_data_ptr, outputs), threads=_team.threads())
        else:
            bounded = self._launch(*addresses, *map(_data_ptr, outputs))
        return outputs if bounded else Unbounded(outputs)


def layout(tensors: Sequence[torch.Tensor]) -> tuple | None:
    """What a launch depends on; `None` where a tensor is not plain memory of the CPU."""
    key: list[Any] = []
    for tensor in tensors:
        if type(tensor) not in PLAIN_TYPES or not tensor.is_cpu or tensor.is_neg():
            return None
        key += tensor.dtype, tensor.shape, tensor.stride()
    return tuple(key)


def launch_for(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor]) -> Launch | None:
    """The launch for tensors like these; `None` where the engine or the tensors have no such thing."""
    launches = vars(rule).get("_torch_launches")
    if launches is None:
        launches = vars(rule).setdefault("_torch_launches", {})
    key = layout(tensors)
    if key is None:
        return None
    found = launches.get((batch_ndim, key), launches)
    if found is launches:
        if not _have_memory(tensors):
            return None
        if len(launches) >= _MOST_LAYOUTS:
            launches.clear()
        found = launches[batch_ndim, key] = _make_launch(rule, batch_ndim, tensors)
    return found


def _have_memory(tensors: Sequence[torch.Tensor]) -> bool:
    try:
        return all(map(_data_ptr, tensors))
    except RuntimeError:
        return False


def _make_launch(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor]) -> Launch | None:
    launcher = getattr(rule, "launcher", None)
    if launcher is None or not all(map(_lendable, tensors, rule.inputs)):
        return None
    operands = [
        (tuple(tensor.shape), tuple([stride * tensor.itemsize for stride in tensor.stride()]))
        for tensor in tensors
    ]
    launch = launcher((batch_ndim, *operands))
    # Templates take the memory of one number; what is empty like them is contiguous.
    templates = [
        torch.empty((), dtype=TORCH_DTYPES[dtype], device="cpu").expand(shape)
        for shape, dtype in launch.outputs
    ]
    return Launch(launch, templates)


def _lendable(tensor: torch.Tensor, slot: Slot) -> bool:
    """Whether a kernel can read the tensor as it is: of the right dtype, its core axes contiguous."""
    element = tensor[(0,) * (tensor.ndim - slot.core_ndim)]
    return NUMPY_DTYPES.get(tensor.dtype) == slot.dtype and element.is_contiguous()


def evaluate(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor], recorded: bool = False) -> Tensors:
    """Run the rule on the tensors' own memory; tensors that have none go to the library operator.

    Under a dispatch mode (`make_fx`, `torch.func.linearize`, fake tensors) it is the operator too: read
    directly, memory would enter the mode's graph as a constant. `recorded`: called from an
    `autograd.Function`.
    """
    if not dispatch_modes():
        launch = launch_for(rule, batch_ndim, tensors)
        outputs = None if launch is None else launch(tensors)
        if outputs is not None:
            return tuple(outputs)
        try:
            arrays = [tensor.detach().numpy() for tensor in tensors]
        except (RuntimeError, TypeError):
            pass
        else:
            return tuple([torch.from_numpy(array) for array in rule(arrays, batch_ndim)])
    if recorded and any(map(_is_legacy_batched, tensors)):
        raise LegacyBatchError
    return _library.call(rule, batch_ndim, [_plain(tensor) for tensor in tensors])


def evaluate_memory(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor]) -> Tensors:
    """The same for tensors that do have memory (the library operator ends here)."""
    arrays = [_plain(tensor.detach()).as_subclass(torch.Tensor).numpy() for tensor in tensors]
    return tuple(torch.from_numpy(array) for array in rule(arrays, batch_ndim))


def numbers(tensor: torch.Tensor) -> np.ndarray | None:
    """The tensor's numbers, below the transformations of `torch.func` (of a batch, the first element)."""
    if dispatch_modes():
        return None
    try:
        while _functorch is not None and _functorch.is_functorch_wrapped_tensor(tensor):
            axis = _functorch.maybe_get_bdim(tensor)
            tensor = _functorch.get_unwrapped(tensor)
            tensor = tensor if axis < 0 else tensor.select(axis, 0)
        if tensor.dtype is torch.bfloat16:
            tensor = tensor.float()
        return None if _is_legacy_batched(tensor) else _plain(tensor.detach()).numpy()
    except (RuntimeError, TypeError, AttributeError, IndexError):
        return None


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """PyTorch's lazy negatives and lazy zeros, made into memory; other tensors unchanged."""
    if tensor._is_zerotensor():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return tensor.resolve_neg() if tensor.is_neg() else tensor


_library.upper.run_on_memory = evaluate_memory
