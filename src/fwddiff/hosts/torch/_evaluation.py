"""Tensors in, tensors out: the rule sees their memory as NumPy arrays, and its arrays become tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fwddiff._rule import Rule
from fwddiff.hosts.torch import _library

Tensors = tuple[torch.Tensor, ...]


# Private names, so each has a safe substitute: always take the library operator.
_dispatch_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_is_legacy_batched = getattr(
    getattr(torch._C, "_functorch", None), "is_legacy_batchedtensor", lambda tensor: True
)


class LegacyBatchError(Exception):
    """Tensors batched by `is_grads_batched` cannot be recorded: the library operator takes the call."""


def evaluate(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor], recorded: bool = False) -> Tensors:
    """Run the rule on the tensors' own memory; tensors that have none go to the library operator.

    Under a dispatch mode (`make_fx`, `torch.func.linearize`, fake tensors) it is the operator too: read
    directly, memory would enter the mode's graph as a constant. `recorded`: called from an
    `autograd.Function`.
    """
    if not _dispatch_modes():
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


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """PyTorch's lazy negatives and lazy zeros, made into memory; other tensors unchanged."""
    if tensor._is_zerotensor():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return tensor.resolve_neg()


_library.upper.run_on_memory = evaluate_memory
