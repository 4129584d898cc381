"""What PyTorch's users do with an operation: each transformation takes a function of tensors and gives
tensors."""

from __future__ import annotations

import functools

import torch
from torch.autograd import forward_ad, functional
from torch.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap
from torch.utils.checkpoint import checkpoint

from hosts.conformance import torch_graphs as graphs
from hosts.conformance.torch_tools import arrays as arrays
from hosts.conformance.torch_tools import batches, gradients, leaves, tangents, weighted

NAMESPACE = torch


def backward(f, xs):
    xs = leaves(xs)
    weighted(f)(*xs).backward()
    return [x.grad for x in xs]


def no_grad(f, xs):
    with torch.no_grad():
        out = f(*leaves(xs))
    assert not out.requires_grad
    return out


def inference_mode(f, xs):
    with torch.inference_mode():
        return f(*xs).clone()


def gradient_of_one(f, xs, k):
    xs = [x.detach().clone() for x in xs]
    xs[k].requires_grad_()
    return torch.autograd.grad(weighted(f)(*xs), xs[k])


def gradient_asked_of_one(f, xs):
    xs = leaves(xs)
    return torch.autograd.grad(weighted(f)(*xs), xs[1])


def double_backward(f, xs):
    xs = leaves(xs)
    first = torch.autograd.grad(weighted(f)(*xs), xs, create_graph=True)
    return torch.autograd.grad(sum((g * t).sum() for g, t in zip(first, tangents(xs), strict=True)), xs)


def third_order(f, xs):
    total = weighted(lambda a: f(a, xs[1]))
    first = lambda a: grad(total)(a).sum()  # noqa: E731
    return grad(lambda a: grad(first)(a).square().sum())(xs[0])


def forward_mode(f, xs):
    with forward_ad.dual_level():
        out = f(*[forward_ad.make_dual(x, t) for x, t in zip(xs, tangents(xs), strict=True)])
        return list(forward_ad.unpack_dual(out))


def forward_over_reverse(f, xs):
    return jvp(grad(weighted(f), (0, 1)), tuple(xs), tangents(xs))


def reverse_over_forward(f, xs):
    return grad(lambda *ys: jvp(weighted(f), ys, tangents(xs))[1], (0, 1))(*xs)


def pullback(f, xs):
    out, pull = vjp(f, *xs)
    return [out, pull(torch.ones_like(out))]


def batched(f, xs):
    return vmap(f)(*batches(xs))


def batched_in_one(f, xs):
    return vmap(f, in_dims=(None, 0))(xs[0], batches(xs)[1])


def batched_last_axis(f, xs):
    a, b = batches(xs)
    return vmap(f, in_dims=(-1, 0))(a.movedim(0, -1), b)


def is_grads_batched(f, xs):
    xs = leaves(xs)
    out = f(*xs)
    return torch.autograd.grad(
        out, xs, torch.stack([torch.ones_like(out), 2 * torch.ones_like(out)]), is_grads_batched=True
    )


def linearized(f, xs):
    out, push = linearize(f, *xs)
    return [out, push(*tangents(xs))]


def checkpointed(f, xs):
    return gradients(lambda *ys: checkpoint(f, *ys, use_reentrant=False), xs)


def not_contiguous(f, xs):
    return gradients(f, [torch.stack([x, x], -1)[..., 0] for x in xs])


def expanded(f, xs):
    """A cotangent with strides of zero, as after `.sum()`."""
    xs = leaves(xs)
    return torch.autograd.grad(f(*xs).sum(), xs)


def hooked(f, xs):
    xs = leaves(xs)
    seen = []
    out = f(*xs)
    out.register_hook(lambda g: seen.append(g) or 2 * g)
    found = torch.autograd.grad(weighted(lambda: out)(), xs)
    return [*seen, *found]


TRANSFORMATIONS = {
    "value": lambda f, xs: f(*xs),
    "no_grad": no_grad,
    "inference_mode": inference_mode,
    "Tensor.backward": backward,
    "autograd.grad": gradients,
    "autograd.grad, first argument requires it": functools.partial(gradient_of_one, k=0),
    "autograd.grad, second argument requires it": functools.partial(gradient_of_one, k=1),
    "autograd.grad of one of two": gradient_asked_of_one,
    "double backward": double_backward,
    "third order": third_order,
    "functional.jacobian": lambda f, xs: functional.jacobian(f, tuple(xs)),
    "functional.jacobian, vectorize": lambda f, xs: functional.jacobian(f, tuple(xs), vectorize=True),
    "functional.jacobian, forward mode": lambda f, xs: functional.jacobian(
        f, tuple(xs), vectorize=True, strategy="forward-mode"
    ),
    "functional.hessian": lambda f, xs: functional.hessian(weighted(f), tuple(xs)),
    "functional.hvp": lambda f, xs: functional.hvp(weighted(f), tuple(xs), tangents(xs)),
    "forward_ad": forward_mode,
    "func.grad": lambda f, xs: grad(weighted(f), (0, 1))(*xs),
    "func.vjp": pullback,
    "func.jvp": lambda f, xs: jvp(f, tuple(xs), tangents(xs)),
    "func.jacrev": lambda f, xs: jacrev(f, (0, 1))(*xs),
    "func.jacfwd": lambda f, xs: jacfwd(f, (0, 1))(*xs),
    "func.hessian": lambda f, xs: hessian(weighted(f), (0, 1))(*xs),
    "func.linearize": linearized,
    "jvp of grad": forward_over_reverse,
    "grad of jvp": reverse_over_forward,
    "vmap": batched,
    "vmap, one argument": batched_in_one,
    "vmap, last axis": batched_last_axis,
    "vmap of grad": lambda f, xs: vmap(grad(weighted(f), (0, 1)))(*batches(xs)),
    "grad of vmap": lambda f, xs: grad(weighted(vmap(f)), (0, 1))(*batches(xs)),
    "vmap of jvp": lambda f, xs: vmap(lambda *ys: jvp(f, ys, tangents(ys))[1])(*batches(xs)),
    "vmap of vmap": lambda f, xs: vmap(vmap(f))(*batches(batches(xs))),
    "is_grads_batched": is_grads_batched,
    "checkpoint": checkpointed,
    "arguments not contiguous": not_contiguous,
    "expanded cotangent": expanded,
    "hooks": hooked,
    "make_fx": graphs.traced,
    "compile, eager": functools.partial(graphs.compiled, backend="eager"),
    "compile, aot_eager": functools.partial(graphs.compiled, backend="aot_eager"),
    "compile, inductor": functools.partial(graphs.compiled, backend="inductor"),
    "compile, dynamic shapes": graphs.compiled_for_two_sizes,
    "func.grad inside compile": functools.partial(graphs.compiled_gradient, backend="aot_eager"),
    "func.grad inside compile, inductor": functools.partial(graphs.compiled_gradient, backend="inductor"),
    "func.jvp inside compile": graphs.compiled_forward,
    "export, save, load": functools.partial(graphs.exported, strict=False),
    "export, strict": functools.partial(graphs.exported, strict=True),
    "opcheck": graphs.opchecked,
    "gradcheck": functools.partial(
        graphs.gradchecked, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    ),
    "gradcheck, fast": functools.partial(
        graphs.gradchecked, fast_mode=True, check_forward_ad=True, check_batched_grad=True
    ),
    "gradgradcheck": functools.partial(
        graphs.gradchecked,
        check=torch.autograd.gradgradcheck,
        check_fwd_over_rev=True,
        check_rev_over_rev=True,
    ),
}

# One kind of argument in ordinary runs.
DEAR = (
    "double backward",
    "jvp of grad",
    "grad of jvp",
    "third order",
    "functional.hessian",
    "functional.hvp",
    "func.hessian",
    "vmap of vmap",
    *[name for name in TRANSFORMATIONS if "gradcheck" in name],
    *[name for name in TRANSFORMATIONS if name.startswith(("make_fx", "compile", "export", "opcheck"))],
    *[name for name in TRANSFORMATIONS if "inside compile" in name],
)
# Finite differences need the digits.
FLOAT64_ONLY = ("gradcheck", "gradcheck, fast", "gradgradcheck")
