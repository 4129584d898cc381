"""What goes in and comes out, and what is refused. Transformations are in the conformance matrix."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from fwddiff import HostError, fwddiff
from fwddiff.hosts import mlx as host
from support.symbolic_rule import symbolic_rule


@fwddiff
def wave(a, b, n):
    return math.sin(a * b) * math.exp(-a), n * 2, a * n


A, B = np.array([0.3, 0.7, 1.9]), 0.4


def arrays(dtype=mx.float64):
    return mx.array(A, dtype=dtype), mx.array(B, dtype=dtype), mx.array([1, 2, 3])


def test_all_digits_of_float64():
    """More than MLX's own functions have."""
    a, b, n = arrays()
    value = wave.broadcast(a, b, n)[0]
    np.testing.assert_allclose(np.asarray(value), np.sin(A * B) * np.exp(-A), rtol=1e-14)
    found = mx.grad(lambda a: wave.broadcast(a, b, n)[0].sum())(a)
    wanted = (B * np.cos(A * B) - np.sin(A * B)) * np.exp(-A)
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-13)


def test_integers_beside_floats():
    a, b, n = arrays(mx.float32)
    value, doubled, product = wave.broadcast(a, b, n)
    assert (value.dtype, doubled.dtype, product.dtype) == (mx.float32, mx.int32, mx.float32)
    assert doubled.tolist() == [2, 4, 6]
    tangents = mx.jvp(lambda a, b: wave.broadcast(a, b, n), [a, b], [mx.ones_like(a), mx.ones_like(b)])[1]
    assert tangents[1].dtype == mx.int32
    assert tangents[1].tolist() == [0, 0, 0]
    assert tangents[2].tolist() == [1, 2, 3]
    found = mx.grad(lambda a: wave.broadcast(a, b, n)[2].sum())(a)
    assert found.tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [mx.float32, mx.float64])
def test_numbers_and_numpy_are_constants(dtype):
    a = mx.array(A, dtype=dtype)
    f = fwddiff(lambda a, b, c: a * b + c)
    found = mx.grad(lambda a: f.broadcast(a, 3.0, np.arange(3)).sum())(a)
    assert found.dtype == dtype
    assert found.tolist() == [3, 3, 3]


def test_functions_without_arrays_of_floats_give_floats_of_mlx():
    assert fwddiff(lambda n: 0.5 * n).broadcast(mx.array([1, 2])).dtype == mx.float32


def test_several_passes_and_axes():
    def f(x, y):
        return math.sin(x) * y

    x, y = mx.array(A[:, None], dtype=mx.float64), mx.array(A, dtype=mx.float64)
    for options in ({}, {"passes": "per_argument"}, {"mode": "recompute"}, {"engine": "numpy"}):
        x_bar, y_bar = mx.grad(fwddiff(f, **options).sum, (0, 1))(x, y)
        np.testing.assert_allclose(np.asarray(x_bar), np.cos(A[:, None]) * A.sum())
        np.testing.assert_allclose(np.asarray(y_bar), np.full(3, np.sin(A).sum()))


def test_rules_that_no_engine_made():
    rule = symbolic_rule("x y n:int", "x*y", "n**2", "sin(x)")
    x, y = mx.array(A, dtype=mx.float64), mx.array(A + 1, dtype=mx.float64)

    def total(x, y):
        product, _, sine = host.apply(rule, [x, y, np.array([1, 2, 3])])
        return (product * sine).sum()

    x_bar, y_bar = mx.grad(total, (0, 1))(x, y)
    np.testing.assert_allclose(np.asarray(y_bar), A * np.sin(A), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(x_bar), (A + 1) * (np.sin(A) + A * np.cos(A)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.complex64])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(HostError, match="astype"):
        wave.broadcast(mx.array([1.0]).astype(dtype), 1.0, 1)


@pytest.mark.parametrize("transformation", [mx.vmap, mx.compile, lambda f: mx.vmap(mx.grad(f))])
def test_transformations_that_cannot_call_python_are_refused(transformation):
    a = mx.array([0.3, 0.4])
    with pytest.raises(HostError, match="vmap and compile cannot call a kernel"):
        transformation(lambda a: wave.broadcast(a, 1.0, 2)[0])(a)


def test_what_is_not_traced_may_be_called_there():
    """Batches and compiled functions may close over our results, as constants."""
    a, b, n = arrays(mx.float32)
    found = mx.vmap(lambda c: c * wave.broadcast(a, b, n)[2])(mx.array([1.0, 2.0]))
    np.testing.assert_allclose(np.asarray(found), np.outer([1, 2], A * [1, 2, 3]), rtol=1e-6)


def test_arrays_are_read_only_to_functions():
    a = mx.array([1.0, 2.0])

    def writes(x):
        np.multiply(x, 0.0, out=x)
        return x[0]

    with pytest.raises(Exception, match="read-only"):
        fwddiff(writes, engine="numpy")(a)
    assert a.tolist() == [1, 2]


def test_no_gradient_flows_into_what_is_detached():
    a = mx.array([1.0, 2.0])
    found = mx.grad(lambda a: (host.detach(a) * a).sum())(a)
    assert found.tolist() == [1, 2]
