"""Presets and defaults under torch.compile: inputs of the graph where they hold tensors."""

from __future__ import annotations

import functools

import pytest
import torch

from fwddiff import fwddiff


def tensor(*numbers):
    return torch.tensor(numbers if len(numbers) > 1 else numbers[0], dtype=torch.float64, requires_grad=True)


def same(a):
    return a


def scaled(c):
    return {
        "keyword preset": (fwddiff(functools.partial(lambda a, k: k * a, k=c)), ()),
        "positional preset": (fwddiff(functools.partial(lambda k, a: k * a, c)), ()),
        "nested presets": (
            fwddiff(functools.partial(functools.partial(lambda j, k, a: j * k * a, 1.0), c)),
            (),
        ),
        "default": (fwddiff(lambda a, k=c: k * a), ()),
        "keyword-only default": (fwddiff(lambda a, *, n=1, k=c: n * k * a), ()),
        "preset of a default": (fwddiff(functools.partial(lambda a, k=0.0: k * a, k=c)), ()),
        "in a container": (fwddiff(lambda a, k=(1.0, {"c": c}): k[0] * k[1]["c"] * a), ()),
        "before the rest": (fwddiff(functools.partial(lambda k, *rest: k * (rest[0] + rest[1]), c)), (0.0,)),
        "beside functions and None": (fwddiff(lambda a, h=same, n=None, k=c: k * h(a)), ()),
    }


@pytest.mark.parametrize("kind", scaled(0.0))
@pytest.mark.few(kind=["positional preset", "keyword-only default", "preset of a default", "in a container"])
def test_gradients(kind):
    torch._dynamo.reset()
    c, t = tensor(2.0), tensor(3.0, 4.0)
    g, more = scaled(c)[kind]
    loss = torch.compile(
        lambda t: g.broadcast(t, *more).sum() + (c * c).sum(), backend="aot_eager", fullgraph=True
    )
    for _ in range(2):
        by_c, by_t = torch.autograd.grad(loss(t), (c, t))
        torch.testing.assert_close(by_c, torch.tensor(7.0 + 4.0, dtype=torch.float64))
        torch.testing.assert_close(by_t, torch.full((2,), 2.0, dtype=torch.float64))
    with torch.no_grad():
        c.mul_(2)
    torch.testing.assert_close(loss(t), torch.tensor(4.0 * 7.0 + 16.0, dtype=torch.float64))


def test_two_calls_of_different_arguments_in_one_graph():
    torch._dynamo.reset()
    c, t = tensor(2.0), tensor(3.0)
    g = fwddiff(lambda a, b=1.0, k=c: k * a * b)
    loss = torch.compile(
        lambda t: g.broadcast(t) + g.broadcast(t, 5.0) + g.broadcast(t, k=t) + g.broadcast(b=t, a=t),
        backend="aot_eager",
        fullgraph=True,
    )
    for _ in range(2):
        found = torch.autograd.grad(loss(t), (c, t))
        wanted = torch.autograd.grad(c * t + 5 * c * t + t * t + c * t * t, (c, t))
        torch.testing.assert_close(found, wanted)


def test_given_arguments_come_before_presets():
    torch._dynamo.reset()
    c, k, t = tensor(2.0), tensor(5.0), tensor(3.0)
    g = fwddiff(functools.partial(lambda a, k: k * a, k=c))
    loss = torch.compile(lambda t, k: g.sum(t, k=k), backend="aot_eager", fullgraph=True)
    by_c, by_k = torch.autograd.grad(loss(t, k), (c, k), allow_unused=True)
    assert by_c is None
    torch.testing.assert_close(by_k, t.detach())
