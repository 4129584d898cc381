"""Functions written for another framework, in TensorFlow: eager, in a graph, twice."""

from __future__ import annotations

import numpy as np
import pytest

import fwddiff as fd

tf = pytest.importorskip("tensorflow")
anp = pytest.importorskip("autograd.numpy")

X = np.array([0.3, -0.7, 1.9])
G = fd.differentiate_with(lambda x, y: anp.sum(anp.sin(x) * y**3), "autograd", out_shape=lambda x, y: 0.0)


def second(x, y):
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = G(x, y)
        slope = inner.gradient(value, x)
    return value, slope, outer.jacobian(slope, x, experimental_use_pfor=False)


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_first_and_second_order(run):
    value, slope, hessian = run(second)(tf.constant(X), tf.constant(1.5, tf.float64))
    np.testing.assert_allclose(value, np.sum(np.sin(X)) * 1.5**3, rtol=1e-12)
    np.testing.assert_allclose(slope, np.cos(X) * 1.5**3, rtol=1e-12)
    np.testing.assert_allclose(hessian, np.diag(-np.sin(X) * 1.5**3), rtol=1e-12, atol=1e-15)


def test_names_of_tensorflow_in_compiled_code():
    g = fd.fwddiff(
        lambda x, y: (
            tf.math.exp(-x * x) * tf.sigmoid(y) + tf.nn.softplus(x) * tf.where(x > 0, x, tf.math.tanh(y))
        ),
        engine="numba",
    )
    x, y = tf.constant(X), tf.constant(X[::-1].copy())
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        value = tf.math.exp(-x * x) * tf.sigmoid(y) + tf.nn.softplus(x) * tf.where(x > 0, x, tf.math.tanh(y))
    wanted = tape.gradient(value, [x, y])
    np.testing.assert_allclose(g.broadcast(x, y), value, rtol=1e-12)
    for found, right in zip(fd.gradient(g.sum, X, X[::-1], argnum=(0, 1)), wanted, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-10)
