"""PyTorch as a host: a rule is recorded by `autograd.Function`, and so are its pullback and pushforward.

_operation   which way a call takes: plain evaluation, C-level recording, or `torch.func`
_function    the `autograd.Function` of a rule
_evaluation  tensors → NumPy → rule → tensors; everything without memory of its own goes on to
_library     library operators, which fake, meta and legacy batched tensors meet
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fwddiff._errors import HostError
from fwddiff._rule import Rule
from fwddiff.hosts.torch._dtypes import NUMPY_DTYPES, TORCH_DTYPES
from fwddiff.hosts.torch._operation import operation

__all__ = ["apply", "detach", "dtype", "float_dtype", "integer_dtype", "owns", "shape"]


def owns(leaf: object) -> bool:
    """Whether this is a tensor (parameters, subclasses, fake and functorch tensors included)."""
    return isinstance(leaf, torch.Tensor)


def shape(leaf: torch.Tensor) -> tuple[int, ...]:
    """Shape of a tensor."""
    return tuple(leaf.shape)


def dtype(leaf: torch.Tensor) -> np.dtype:
    """NumPy dtype of a tensor. Raises `HostError` for dtypes, devices and layouts we do not serve."""
    found = NUMPY_DTYPES.get(leaf.dtype)
    if found is None:
        raise HostError(
            f"A tensor of dtype {leaf.dtype} cannot be lent to fwddiff; use torch.float32 or torch.float64."
        )
    if not (leaf.is_cpu or leaf.is_meta):
        raise HostError(f"A tensor on {leaf.device} cannot be lent to fwddiff; move it with .cpu().")
    if leaf.layout is not torch.strided:
        raise HostError(f"A tensor of layout {leaf.layout} cannot be lent to fwddiff; use .to_dense().")
    if leaf.is_nested:
        raise HostError("A nested tensor cannot be lent to fwddiff; pad it or use its .values().")
    names = getattr(leaf, "names", ())  # removed from PyTorch in 2.13
    if any(names):
        raise HostError(f"A tensor with names {names} cannot be lent to fwddiff; use .rename(None).")
    return found


def integer_dtype() -> np.dtype:
    """Dtype of integer results."""
    return np.dtype(np.int64)


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs: PyTorch's default dtype."""
    return NUMPY_DTYPES.get(torch.get_default_dtype(), np.dtype(np.float32))


def detach(leaf: torch.Tensor) -> torch.Tensor:
    """The tensor without a gradient (a tangent it may carry is ignored by its slot)."""
    return leaf.detach()


def apply(rule: Rule, leaves: Sequence[Any]) -> list[torch.Tensor]:
    """One tensor per output of the rule, recorded for every kind of differentiation that PyTorch has.

    `leaves` are one per input of the rule, broadcastable: tensors of the slot's dtype, or NumPy arrays and
    numbers, which are constants. Only tensors that require a gradient or carry a tangent are differentiated.
    """
    if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage] - documented, but not in `__all__`
        raise HostError(
            "torch.jit.trace would record the result as a constant; use torch.export or torch.compile."
        )
    tensors = [
        leaf if isinstance(leaf, torch.Tensor) else _constant(leaf, slot.dtype)
        for leaf, slot in zip(leaves, rule.inputs, strict=True)
    ]
    return list(operation(rule)(*tensors))


def _constant(value: Any, slot_dtype: np.dtype) -> torch.Tensor:
    # A copy: PyTorch's version check cannot see a later write to the caller's array.
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, slot_dtype, order="C"))
    return torch.tensor(value, dtype=TORCH_DTYPES[slot_dtype])
