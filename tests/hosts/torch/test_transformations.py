"""Every transformation of PyTorch on our operation and on the native formula: the same numbers."""

import math

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402
from torch.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap  # noqa: E402

from fwddiff import fwddiff  # noqa: E402
from fwddiff.hosts import torch as host  # noqa: E402
from support.symbolic_rule import symbolic_rule  # noqa: E402

F64 = torch.float64
functional = torch.autograd.functional


def formula(x, y):
    return math.sin(x) * x * y / 2 + math.exp(x * y)


def native(x, y):
    return torch.sin(x) * x * y / 2 + torch.exp(x * y)


def symbolic(mode):
    rule = symbolic_rule("x y", "sin(x)*x*y/2 + exp(x*y)", mode=mode)
    return lambda x, y: host.apply(rule, [x, y])[0]


def one_of_two(mode):
    """The second of two outputs: the first one's cotangent stays undefined. An integer output is between
    them."""
    rule = symbolic_rule("x y n:int", "cos(x*y)", "n**2", "sin(x)*x*y/2 + exp(x*y)", mode=mode)
    return lambda x, y: host.apply(rule, [x, y, 3])[2]


OPERATIONS = {
    "numba": fwddiff(formula).broadcast,
    "numba-store": fwddiff(formula, mode="store").broadcast,
    "symbolic": symbolic("recompute"),
    "symbolic-store": symbolic("store"),
    "second-output": one_of_two("auto"),
    "second-output-store": one_of_two("store"),
}


def total(f):
    return lambda *tensors: f(*tensors).sum()


def square_total(f):
    return lambda *tensors: f(*tensors).pow(2).sum()


def backward(f, x, y):
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    square_total(f)(x, y).backward()
    return x.grad, y.grad


def recorded(f, x, y):
    """Autograd's graph, differentiated three times."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    result = total(f)(x, y)
    for _ in range(3):
        first, second = torch.autograd.grad(result, (x, y), create_graph=True)
        result = (first.sum() * 2 + second.sum()) ** 2
    return result.detach()


def dual(f, x, y):
    with forward_ad.dual_level():
        value, tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x, y[0] * 2 + x), y))
        return value, tangent


def dual_of_gradient(f, x, y):
    x = x.clone().requires_grad_()
    with forward_ad.dual_level():
        seeded = forward_ad.make_dual(x, torch.cos(x))
        (gradient,) = torch.autograd.grad(square_total(f)(seeded, y), seeded, create_graph=True)
        return [part.detach() for part in forward_ad.unpack_dual(gradient)]


def batched_gradients(f, x, y):
    x = x.clone().requires_grad_()
    result = f(x, y)
    cotangents = torch.stack([torch.ones_like(result), result.detach()])
    return torch.autograd.grad(result, x, cotangents, is_grads_batched=True)


def batched_graph(f, x, y):
    """The gradient of a vectorised Jacobian: PyTorch's legacy batches with `create_graph`."""
    x = x.clone().requires_grad_()
    rows = functional.jacobian(lambda x: f(x, y), x, vectorize=True, create_graph=True)
    return torch.autograd.grad(rows.pow(2).sum() + x.sum(), x)


TRANSFORMATIONS = {
    "backward": backward,
    "autograd.grad, third order": recorded,
    "forward_ad": dual,
    "forward_ad over backward": dual_of_gradient,
    "is_grads_batched": batched_gradients,
    "functional.jacobian": lambda f, x, y: functional.jacobian(f, (x, y)),
    "functional.jacobian, vectorised": lambda f, x, y: functional.jacobian(f, (x, y), vectorize=True),
    "functional.jacobian, vectorised forward": lambda f, x, y: functional.jacobian(
        f, (x, y), vectorize=True, strategy="forward-mode"
    ),
    "gradient of a vectorised jacobian": batched_graph,
    "functional.hessian, vectorised": lambda f, x, y: functional.hessian(total(f), (x, y), vectorize=True),
    "functional.hessian, forward outside": lambda f, x, y: functional.hessian(
        total(f), (x, y), vectorize=True, outer_jacobian_strategy="forward-mode"
    ),
    "func.grad": lambda f, x, y: grad(square_total(f), (0, 1))(x, y),
    "func.grad, third order": lambda f, x, y: grad(grad(grad(total(f))))(x[0], y[0, 0]),
    "func.grad of a mixture": lambda f, x, y: grad(lambda y: grad(total(f))(x, y).pow(2).sum())(y),
    "func.vjp": lambda f, x, y: (lambda value, pull: (value, pull(torch.cos(value))))(*vjp(f, x, y)),
    "func.jvp": lambda f, x, y: jvp(f, (x, y), (torch.cos(x), torch.sin(y))),
    "func.jacrev": lambda f, x, y: jacrev(f, (0, 1))(x, y),
    "func.jacfwd": lambda f, x, y: jacfwd(f, (0, 1))(x, y),
    "func.hessian": lambda f, x, y: hessian(total(f), (0, 1))(x, y),
    "func.jacrev of jacrev": lambda f, x, y: jacrev(jacrev(f, 1))(x, y),
    "func.jacfwd of jacfwd": lambda f, x, y: jacfwd(jacfwd(f, 1))(x, y),
    "func.jacrev of jacfwd": lambda f, x, y: jacrev(jacfwd(f, 1))(x, y),
    "func.linearize": lambda f, x, y: linearize(f, x, y)[1](torch.cos(x), torch.sin(y)),
    "func.vmap": lambda f, x, y: vmap(f, (0, None))(x, y),
    "func.vmap, other axis": lambda f, x, y: vmap(f, (None, 1), out_dims=1)(x, torch.stack([y, y * 2], 1)),
    "func.vmap of vmap": lambda f, x, y: vmap(vmap(f, (None, 0)), (0, None))(x, y),
    "func.vmap of grad": lambda f, x, y: vmap(grad(total(f), (0, 1)), (0, None))(x, y),
    "func.grad of vmap": lambda f, x, y: grad(total(vmap(f, (0, None))), (0, 1))(x, y),
    "func.vmap of hessian": lambda f, x, y: vmap(hessian(total(f), (0, 1)), (0, None))(x, y),
    "func.vmap of jvp": lambda f, x, y: vmap(lambda x, t: jvp(f, (x, y), (t, y))[1])(x, torch.cos(x)),
    "func.jvp of vmap of grad": lambda f, x, y: jvp(vmap(grad(total(f)), (0, None)), (x, y), (x, y)),
    "backward through vmap": lambda f, x, y: backward(vmap(f, (0, None)), x, y),
}


# Kernels cost a compilation each: the engine's stored partials meet first order only, symbolic ones
# everything.
FIRST_ORDER = ("backward", "forward_ad", "is_grads_batched", "functional.jacobian", "func.vmap of grad")
CELLS = [(t, o) for t in TRANSFORMATIONS for o in OPERATIONS if o != "numba-store" or t in FIRST_ORDER]


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(7)
    x = torch.rand(3, generator=generator, dtype=F64)
    return x, torch.rand(4, 1, generator=generator, dtype=F64)


@pytest.mark.filterwarnings(
    "ignore:Attempted to insert a get_attr Node"
)  # linearize, with native operations too
@pytest.mark.parametrize(("transformation", "operation"), CELLS)
@pytest.mark.every(2)
def test_transformation_agrees_with_native(transformation, operation, tensors):
    transform = TRANSFORMATIONS[transformation]
    torch.testing.assert_close(transform(OPERATIONS[operation], *tensors), transform(native, *tensors))


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["numba", "symbolic-store", "second-output"])
def test_gradcheck(operation, tensors):
    x, y = (tensor.requires_grad_() for tensor in tensors)
    f = OPERATIONS[operation]
    assert torch.autograd.gradcheck(
        f, (x, y), check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert torch.autograd.gradgradcheck(f, (x, y), check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize("mode", ["auto", "recompute"])  # "auto" stores the partials of a sum
def test_sum(mode, tensors):
    f = fwddiff(formula, mode=mode).sum
    names = ("backward", "forward_ad", "func.vmap of grad", "func.hessian")
    for name in names if mode == "auto" else names[:1]:
        transform = TRANSFORMATIONS[name]
        torch.testing.assert_close(transform(f, *tensors), transform(total(native), *tensors))


def test_batch_axes_of_the_kernel_stay_apart_from_its_sum(tensors):
    x, y = tensors
    ours, theirs = vmap(fwddiff(formula).sum, (0, None)), vmap(total(native), (0, None))
    for transform in (lambda f: f(x, y), lambda f: jacrev(f, (0, 1))(x, y)):
        torch.testing.assert_close(transform(ours), transform(theirs))


def norm(v):
    return math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])


@pytest.mark.slow
def test_array_argument_of_a_whole_call():
    g = fwddiff(norm)
    x = torch.tensor([1.0, 2.0, 2.0], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(g, (x,), check_forward_ad=True, check_batched_grad=True)
    rows = torch.rand(4, 3, dtype=F64) + 0.1
    native_norm = torch.linalg.vector_norm
    torch.testing.assert_close(vmap(g)(rows), vmap(native_norm)(rows))
    torch.testing.assert_close(vmap(hessian(g))(rows), vmap(hessian(native_norm))(rows))
