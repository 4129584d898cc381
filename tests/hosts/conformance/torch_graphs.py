"""PyTorch's compilers, exporters and checkers: they see calls as graphs."""

from __future__ import annotations

import io

import torch
from torch.func import grad, jvp
from torch.fx.experimental.proxy_tensor import make_fx

from hosts.conformance.torch_tools import gradients, leaves, tangents, weighted


def compiled(f, xs, **options):
    torch._dynamo.reset()
    return gradients(torch.compile(f, fullgraph=True, **options), xs)


def compiled_for_two_sizes(f, xs):
    torch._dynamo.reset()
    run = torch.compile(f, backend="aot_eager", fullgraph=True, dynamic=True)
    first = gradients(run, xs)
    longer = [torch.cat([x, x * 1.1]) if x.ndim else x * 1.1 for x in xs]
    return [*first, *gradients(run, longer)]


def compiled_gradient(f, xs, **options):
    torch._dynamo.reset()
    return torch.compile(lambda *ys: grad(weighted(f), (0, 1))(*ys), fullgraph=True, **options)(*xs)


def compiled_forward(f, xs):
    torch._dynamo.reset()
    return torch.compile(lambda *ys: jvp(f, ys, tangents(ys)), backend="aot_eager", fullgraph=True)(*xs)


def traced(f, xs):
    """Run on other numbers than traced: whatever became a constant of the graph is seen."""
    graph = make_fx(lambda *ys: grad(weighted(f), (0, 1))(*ys))(*xs)
    return graph(*[x * 1.1 for x in xs])


class Module(torch.nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, a, b):
        return self.f(a, b)


def exported(f, xs, strict):
    f(*xs)
    file = io.BytesIO()
    torch.export.save(torch.export.export(Module(f), tuple(xs), strict=strict), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    others = [x * 1.1 for x in xs]
    return [loaded(*others), *gradients(loaded, others)]


class Checking(torch.fx.Interpreter):
    """Runs a graph; PyTorch's `opcheck` looks at each operator of ours in it."""

    def call_function(self, target, args, kwargs):
        if getattr(target, "namespace", "") == "fwddiff":
            tests = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
            torch.library.opcheck(target, args, kwargs, test_utils=tests)
        return super().call_function(target, args, kwargs)


def opchecked(f, xs):
    graph = make_fx(lambda *ys: [f(*ys), *grad(weighted(f), (0, 1))(*ys)])(*xs)
    return Checking(graph).run(*[x * 1.1 for x in xs])


def gradchecked(f, xs, check=torch.autograd.gradcheck, **options):
    return torch.tensor(check(f, leaves(xs), **options))
