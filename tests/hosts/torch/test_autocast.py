"""`torch.autocast`: half precision comes as float32, as to PyTorch's own functions that need it."""

from __future__ import annotations

import math

import pytest
import torch

from fwddiff import HostError, fwddiff

HALVES = [torch.bfloat16, torch.float16]
silu = fwddiff(lambda x: x / (1 + math.exp(-x)))


def own(x):
    return torch.nn.functional.silu(x.float())


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("backward_inside", [True, False])
def test_gradients_of_a_layer(half, backward_inside):
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(4, 4), torch.linspace(-1, 1, 8).reshape(2, 4)
    found = []
    for function in (silu.broadcast, silu.broadcast, own):
        layer.zero_grad()
        with torch.autocast("cpu", half):
            y = function(layer(x))
            assert y.dtype == torch.float32
            total = y.square().sum()
            if backward_inside:
                total.backward()
        if not backward_inside:
            total.backward()
        found.append([p.grad for p in layer.parameters()])
    for ours, again, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(again, theirs)


@pytest.mark.parametrize("half", HALVES)
def test_transformations(half):
    x = torch.tensor([0.5, -0.25], dtype=half)
    with torch.autocast("cpu", half):
        ours, theirs = (torch.func.grad(lambda x, f=f: f(x).sum())(x) for f in (silu.broadcast, own))
        assert ours.dtype == theirs.dtype == half
        torch.testing.assert_close(ours, theirs)
        ours, theirs = (torch.func.jvp(f, (x,), (x,))[1] for f in (silu.broadcast, own))
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(torch.func.vmap(silu)(x), own(x))


def test_compiled():
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    compiled = torch.compile(lambda x: silu.broadcast(layer(x)), backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = compiled(x), own(layer(x))
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(y.sum(), layer.weight)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_other_dtypes_stay():
    with torch.autocast("cpu", torch.bfloat16):
        for dtype in (torch.float32, torch.float64):
            assert silu.broadcast(torch.ones(2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("half", HALVES)
def test_half_precision_is_refused_outside(half):
    x = torch.ones(3, dtype=half)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            silu.broadcast(x)
        with pytest.raises(HostError, match=r"torch\.float32"):
            silu.broadcast(x)
