"""`fd.checkpoint`: the derivatives of the function itself, of which the host keeps the inputs alone."""

import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

X, A, STEP = np.array([0.3, 0.4]), 1.2, 1e-4


def body(library):
    """A function of nested arguments and results written for a library; `calls` counts."""

    def f(p, x):
        f.calls += 1
        for _ in range(3):
            x = library.sin(p["a"] * x) + x
        return {"y": x, "total": library.sum(x), "name": None}

    f.calls = 0
    return f


def expected():
    total = lambda a: body(np)({"a": a}, X)["total"]  # noqa: E731
    back, here, ahead = total(A - STEP), total(A), total(A + STEP)
    return (ahead - back) / (2 * STEP), (ahead - 2 * here + back) / STEP**2


def check(first, second):
    detached = [np.asarray(x.detach() if hasattr(x, "detach") else x) for x in (first, second)]
    np.testing.assert_allclose(detached, expected(), rtol=1e-6)


def test_torch():
    import torch

    f = body(torch)
    a = torch.tensor(A, dtype=torch.float64, requires_grad=True)
    result = fd.checkpoint(f)({"a": a, "name": "sine"}, torch.tensor(X))
    assert f.calls == 1
    (first,) = torch.autograd.grad(result["total"], a, create_graph=True)
    assert f.calls == 2
    check(first, torch.autograd.grad(first, a)[0])
    assert result["name"] is None
    captured = fd.checkpoint(lambda x: torch.sin(a * x).sum())(torch.tensor(X))
    plain = torch.sin(a * torch.tensor(X)).sum()
    assert torch.equal(torch.autograd.grad(captured, a)[0], torch.autograd.grad(plain, a)[0])


def test_jax():
    import jax
    import jax.numpy as jnp

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        f = fd.checkpoint(body(jnp))
        total = lambda a: f({"a": a, "name": "sine"}, X)["total"]  # noqa: E731
        check(jax.jit(jax.grad(total))(A), jax.grad(jax.grad(total))(A))
        assert "prevent_cse" in str(jax.make_jaxpr(jax.grad(total))(A))  # of the primitive `checkpoint`
    finally:
        jax.config.update("jax_enable_x64", before)


def test_autograd():
    import autograd
    import autograd.numpy as anp

    f = body(anp)
    total = lambda a: fd.checkpoint(f)({"a": a, "name": "sine"}, X)["total"]  # noqa: E731
    first = autograd.grad(total)(A)
    assert f.calls == 2
    check(first, autograd.grad(autograd.grad(total))(A))
    with pytest.raises(fd.CaptureError, match="Pass the array as an argument"):
        autograd.grad(lambda a: fd.checkpoint(lambda x: a * x)(2.0 * a))(1.0)


def test_tensorflow():
    import tensorflow as tf

    f = body(SimpleNamespace(sin=tf.sin, sum=tf.reduce_sum))
    a = tf.Variable(A, dtype=tf.float64)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            total = fd.checkpoint(f)({"a": a, "name": "sine"}, tf.constant(X))["total"]
        first = inner.gradient(total, a)
    check(first, outer.gradient(first, a))
    constant = tf.constant(2.0)
    with pytest.raises(fd.CaptureError, match="Pass the array as an argument"):
        fd.checkpoint(lambda x: constant * x)(a)


def test_pytensor():
    import pytensor
    import pytensor.tensor as pt

    a = pt.dscalar("a")
    total = fd.checkpoint(lambda a: pt.sum(pt.sin(a * X)))(a)
    first = pytensor.grad(total, a)
    run = pytensor.function([a], [first, pytensor.grad(first, a)], mode="FAST_COMPILE")
    found = run(A)
    np.testing.assert_allclose(found, [X @ np.cos(A * X), -(X**2) @ np.sin(A * X)], rtol=1e-12)


def test_mlx():
    import mlx.core as mx

    f = fd.checkpoint(lambda x: mx.sin(x) * x)
    assert float(mx.grad(f)(mx.array(2.0))) == pytest.approx(math.sin(2.0) + 2 * math.cos(2.0), rel=1e-5)


def test_numbers_operators_and_kernels():
    f = lambda a: math.sin(a) * a  # noqa: E731
    slope = math.sin(2.0) + 2 * math.cos(2.0)
    c = fd.checkpoint(f)
    assert c(2.0) == f(2.0)
    assert fd.derivative(c, 2.0) == pytest.approx(slope)
    g = fwddiff(lambda a: 3 * c(a), engine="numba")
    assert fd.derivative(g, 2.0) == pytest.approx(3 * slope)
    np.testing.assert_allclose(fd.gradient(c.sum, np.array([2.0])), [slope])
    assert c.broadcast.wrapped.options["mode"] == "recompute"


def test_wrapped_functions_recompute():
    wrapped = fd.checkpoint(fwddiff(abs, wrt=0))
    assert wrapped.options["mode"] == "recompute"
    assert wrapped.options["wrt"] == 0


def test_copies_and_mistakes():
    assert pickle.loads(pickle.dumps(fd.checkpoint(math.sin)))(0.0) == 0.0
    with pytest.raises(fd.ArgumentError, match="a function"):
        fd.checkpoint(3)
