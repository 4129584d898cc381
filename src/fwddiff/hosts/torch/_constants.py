"""Numbers and NumPy arrays beside tensors: constants of the call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fwddiff.hosts.torch._dtypes import TORCH_DTYPES

_MOST_NUMBERS = 1000
_numbers: dict[tuple, torch.Tensor] = {}


def constant(value: Any, dtype: np.dtype) -> torch.Tensor:
    """A tensor of this dtype that shares no memory with the caller's value."""
    # PyTorch's version check cannot see a later write to the caller's array.
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, dtype, order="C"))
    return torch.scalar_tensor(value, dtype=TORCH_DTYPES[dtype], device="cpu")


def kept_number(value: float, dtype: np.dtype) -> torch.Tensor:
    """The same for numbers in ordinary calls, which tend to come again."""
    found = _numbers.get((value, dtype))
    if found is None or not value:  # 0.0 and -0.0 are equal, but not the same
        if len(_numbers) >= _MOST_NUMBERS:
            _numbers.clear()
        with torch.inference_mode(False):
            found = _numbers[value, dtype] = constant(value, dtype)
    return found
