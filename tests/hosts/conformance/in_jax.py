"""What JAX's users do with an operation: each transformation takes a function of arrays and gives arrays."""

from __future__ import annotations

import jax
from jax import grad, jit, vmap
from jax import numpy as jnp

NAMESPACE = jnp


def arrays(points):
    return [jnp.asarray(point) for point in points]


def weighted(f):
    def scalar(*xs):
        out = f(*xs)
        return (out * jnp.linspace(0.5, 1.5, max(out.size, 1), dtype=out.dtype).reshape(out.shape)).sum()

    return scalar


def tangents(xs):
    return [jnp.linspace(-1, 1, max(x.size, 1), dtype=x.dtype).reshape(x.shape) for x in xs]


def batches(xs):
    return [jnp.stack([x, x * 1.1, x * 0.9]) for x in xs]


def pullback(f, xs):
    out, pull = jax.vjp(f, *xs)
    return [out, pull(jnp.ones_like(out))]


def linearized(f, xs):
    out, push = jax.linearize(f, *xs)
    return [out, push(*tangents(xs))]


def transposed(f, xs):
    out, push = jax.linearize(f, *xs)
    return jax.linear_transpose(push, *xs)(jnp.ones_like(out))


def third_order(f, xs):
    total = weighted(lambda a: f(a, xs[1]))
    return grad(lambda a: (grad(lambda a: grad(total)(a).sum())(a) ** 2).sum())(xs[0])


def scanned(f, xs):
    def step(carry, scale):
        return carry + f(xs[0] * scale, xs[1]).sum(), f(xs[0], xs[1] * scale)

    return jax.lax.scan(step, jnp.zeros((), xs[0].dtype), jnp.array([0.5, 1.0, 1.5], xs[0].dtype))


def gradient_of_scan(f, xs):
    def total(*ys):
        return jax.lax.scan(
            lambda c, _: (c + weighted(f)(*ys), None), jnp.zeros((), ys[0].dtype), None, length=3
        )[0]

    return grad(total, (0, 1))(*xs)


def in_while_loop(f, xs):
    start = jnp.int32(0), jnp.zeros((), xs[0].dtype)
    return jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] + f(*xs).sum()), start)[1]


def forward_through_while_loop(f, xs):
    return jax.jvp(lambda *ys: in_while_loop(f, ys), xs, tangents(xs))


def in_cond(f, xs):
    def chosen(*ys):
        return jax.lax.cond(ys[0].sum() > 0, weighted(f), lambda a, b: a.sum() * 0, *ys)

    return jit(jax.value_and_grad(chosen, (0, 1)))(*xs)


def inside_custom_vjp(f, xs):
    @jax.custom_vjp
    def doubled(*ys):
        return f(*ys)

    doubled.defvjp(lambda *ys: (f(*ys), ys), lambda ys, ct: tuple(2 * g for g in jax.vjp(f, *ys)[1](ct)))
    return grad(weighted(doubled), (0, 1))(*xs)


def shapes(f, xs):
    found = jax.eval_shape(f, *[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in xs])
    assert found.dtype == xs[0].dtype
    return jnp.zeros(found.shape, found.dtype)


def donated(f, xs):
    return jit(lambda a, b: (f(a, b), a + 1), donate_argnums=0)(jnp.array(xs[0], copy=True), xs[1])


def compiled_ahead(f, xs):
    return jit(f).lower(*xs).compile()(*xs)


def exported(f, xs):
    from jax import export

    checks = [export.DisabledSafetyCheck.custom_call("fwddiff_kernel")]
    again = export.export(jit(f), disabled_checks=checks)(
        *[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in xs]
    )
    return again.call(*xs)


def hessian_vector(f, xs):
    return jax.jvp(grad(weighted(f), (0, 1)), xs, tangents(xs))


TRANSFORMATIONS = {
    "value": lambda f, xs: f(*xs),
    "jit": lambda f, xs: jit(f)(*xs),
    "lower, compile": compiled_ahead,
    "eval_shape": shapes,
    "donated buffers": donated,
    "export": exported,
    "grad": lambda f, xs: grad(weighted(f), (0, 1))(*xs),
    "grad, first argument": lambda f, xs: grad(weighted(f), 0)(*xs),
    "grad, second argument": lambda f, xs: grad(weighted(f), 1)(*xs),
    "value_and_grad": lambda f, xs: jax.value_and_grad(weighted(f), (0, 1))(*xs),
    "jit of grad": lambda f, xs: jit(grad(weighted(f), (0, 1)))(*xs),
    "grad of jit": lambda f, xs: grad(weighted(jit(f)), (0, 1))(*xs),
    "vjp": pullback,
    "jvp": lambda f, xs: jax.jvp(f, xs, tangents(xs)),
    "linearize": linearized,
    "linear_transpose": transposed,
    "jacfwd": lambda f, xs: jax.jacfwd(f, (0, 1))(*xs),
    "jacrev": lambda f, xs: jax.jacrev(f, (0, 1))(*xs),
    "hessian": lambda f, xs: jax.hessian(weighted(f), (0, 1))(*xs),
    "Hessian-vector product": hessian_vector,
    "reverse over reverse": lambda f, xs: jax.jacrev(jax.jacrev(weighted(f)))(*xs),
    "forward over forward": lambda f, xs: jax.jacfwd(jax.jacfwd(f))(*xs),
    "grad of jvp": lambda f, xs: grad(lambda *ys: jax.jvp(weighted(f), ys, tuple(tangents(xs)))[1], (0, 1))(
        *xs
    ),
    "third order": third_order,
    "vmap": lambda f, xs: vmap(f)(*batches(xs)),
    "vmap, one argument": lambda f, xs: vmap(f, (None, 0))(xs[0], batches(xs)[1]),
    "vmap, last axis": lambda f, xs: vmap(f, (-1, 0))(jnp.moveaxis(batches(xs)[0], 0, -1), batches(xs)[1]),
    "vmap of grad": lambda f, xs: vmap(grad(weighted(f), (0, 1)))(*batches(xs)),
    "grad of vmap": lambda f, xs: grad(weighted(vmap(f)), (0, 1))(*batches(xs)),
    "vmap of jvp": lambda f, xs: vmap(lambda *ys: jax.jvp(f, ys, tuple(tangents(ys)))[1])(*batches(xs)),
    "vmap of vmap": lambda f, xs: vmap(vmap(f))(*batches(batches(xs))),
    "jit of vmap of grad": lambda f, xs: jit(vmap(grad(weighted(f), (0, 1))))(*batches(xs)),
    "scan": scanned,
    "grad of scan": gradient_of_scan,
    "while_loop": in_while_loop,
    "jvp of while_loop": forward_through_while_loop,
    "cond": in_cond,
    "checkpoint": lambda f, xs: grad(weighted(jax.checkpoint(f)), (0, 1))(*xs),
    "custom_vjp around it": inside_custom_vjp,
}

FEW = 1  # kind of argument: XLA compiles each operation of the native functions
# One of two kinds in ordinary runs.
DEAR = (
    "Hessian-vector product",
    "grad of jvp",
    "hessian",
    "reverse over reverse",
    "forward over forward",
    "third order",
    "vmap of vmap",
    "jit of vmap of grad",
    "export",
    "linear_transpose",
)
