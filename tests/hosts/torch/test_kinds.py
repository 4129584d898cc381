"""Calls after a remembered one that differ from it in one thing only; kinds of cotangents."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fwddiff import HostError, fwddiff  # noqa: E402

F64 = torch.float64
X = torch.linspace(0.5, 2.0, 4, dtype=F64)


@fwddiff
def cube(x, y):
    return x * x * x * y


def test_cotangents_of_wrong_shape_and_dtype():
    x = X.clone().requires_grad_()
    for requested in (torch.ones(7, dtype=F64), torch.ones(2, 2, dtype=F64)):
        with pytest.raises(RuntimeError, match=r"[Mm]ismatch in shape"):
            cube.broadcast(x, 2.0).backward(requested)
    ours, theirs = cube.broadcast(x, 2.0), x**3 * 2
    for cotangent in (torch.ones(4), torch.ones(4, dtype=torch.float64)[::1].expand(4)):
        torch.testing.assert_close(
            torch.autograd.grad(ours, x, cotangent, retain_graph=True),
            torch.autograd.grad(theirs, x, cotangent, retain_graph=True),
        )


COTANGENTS = {
    "negative view": lambda: torch._neg_view(X),
    "zeros without memory": lambda: torch._efficientzerotensor((4,), dtype=F64),
    "strided": lambda: torch.stack([X, X], 1)[:, 0],
    "expanded": lambda: torch.tensor(2.0, dtype=F64).expand(4),
    "sparse": lambda: X.to_sparse(),
}


@pytest.mark.parametrize("mode", ["store", "recompute"])
@pytest.mark.parametrize("kind", COTANGENTS)
def test_kind_of_cotangent(kind, mode):
    x = X.clone().requires_grad_()
    result = fwddiff(lambda x: x * math.sin(x), mode=mode).broadcast(x)
    ours = torch.autograd.grad(result, x, COTANGENTS[kind]())[0]
    dense = COTANGENTS[kind]()
    dense = dense.to_dense() if dense.layout is torch.sparse_coo else dense
    if ours.layout is torch.sparse_coo:
        ours = ours.to_dense()
    torch.testing.assert_close(ours + 0, dense * (torch.sin(X) + X * torch.cos(X)) + 0)


def test_saved_tensors_packed_in_another_layout():
    """What hooks give back need not have the strides that the kernel was looked up with."""
    x = torch.rand(4, 6, dtype=F64).requires_grad_()
    y = torch.rand(4, 6, dtype=F64)
    for mode in ("store", "recompute"):
        f = fwddiff(lambda x, y: x * x * y, mode=mode).broadcast
        f(x, y).sum().backward()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.T.contiguous(), lambda t: t.T):
            result = f(x, y)
        torch.testing.assert_close(torch.autograd.grad(result.sum(), x)[0], 2 * x * y)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_kinds_of_tensors_after_a_call_that_was_remembered():
    f = fwddiff(lambda x: x * 2.0).broadcast
    matrix = torch.eye(2, dtype=F64)
    for _ in range(2):
        torch.testing.assert_close(f(matrix), matrix * 2)
    torch.testing.assert_close(f(torch._neg_view(matrix)), -matrix * 2)
    assert f(matrix.to("meta")).is_meta
    with pytest.raises(HostError, match="to_dense"):
        f(matrix.to_sparse())
    with pytest.raises(HostError, match="complex"):
        f(matrix.to(torch.complex128))
    with pytest.raises(HostError, match=r"torch\.export"):
        torch.jit.trace(lambda x: f(x), matrix, check_trace=False)
    torch.testing.assert_close(torch.func.vmap(f)(matrix), matrix * 2)
    torch.testing.assert_close(f(matrix), matrix * 2)


def test_requires_grad_may_change_between_calls():
    f = fwddiff(lambda x, y: x * x * y).broadcast
    for needed in ((False, False), (True, False), (False, True), (True, True), (False, False)):
        x, y = (X.clone().requires_grad_(need) for need in needed)
        result = f(x, y)
        assert result.requires_grad == any(needed)
        if any(needed):
            result.sum().backward()
        for tensor, need, expected in ((x, needed[0], 2 * X * X), (y, needed[1], X * X)):
            assert (tensor.grad is not None) == need
            if need:
                torch.testing.assert_close(tensor.grad, expected)


def test_default_dtype_decides_integers():
    f = fwddiff(lambda n: n * 0.5).broadcast
    n = torch.arange(3)
    for dtype in (torch.float32, F64, torch.float32):
        try:
            torch.set_default_dtype(dtype)
            assert f(n).dtype == dtype
        finally:
            torch.set_default_dtype(torch.float32)


def test_signs_of_zero_and_modes_of_numbers():
    f = fwddiff(lambda x, c: math.copysign(x, c)).broadcast
    for number in (0.0, -0.0, 0.0, 1, 1.0, True):
        torch.testing.assert_close(f(X, number), torch.full_like(X, math.copysign(1, number)) * X)
    with torch.inference_mode():
        cube.broadcast(torch.ones(2, dtype=F64), 7.25)
    x = X.clone().requires_grad_()
    cube.broadcast(x, 7.25).sum().backward()
    torch.testing.assert_close(x.grad, 3 * 7.25 * X * X)


def test_hosts_do_not_mix():
    jax = pytest.importorskip("jax")
    with pytest.raises(HostError, match=r"jax.*torch|torch.*jax"):
        cube.broadcast(X, jax.numpy.ones(4))


def test_eight_levels_of_vmap():
    x = torch.rand((2,) * 8, dtype=F64)
    ours, theirs = (lambda x: cube.broadcast(x, 2.0)), (lambda x: x**3 * 2.0)
    for _ in range(8):
        ours, theirs = torch.func.vmap(ours), torch.func.vmap(theirs)
    torch.testing.assert_close(ours(x), theirs(x))
    total = lambda f: lambda x: f(x).sum()  # noqa: E731
    torch.testing.assert_close(torch.func.grad(total(ours))(x), torch.func.grad(total(theirs))(x))


def test_numpy_arrays_stay_numpy():
    assert isinstance(cube.broadcast(np.ones(2), 1.0), np.ndarray)
