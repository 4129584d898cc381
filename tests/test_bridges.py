"""Rules that frameworks have, made rules for every host. Those of the tests are wrong by a factor of 100,
which shows that the rule is used and not the function."""

from __future__ import annotations

import numpy as np
import pytest

import fwddiff as fd

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
autograd = pytest.importorskip("autograd")
extend = pytest.importorskip("autograd.extend")
jnp = jax.numpy

X = np.array([0.3, -0.7, 1.9])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@jax.custom_vjp
def reverse_only(x, scale):
    return jnp.sin(x) * scale


reverse_only.defvjp(
    lambda x, scale: (jnp.sin(x) * scale, (x, scale)),
    lambda kept, ct: (100 * ct * jnp.cos(kept[0]) * kept[1], jnp.sum(ct * jnp.sin(kept[0]))),
)


@jax.custom_jvp
def forward_rule(x, scale):
    return jnp.sin(x) * scale


@forward_rule.defjvp
def _(primals, tangents):
    (x, scale), (dx, dscale) = primals, tangents
    return forward_rule(x, scale), 100 * jnp.cos(x) * scale * dx + jnp.sin(x) * dscale


class Sine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return torch.sin(x) * scale

    @staticmethod
    def backward(ctx, ct):
        x, scale = ctx.saved_tensors
        return 100 * ct * torch.cos(x) * scale, torch.sum(ct * torch.sin(x))


class SineOfTwoSteps(torch.autograd.Function):
    @staticmethod
    def forward(x, scale):
        return torch.sin(x) * scale

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, ct):
        x, scale = ctx.saved_tensors
        return 100 * ct * torch.cos(x) * scale, torch.sum(ct * torch.sin(x))


class SineByNumPy(SineOfTwoSteps):
    @staticmethod
    def backward(ctx, ct):
        x, scale, ct = (t.detach().numpy() for t in (*ctx.saved_tensors, ct))
        return torch.tensor(100 * ct * np.cos(x) * scale), torch.tensor(np.sum(ct * np.sin(x)))


@extend.primitive
def primitive_sine(x, scale):
    return np.sin(x) * scale


anp = autograd.numpy
extend.defvjp(
    primitive_sine,
    lambda y, x, scale: lambda ct: 100 * ct * anp.cos(x) * scale,
    lambda y, x, scale: lambda ct: anp.sum(ct * anp.sin(x)),
)

BRIDGES = {
    "custom_vjp": fd.from_jax(reverse_only),
    "custom_jvp": fd.from_jax(forward_rule),
    "compiled custom_vjp": fd.from_jax(jax.jit(reverse_only)),
    "Function": fd.from_torch(Sine),
    "Function, once differentiable": fd.from_torch(SineOfTwoSteps),
    "Function, by NumPy": fd.from_torch(SineByNumPy),
    "primitive": fd.from_autograd(primitive_sine),
}
ONCE = ("Function, once differentiable", "Function, by NumPy")


@pytest.mark.parametrize("name", BRIDGES)
@pytest.mark.every(2)
def test_both_modes_in_every_host(name):
    g = BRIDGES[name]
    slope, weights = 200 * np.cos(X), np.array([1.0, 2.0, -0.5])
    np.testing.assert_allclose(g(X, 2.0), 2 * np.sin(X))
    bars = [fd.unthunk(thunk) for thunk in fd.rrule(g, X, 2.0)[1](weights)]
    np.testing.assert_allclose(bars[0], slope * weights)
    np.testing.assert_allclose(bars[1], np.sin(X) @ weights)
    np.testing.assert_allclose(fd.frule(g, (X, 2.0), (weights, 3.0))[1], slope * weights + 3 * np.sin(X))
    np.testing.assert_allclose(fd.jacobian(g, X, 2.0), np.diag(slope))
    x = torch.tensor(X, requires_grad=True)
    scale = torch.tensor(2.0, dtype=torch.float64)
    np.testing.assert_allclose(torch.autograd.grad(g(x, scale).sum(), x)[0], slope)
    np.testing.assert_allclose(jax.grad(lambda x: g(x, 2.0).sum())(X), slope)
    np.testing.assert_allclose(autograd.grad(lambda x: anp.sum(g(x, 2.0)))(X), slope)
    np.testing.assert_allclose(fd.gradient(lambda x: np.sum(g(x, 2.0) * x), X), slope * X + 2 * np.sin(X))


@pytest.mark.parametrize("name", BRIDGES)
@pytest.mark.every(2)
def test_second_derivatives_are_those_of_the_rule_or_refused(name):
    g = BRIDGES[name]

    def total(x):
        return np.sum(g(x, 2.0))

    if name in ONCE:
        for differentiate in (fd.hessian, autograd.hessian):
            with pytest.raises(fd.DerivativeError, match="once_differentiable"):
                differentiate(total)(X)
        return
    # The derivative of 100 cos(x), except that a custom_jvp is applied to its own value again.
    np.testing.assert_allclose(fd.hessian(total, X), np.diag(-200 * np.sin(X)))
    x = torch.tensor(X, requires_grad=True)
    if name not in ("Function",):
        (bar,) = torch.autograd.grad(g(x, 2.0).sum(), x, create_graph=True)
        np.testing.assert_allclose(torch.autograd.grad(bar.sum(), x)[0], -200 * np.sin(X))


def test_part_of_a_backward_that_is_not_recorded_is_found():
    """PyTorch itself gives the derivative of the other part alone."""

    def f(x):
        return torch.sum(SineOfTwoSteps.apply(x, torch.ones(())) + x**3)

    g = fd.differentiate_with(f, "torch")
    np.testing.assert_allclose(fd.gradient(g, X), 100 * np.cos(X) + 3 * X**2)
    np.testing.assert_allclose(fd.pushforward(g, X, X), (100 * np.cos(X) + 3 * X**2) @ X)
    with pytest.raises(fd.DerivativeError, match="not made of operations"):
        fd.hessian(g, X)


def test_a_rule_that_is_not_linear_has_no_forward_mode():
    @jax.custom_vjp
    def clipped(x):
        return x

    clipped.defvjp(lambda x: (x, None), lambda _, ct: (jnp.clip(ct, -1.0, 1.0),))
    g = fd.from_jax(clipped)
    assert fd.unthunk(fd.rrule(g, 2.0)[1](5.0)[0]) == 1.0
    with pytest.raises(fd.DerivativeError, match="not linear"):
        fd.frule(g, (2.0,), (5.0,))


def test_arguments_without_derivative():
    @jax.custom_vjp
    def power(x, n):
        return x**n

    power = jax.custom_vjp(power.__wrapped__, nondiff_argnums=(1,))
    power.defvjp(lambda x, n: (x**n, x), lambda n, x, ct: (100 * ct * n * x ** (n - 1),))
    g = fd.from_jax(power)
    np.testing.assert_allclose(fd.derivative(g, 2.0, 3), 1200.0)
    assert [fd.unthunk(t) for t in fd.rrule(g, 2.0, 3.0)[1](1.0)] == [1200.0, None]


@pytest.mark.parametrize(
    ("bridge", "wrong", "wanted"),
    [
        (fd.from_jax, np.sin, "jax.custom_jvp or jax.custom_vjp"),
        (fd.from_jax, jnp.sin, "jax.custom_jvp or jax.custom_vjp"),
        (fd.from_torch, torch.sin, "subclass of torch.autograd.Function"),
        (fd.from_torch, int, "subclass of torch.autograd.Function"),
        (fd.from_autograd, np.sin, "primitive of autograd"),
        (fd.from_autograd, [], "primitive of autograd"),
    ],
)
def test_what_is_no_rule_is_told_what_it_takes(bridge, wrong, wanted):
    with pytest.raises(fd.ArgumentError, match=wanted):
        bridge(wrong)
