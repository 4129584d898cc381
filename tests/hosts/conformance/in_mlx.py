"""What MLX's users do with an operation: each transformation takes a function of arrays and gives arrays."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np

NAMESPACE = mx
# MLX's own sin, cos, exp and log of float64 have the digits of float32.
TOLERANCE = {"float64": 1e-5, "float32": 2e-4}


def arrays(points):
    return [mx.array(point, dtype=getattr(mx, point.dtype.name)) for point in points]


def evenly(low, high, x):
    """Numbers of the shape and dtype of `x`."""
    return mx.array(np.linspace(low, high, x.size).reshape(x.shape), dtype=x.dtype)


def weighted(f):
    def scalar(*xs):
        out = f(*xs)
        return (out * evenly(0.5, 1.5, out)).sum()

    return scalar


def tangents(xs):
    return [evenly(-1.0, 1.0, x) for x in xs]


def gradients(f, xs):
    return mx.grad(weighted(f), (0, 1))(*xs)


def gradient_of_dict(f, xs):
    found = mx.grad(lambda d: weighted(f)(d["a"], d["b"]))({"a": xs[0], "b": xs[1]})
    return [found["a"], found["b"]]


def directional(f, xs):
    """The gradients' product with the tangents: a function to differentiate again."""
    return lambda *ys: sum((g * t).sum() for g, t in zip(gradients(f, ys), tangents(xs), strict=True))


def third_order(f, xs):
    first = directional(f, xs)
    second = lambda *ys: sum((g**2).sum() for g in mx.grad(first, (0, 1))(*ys))  # noqa: E731
    return mx.grad(second, (0, 1))(*xs)


def reverse_over_forward(f, xs):
    return mx.grad(lambda *ys: mx.jvp(weighted(f), list(ys), tangents(xs))[1][0], (0, 1))(*xs)


def forward_over_forward(f, xs):
    return mx.jvp(lambda *ys: mx.jvp(f, list(ys), tangents(xs))[1][0], xs, tangents(xs))


def jacobian(f, xs):
    out = f(*xs)
    rows = np.eye(out.size)
    return [mx.vjp(f, xs, [mx.array(row.reshape(out.shape), dtype=out.dtype)])[1] for row in rows]


def inside_custom_function(f, xs):
    doubled = mx.custom_function(lambda *ys: f(*ys))
    doubled.vjp(lambda ys, cotangent, _: tuple(2 * g for g in mx.vjp(f, list(ys), [cotangent])[1]))
    return mx.grad(weighted(doubled), (0, 1))(*xs)


def stopped(f, xs):
    return mx.grad(lambda *ys: (weighted(f)(mx.stop_gradient(ys[0]), ys[1]) * ys[0]).sum(), (0, 1))(*xs)


def not_contiguous(f, xs):
    return gradients(f, [mx.stack([x, x], -1)[..., 0] for x in xs])


def of_module(f, xs):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = xs[0]

        def __call__(self, b):
            return f(self.a, b)

    model = Model()
    value, found = nn.value_and_grad(model, lambda b: weighted(lambda: model(b))())(xs[1])
    return [value, found["a"]]


TRANSFORMATIONS = {
    "value": lambda f, xs: f(*xs),
    "value of unevaluated arrays": lambda f, xs: f(xs[0] * 2 + 1, mx.abs(xs[1])),
    "grad": gradients,
    "grad, first argument": lambda f, xs: mx.grad(weighted(f), 0)(*xs),
    "grad, second argument": lambda f, xs: mx.grad(weighted(f), 1)(*xs),
    "grad, other argument captured": lambda f, xs: mx.grad(lambda a: weighted(f)(a, xs[1]))(xs[0]),
    "grad of a dict": gradient_of_dict,
    "value_and_grad": lambda f, xs: mx.value_and_grad(weighted(f), (0, 1))(*xs),
    "vjp": lambda f, xs: mx.vjp(f, xs, [evenly(0.5, 1.5, f(*xs))]),
    "jvp": lambda f, xs: mx.jvp(f, xs, tangents(xs)),
    "jvp, first argument": lambda f, xs: mx.jvp(lambda a: f(a, xs[1]), xs[:1], tangents(xs)[:1]),
    "jacobian, row by row": jacobian,
    "reverse over reverse": lambda f, xs: mx.grad(directional(f, xs), (0, 1))(*xs),
    "forward over reverse": lambda f, xs: mx.jvp(mx.grad(weighted(f), (0, 1)), xs, tangents(xs)),
    "reverse over forward": reverse_over_forward,
    "forward over forward": forward_over_forward,
    "third order": third_order,
    "checkpoint": lambda f, xs: gradients(mx.checkpoint(f), xs),
    "custom_function around it": inside_custom_function,
    "stop_gradient": stopped,
    "arguments not contiguous": not_contiguous,
    "nn.value_and_grad": of_module,
    "vmap": lambda f, xs: mx.vmap(f)(*[mx.stack([x, x * 1.1]) for x in xs]),
    "compile": lambda f, xs: mx.compile(f)(*xs),
    "compile of grad": lambda f, xs: mx.compile(mx.grad(weighted(f), (0, 1)))(*xs),
}

# One kind of argument in ordinary runs.
DEAR = ("third order", "forward over forward", "reverse over forward")

# What MLX cannot do with its own operations: it has no forward mode of what indexing's gradient consists of.
NOT_NATIVE = (("forward over reverse", "array argument"),)
