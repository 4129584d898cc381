"""Kinds of tensors: layouts, dtypes, what is refused; hooks, threads, in-place writes around a call."""

import math
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fwddiff import HostError, fwddiff  # noqa: E402
from fwddiff.hosts import torch as host  # noqa: E402
from support.symbolic_rule import symbolic_rule  # noqa: E402

F64 = torch.float64


@fwddiff
def product(x, y):
    return x * math.sin(y)


def native(x, y):
    return x * torch.sin(y)


def compare(x, y):
    """Value and gradients of a weighted sum, ours and PyTorch's."""
    results = []
    for f in (product.broadcast, native):
        xs, ys = (tensor.detach().requires_grad_() for tensor in (x, y))
        value = f(xs, ys)
        gradients = torch.autograd.grad((value * value).sum(), (xs, ys))
        results.append((value, *gradients))
    torch.testing.assert_close(*results)


BASE = torch.arange(1.0, 25.0, dtype=F64).reshape(4, 6) / 10


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (BASE, BASE),
        (BASE.T, BASE.T),
        (BASE[::2, ::3], BASE[:2, 1:3]),
        (BASE[0, 0].expand(3, 5), BASE[0, :5]),
        (BASE[:, :1], BASE[0, 0]),
        (BASE[:, :0], BASE[:, :1]),
        (BASE[:0], BASE[0]),
        (BASE.float(), BASE.float()),
        (BASE.float(), BASE[0]),
        (torch.tensor(0.5, dtype=F64), torch.tensor(0.25, dtype=F64)),
    ],
    ids=[
        "same",
        "transposed",
        "strided",
        "expanded",
        "broadcast",
        "empty",
        "empty-axis",
        "float32",
        "mixed",
        "numbers",
    ],
)
def test_layout(x, y):
    compare(x, y)


def test_lazy_negatives_and_lazy_zeros():
    negative = torch.view_as_real(torch.complex(BASE, BASE)).conj()[..., 1]
    lazy = torch._neg_view(BASE)
    assert lazy.is_neg()
    torch.testing.assert_close(product.broadcast(lazy, negative), native(lazy, negative))
    zeros = torch._efficientzerotensor((4, 6), dtype=F64)
    torch.testing.assert_close(product.broadcast(zeros, BASE), torch.zeros(4, 6, dtype=F64))


def test_parameters_and_subclasses():
    class Marked(torch.Tensor):
        pass

    parameter = torch.nn.Parameter(BASE.clone())
    product.broadcast(parameter, BASE).sum().backward()
    torch.testing.assert_close(parameter.grad, torch.sin(BASE))
    marked = BASE.clone().as_subclass(Marked).requires_grad_()
    torch.testing.assert_close(
        product.broadcast(marked, BASE).detach().as_subclass(torch.Tensor), native(BASE, BASE)
    )


def test_constants_are_copied():
    array, x = np.full(3, 2.0), torch.ones(3, dtype=F64, requires_grad=True)
    result = product.broadcast(x, array)
    array[:] = 0.0
    result.sum().backward()
    torch.testing.assert_close(x.grad, torch.full((3,), math.sin(2.0), dtype=F64))


@pytest.mark.parametrize("mode", ["store", "recompute"])
def test_writing_to_a_saved_tensor_is_noticed(mode):
    x, y = torch.ones(3, dtype=F64, requires_grad=True), torch.ones(3, dtype=F64)
    result = fwddiff(native_free, mode=mode).broadcast(x, y)
    y.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


def native_free(x, y):
    return x * y * y


def test_results_are_writable_and_fresh():
    x = torch.ones(3, dtype=F64)
    result = product.broadcast(x, x)
    result.add_(1.0)
    torch.testing.assert_close(product.broadcast(x, x), native(x, x))


REFUSED = {
    "complex": (lambda: torch.ones(2, dtype=torch.complex128), "complex128.*torch.float64"),
    "half": (lambda: torch.ones(2, dtype=torch.float16), "float16.*torch.float32"),
    "bfloat16": (lambda: torch.ones(2, dtype=torch.bfloat16), "bfloat16"),
    "sparse": (lambda: torch.eye(2, dtype=F64).to_sparse(), "to_dense"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "qint8"),
}


@pytest.mark.filterwarnings("ignore:.*[Qq]uantiz.*")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind):
    make, message = REFUSED[kind]
    with pytest.raises(HostError, match=message):
        product.broadcast(make(), 1.0)


def test_meta_tensors_have_shapes_only():
    x, y = torch.empty(3, 1, dtype=F64, device="meta"), torch.empty(4, dtype=F64, device="meta")
    result = product.broadcast(x.requires_grad_(), y)
    assert result.is_meta
    assert result.shape == (3, 4)
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert gradient.shape == (3, 1)


def test_hooks():
    x = torch.ones(3, dtype=F64, requires_grad=True)
    result = product.broadcast(x, x)
    seen = []
    result.register_hook(lambda cotangent: cotangent * 2)
    x.register_hook(seen.append)
    result.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 2 * (math.sin(1) + math.cos(1))))
    assert len(seen) == 1


def test_checkpoint():
    x = torch.ones(3, dtype=F64, requires_grad=True)
    result = torch.utils.checkpoint.checkpoint(product.broadcast, x, x, use_reentrant=False)
    result.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, math.sin(1) + math.cos(1)))


def test_threads_share_a_rule():
    rule = symbolic_rule("x y", "x*sin(y)")
    failures = []

    def work(number):
        for step in range(50):
            x = torch.full((8,), 1.0 + number + step / 100, dtype=F64, requires_grad=True)
            (result,) = host.apply(rule, [x, x])
            (gradient,) = torch.autograd.grad(result.sum(), x)
            if not torch.allclose(gradient, torch.sin(x) + x * torch.cos(x)):
                failures.append((number, step))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_undefined_cotangents_are_zeros_and_all_undefined_is_none():
    rule = symbolic_rule("x", "x**2", "x**3", mode="recompute")
    x = torch.tensor([2.0], dtype=F64, requires_grad=True)
    square, cube = host.apply(rule, [x])
    (only,) = torch.autograd.grad(cube, x)
    torch.testing.assert_close(only, torch.tensor([12.0], dtype=F64))
    del square
    other = torch.tensor([1.0], dtype=F64, requires_grad=True)
    assert torch.autograd.grad(host.apply(rule, [x])[0], other, allow_unused=True) == (None,)
