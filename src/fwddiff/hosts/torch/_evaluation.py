"""Tensors in, tensors out: their memory is lent to the rule as NumPy arrays, and what it returns becomes tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fwddiff._rule import Rule
from fwddiff.hosts.torch import _library

TORCH_DTYPES: dict[np.dtype, torch.dtype] = {
    np.dtype(name): getattr(torch, name)
    for name in ("float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool")
}
NUMPY_DTYPES = {theirs: ours for ours, theirs in TORCH_DTYPES.items()}


def evaluate(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Run the rule on the tensors' own memory; tensors that have none go to the library operator."""
    try:
        arrays = [tensor.detach().numpy() for tensor in tensors]
    except (RuntimeError, TypeError):
        return _library.call(rule, batch_ndim, [_plain(tensor) for tensor in tensors])
    return tuple([torch.from_numpy(array) for array in rule(arrays, batch_ndim)])


def evaluate_memory(rule: Rule, batch_ndim: int, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The same for tensors that do have memory (the library operator ends here)."""
    arrays = [_plain(tensor.detach()).as_subclass(torch.Tensor).numpy() for tensor in tensors]
    return tuple(torch.from_numpy(array) for array in rule(arrays, batch_ndim))


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """PyTorch's lazy negatives and lazy zeros, made into memory; other tensors unchanged."""
    if tensor._is_zerotensor():
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return tensor.resolve_neg()
