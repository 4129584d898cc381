"""What HIPS autograd's users do with an operation: each transformation takes a function of arrays and gives
arrays."""

from __future__ import annotations

import autograd
import numpy as np
from autograd import numpy as anp

NAMESPACE = anp


def arrays(points):
    return [point.copy() if point.ndim else point[()] for point in points]


def weighted(f):
    def scalar(*xs):
        out = f(*xs)
        weights = np.linspace(0.5, 1.5, max(anp.size(out), 1), dtype=getattr(out, "dtype", np.float64))
        return anp.sum(out * weights.reshape(anp.shape(out)))

    return scalar


def tangents(xs):
    return [np.linspace(-1, 1, max(np.size(x), 1), dtype=x.dtype).reshape(np.shape(x)) for x in xs]


def hessian_vector(f, xs):
    total = weighted(lambda a: f(a, xs[1]))
    return autograd.hessian_vector_product(total)(xs[0], tangents(xs)[0])


def forward(f, xs):
    return autograd.make_jvp(lambda a: f(a, xs[1]))(xs[0])(tangents(xs)[0])


def hessian_by_forward(f, xs):
    gradient = autograd.grad(weighted(f), 0)
    return autograd.make_jvp(lambda a: gradient(a, xs[1]))(xs[0])(tangents(xs)[0])


def third_order(f, xs):
    first = autograd.grad(weighted(lambda a: f(a, xs[1])))
    second = autograd.grad(lambda a: anp.sum(first(a)))
    return autograd.grad(lambda a: anp.sum(second(a) ** 2))(xs[0])


def pullback(f, xs):
    pull, out = autograd.make_vjp(f, (0, 1))(*xs)
    return [out, *pull(np.ones(np.shape(out), out.dtype))]


def in_a_dict(f, xs):
    found = autograd.grad(lambda d: weighted(f)(d["a"], d["b"]))({"a": xs[0], "b": xs[1]})
    return [found["a"], found["b"]]


TRANSFORMATIONS = {
    "value": lambda f, xs: f(*xs),
    "grad": lambda f, xs: autograd.grad(weighted(f), (0, 1))(*xs),
    "grad, first argument": lambda f, xs: autograd.grad(weighted(f), 0)(*xs),
    "grad, second argument": lambda f, xs: autograd.grad(weighted(f), 1)(*xs),
    "elementwise_grad": lambda f, xs: autograd.elementwise_grad(f, (0, 1))(*xs),
    "value_and_grad": lambda f, xs: autograd.value_and_grad(weighted(f))(*xs),
    "jacobian": lambda f, xs: [autograd.jacobian(f, k)(*xs) for k in (0, 1)],
    "hessian": lambda f, xs: autograd.hessian(weighted(f), 0)(*xs),
    "hessian_vector_product": hessian_vector,
    "make_vjp": pullback,
    "make_jvp": forward,
    "make_jvp of grad": hessian_by_forward,
    "third order": third_order,
    "checkpoint": lambda f, xs: autograd.grad(weighted(autograd.checkpoint(f)), (0, 1))(*xs),
    "dict of arguments": in_a_dict,
}

# One kind of argument in ordinary runs.
DEAR = ("hessian", "hessian_vector_product", "make_jvp of grad", "third order")
