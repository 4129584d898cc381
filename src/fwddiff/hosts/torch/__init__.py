"""PyTorch as a host: a rule is recorded by `autograd.Function`, and so are its pullback and pushforward.

_shortcut    repeated calls with tensors of known layouts, straight to
_operation   which way a call takes: plain evaluation, reverse mode for plain tensors, or everything else
_direct      the lean `autograd.Function` of a rule, for reverse mode of plain tensors
_function    the general one, for `torch.func`, forward mode and tensors without memory
_evaluation  tensors' memory → rule → tensors; everything without memory of its own goes on to
_team        the threads that kernels run on
_library     library operators, which fake, meta and legacy batched tensors meet
_constants   numbers and NumPy arrays beside tensors
_traced      what torch.compile sees
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fwddiff._errors import HostError
from fwddiff._rule import Rule
from fwddiff.hosts.torch._constants import constant
from fwddiff.hosts.torch._direct import HABIT
from fwddiff.hosts.torch._dtypes import NUMPY_DTYPES, TORCH_DTYPES
from fwddiff.hosts.torch._evaluation import numbers
from fwddiff.hosts.torch._operation import operation
from fwddiff.hosts.torch._shortcut import describe, shortcut
from fwddiff.hosts.torch._traced import is_traced, prepare, traced

__all__ = [
    "HABIT",
    "NUMBERS_YIELD",
    "apply",
    "checkpoint",
    "describe",
    "detach",
    "dtype",
    "float_dtype",
    "integer_dtype",
    "is_traced",
    "owns",
    "prepare",
    "shape",
    "shortcut",
    "traced",
    "values",
    "weak",
]

_OPEN_NUMBERS: dict[type, np.dtype] = {
    torch.SymFloat: np.dtype(np.float64),
    torch.SymInt: np.dtype(np.int64),
    torch.SymBool: np.dtype(np.bool_),
}
NUMBERS_YIELD = True
_HALVES = (torch.float16, torch.bfloat16)
Leaf = torch.Tensor | torch.SymFloat | torch.SymInt | torch.SymBool


def owns(leaf: object) -> bool:
    """Whether this is a tensor (parameters, subclasses, fake and functorch tensors included), or a number
    that torch.compile leaves open."""
    return isinstance(leaf, (torch.Tensor, *_OPEN_NUMBERS))


def shape(leaf: Leaf) -> tuple[int, ...]:
    """Shape of a tensor."""
    return tuple(leaf.shape) if isinstance(leaf, torch.Tensor) else ()


def dtype(leaf: Leaf) -> np.dtype:
    """NumPy dtype of a tensor. Raises `HostError` for dtypes, devices and layouts we do not serve."""
    if not isinstance(leaf, torch.Tensor):
        return _OPEN_NUMBERS[type(leaf)]
    found = NUMPY_DTYPES.get(_lent_dtype(leaf.dtype))
    if found is None:
        raise HostError(
            f"A tensor of dtype {leaf.dtype} cannot be lent to fwddiff; use torch.float32 or torch.float64."
            + " (torch.autocast does so by itself.)" * (leaf.dtype in _HALVES)
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


def weak(leaf: Any) -> bool:
    """Whether the leaf stands for a Python number, as NumPy's scalars do too."""
    return not isinstance(leaf, torch.Tensor | np.ndarray)


def _lent_dtype(own: torch.dtype) -> torch.dtype:
    """Under `torch.autocast` half precision is lent as float32, as to functions of PyTorch that need it."""
    return torch.float32 if own in _HALVES and torch.is_autocast_enabled("cpu") else own


def values(leaf: Leaf) -> np.ndarray | None:
    """The numbers of a tensor, or of one element of a batch; `None` where it has no memory."""
    if not isinstance(leaf, torch.Tensor):
        return np.asarray(int(leaf)) if isinstance(leaf, torch.SymInt) else None
    return numbers(leaf)


def integer_dtype() -> np.dtype:
    """Dtype of integer results."""
    return np.dtype(np.int64)


def float_dtype() -> np.dtype:
    """Dtype of float results of functions without float inputs: PyTorch's default dtype."""
    return NUMPY_DTYPES.get(torch.get_default_dtype(), np.dtype(np.float32))


def detach(leaf: Leaf) -> Leaf:
    """The tensor without a gradient (a tangent it may carry is ignored by its slot)."""
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf


def apply(rule: Rule, leaves: Sequence[Any]) -> list[torch.Tensor]:
    """One tensor per output of the rule, recorded for every kind of differentiation that PyTorch has.

    `leaves` are one per input of the rule, broadcastable: tensors, or NumPy arrays and numbers, which are
    constants. Only tensors that require a gradient or carry a tangent are differentiated.
    """
    if torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage] - documented, but not in `__all__`
        raise HostError(
            "torch.jit.trace would record the result as a constant; use torch.export or torch.compile."
        )
    tensors = [
        _checked(leaf, slot.dtype) if isinstance(leaf, torch.Tensor) else constant(leaf, slot.dtype)
        for leaf, slot in zip(leaves, rule.inputs, strict=True)
    ]
    return list(operation(rule)(*tensors))


def checkpoint(function: Callable[..., tuple], leaves: Sequence[torch.Tensor]) -> list[Any]:
    """The function's results, by `torch.utils.checkpoint`."""
    from torch.utils.checkpoint import checkpoint as by_torch

    return list(by_torch(function, *leaves, use_reentrant=False))


def _checked(leaf: torch.Tensor, wanted: np.dtype) -> torch.Tensor:
    # Rules are chosen by dtypes and axes; the device and layout are looked at here.
    found = dtype(leaf)
    return leaf if found == wanted and leaf.dtype not in _HALVES else leaf.to(TORCH_DTYPES[wanted])
