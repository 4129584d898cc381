"""What is evaluated, counted: only cotangents that are asked for, and the forward pass once."""

import math
import os
import threading
import time

import pytest

from fwddiff import fwddiff

torch = pytest.importorskip("torch")

from fwddiff.hosts import torch as host  # noqa: E402
from support.symbolic_rule import symbolic_rule  # noqa: E402


def leaves(*required, size=3):
    return [torch.rand(size, dtype=torch.float64, requires_grad=needed) for needed in required]


@pytest.fixture
def rule():
    return symbolic_rule("x y z", "x*y*sin(z)", mode="recompute")


def test_nothing_is_recorded_without_requires_grad(rule):
    (result,) = host.apply(rule, leaves(False, False, False))
    assert result.grad_fn is None
    assert rule.evaluations == ["f"]


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_nothing_is_recorded_in(context, rule):
    rule.mode = "store"
    with context():
        (result,) = host.apply(rule, leaves(True, True, True))
    assert not result.requires_grad
    assert result.is_inference() is (context is torch.inference_mode)
    assert rule.evaluations == ["f"]


@pytest.mark.parametrize(
    ("required", "expected"),
    [((True, False, False), "0"), ((False, True, True), "1, 2"), ((True, True, True), "0, 1, 2")],
)
def test_the_pullback_is_of_what_requires_a_gradient(rule, required, expected):
    (result,) = host.apply(rule, leaves(*required))
    result.sum().backward()
    assert rule.evaluations == ["f", f"pullback(f, {expected})"]


@pytest.mark.parametrize(("inner", "size"), [(False, 5000), (True, 3), (True, 5000)])
def test_a_gradient_of_one_input_computes_one(rule, inner, size):
    """Leaves of few elements are not asked about, because PyTorch's answer takes longer than the kernel."""
    x, y, z = leaves(True, True, True, size=size)
    tensors = [tensor * 2 if inner else tensor for tensor in (x, y, z)]
    (result,) = host.apply(rule, tensors)
    torch.autograd.grad(result.sum(), y)
    assert rule.evaluations == ["f", "pullback(f, 1)"]


def test_one_pass_per_argument(rule):
    rule.passes = "per_argument"
    (result,) = host.apply(rule, leaves(True, False, True))
    result.sum().backward()
    assert rule.evaluations == ["f", "pullback(f, 0)", "pullback(f, 2)"]


def test_stored_partials_run_one_kernel(rule):
    rule.mode = "store"
    x, y, z = leaves(True, False, True)
    (result,) = host.apply(rule, [x, y, z])
    result.sum().backward()
    assert rule.evaluations == ["partials(f, 0, 2)"]
    torch.testing.assert_close(x.grad, y * torch.sin(z))
    torch.testing.assert_close(z.grad, x * y * torch.cos(z))


def test_create_graph_takes_the_pullback_rule_despite_stored_partials(rule):
    rule.mode = "store"
    x, y, z = leaves(True, False, False)
    (result,) = host.apply(rule, [x, y, z])
    torch.autograd.grad(result.sum(), x, create_graph=True)
    assert rule.evaluations == ["partials(f, 0)", "pullback(f, 0)"]


def test_several_outputs_share_one_forward_pass():
    rule = symbolic_rule("x n:int", "x*n", "n + 1", "sin(x)", mode="recompute")
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    first, count, second = host.apply(rule, [x, torch.tensor(2)])
    assert count.dtype == torch.int64
    assert not count.requires_grad
    (first + second).sum().backward()
    assert rule.evaluations == ["f", "pullback(f, 0)"]
    torch.testing.assert_close(x.grad, 2 + torch.cos(x))


def test_expanded_cotangents_take_no_memory(rule, monkeypatch):
    seen = []
    evaluate = type(rule).__call__

    def noting(self, arrays, batch_ndim=0):
        if self.name.startswith("pullback"):
            seen.append(arrays[-1].strides)
        return evaluate(self, arrays, batch_ndim)

    monkeypatch.setattr(type(rule), "__call__", noting)
    (result,) = host.apply(rule, leaves(True, False, False))
    result.sum().backward()
    assert seen == [(0,)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux shows them")
@pytest.mark.parametrize("threads", [1, 3])
def test_kernels_use_as_many_threads_as_torch(threads):
    def slow(n):
        total = 0.0
        for k in range(n):
            total += math.sqrt(k + total)
        return total

    def work():  # PyTorch keeps this setting per thread
        torch.set_num_threads(threads)
        run(torch.full((64,), 2_000_000))

    run, counts = fwddiff(slow).broadcast, []
    run(torch.full((64,), 10))  # compiles
    before, worker = len(os.listdir("/proc/self/task")), threading.Thread(target=work)
    worker.start()
    while worker.is_alive():
        counts.append(len(os.listdir("/proc/self/task")) - before - 1)
        time.sleep(0.002)
    worker.join()
    assert max(counts) == threads - 1
