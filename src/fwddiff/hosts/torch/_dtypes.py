"""Dtypes that NumPy and PyTorch share."""

from __future__ import annotations

import numpy as np
import torch

TORCH_DTYPES: dict[np.dtype, torch.dtype] = {
    np.dtype(name): getattr(torch, name)
    for name in ("float64", "float32", "int64", "int32", "int16", "int8", "uint8", "bool")
}
NUMPY_DTYPES = {theirs: ours for ours, theirs in TORCH_DTYPES.items()}
