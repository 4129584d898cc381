"""What the transformations of PyTorch are built of."""

from __future__ import annotations

import torch


def arrays(points):
    return [torch.from_numpy(point.copy()) for point in points]


def weighted(f):
    """A scalar function whose gradient reaches all outputs with different cotangents."""

    def scalar(*xs):
        out = f(*xs)
        return (out * torch.linspace(0.5, 1.5, max(out.numel(), 1), dtype=out.dtype).reshape(out.shape)).sum()

    return scalar


def leaves(xs):
    return [x.detach().clone().requires_grad_() for x in xs]


def tangents(xs):
    return tuple(torch.linspace(-1, 1, max(x.numel(), 1), dtype=x.dtype).reshape(x.shape) for x in xs)


def batches(xs):
    return [torch.stack([x, x * 1.1, x * 0.9]) for x in xs]


def gradients(f, xs):
    xs = leaves(xs)
    return torch.autograd.grad(weighted(f)(*xs), xs)
