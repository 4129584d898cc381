"""Cotangents of zero, and outputs that nobody reads, against infinite slopes: in every host installed,
whether it stores partials or computes them again."""

from __future__ import annotations

import math
from math import inf

import numpy as np
import pytest

from fwddiff import fwddiff

MODES = ("auto", "store", "recompute")
X, MASK = np.array([0.0, 4.0]), np.array([0.0, 1.0])
A, B = np.array([3.0, 2.0]), np.array([0.0, 4.0])


def root_of(x):
    return math.sqrt(x)


def two(x):
    return x * x, math.sqrt(x)


def beside(a, b):
    return a * a + math.sqrt(b)


def lower(a, b):
    return math.sqrt(a if a < b else b)


equal = np.testing.assert_array_equal


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("mode", MODES)
def test_torch(mode, engine):
    torch = pytest.importorskip("torch")
    x, a, b, mask = (torch.tensor(array, requires_grad=True) for array in (X, A, B, MASK))
    options = {"mode": mode, "engine": engine}
    grad, root, g = torch.autograd.grad, fwddiff(root_of, **options), fwddiff(beside, **options)
    equal(grad((root.broadcast(x) * mask).sum(), (x, mask)), ([0, 0.25], [0, 2]))
    equal(grad(root.sum(x), x)[0], [inf, 0.25])
    equal(grad(fwddiff(two, **options)(x[0])[0], x)[0], [0, 0])
    outputs = fwddiff(two, **options).broadcast(x)
    equal(grad(outputs[0].sum(), x, retain_graph=True)[0], [0, 8])
    equal(grad(outputs[0].sum() + (outputs[1] * mask.detach()).sum(), x)[0], [0, 8.25])
    equal(grad(fwddiff(lower, **options).broadcast(b, a).sum(), (a, b)), ([0, 0.5 / math.sqrt(2)], [inf, 0]))
    ga, gb = grad(g.broadcast(a, b).sum(), (a, b), create_graph=True)
    equal(grad(ga.sum(), a, retain_graph=True)[0], [2, 2])
    equal(grad(gb.sum(), b)[0], [-inf, -1 / 32])
    equal(torch.func.grad(lambda a: (g.broadcast(a, b.detach()) * mask.detach()).sum())(a.detach()), [0, 4])
    _, tangent = torch.func.jvp(root.broadcast, (x.detach(),), (mask.detach(),))
    equal(tangent, [0, 0.25])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.few(mode=["auto"])
def test_jax(mode):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        root, g = fwddiff(root_of, mode=mode), fwddiff(beside, mode=mode)

        def masked(x, mask):
            return (root.broadcast(x) * mask).sum()

        for transform in (lambda f: f, jax.jit):
            equal(transform(jax.grad(masked))(X, MASK), [0, 0.25])
            equal(transform(jax.grad(lambda x: fwddiff(two, mode=mode).broadcast(x)[0].sum()))(X), [0, 8])
            equal(transform(jax.grad(lambda x: fwddiff(two, mode=mode)(x[0])[0]))(X), [0, 0])
        equal(jax.grad(masked, 1)(X, MASK), [0, 2])
        equal(jax.grad(root.sum)(X), [inf, 0.25])
        equal(jax.jvp(root.broadcast, (X,), (MASK,))[1], [0, 0.25])
        equal(jax.jacrev(root.broadcast)(X), [[inf, 0], [0, 0.25]])
        equal(jax.vmap(jax.grad(masked), (None, 0))(X, np.stack([MASK, 1 - MASK])), [[0, 0.25], [inf, 0]])
        hessian = jax.hessian(lambda a, b: g.broadcast(a, b).sum(), (0, 1))(A, B)
        equal(hessian[0][0], [[2, 0], [0, 2]])
        equal(hessian[0][1], np.zeros((2, 2)))
        equal(hessian[1][1], [[-inf, 0], [0, -1 / 32]])
        # The derivative of a gradient in the mask is the slope, where it is finite: the product is linear.
        equal(jax.jacfwd(jax.grad(masked), 1)(np.array([1.0, 4.0]), MASK), [[0.5, 0], [0, 0.25]])
        equal(jax.jacrev(jax.grad(masked), 1)(np.array([1.0, 4.0]), MASK), [[0.5, 0], [0, 0.25]])
        equal(jax.grad(fwddiff(lower, mode=mode), (0, 1))(0.0, 1.0), (inf, 0))


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("mode", MODES)
def test_autograd(mode, engine):
    autograd = pytest.importorskip("autograd")
    numpy = autograd.numpy
    options = {"mode": mode, "engine": engine}
    root, g = fwddiff(root_of, **options), fwddiff(beside, **options)
    equal(autograd.grad(lambda x: numpy.sum(root.broadcast(x) * MASK))(X), [0, 0.25])
    equal(autograd.grad(root.sum)(X), [inf, 0.25])
    equal(autograd.grad(lambda x: fwddiff(two, **options)(x)[0])(0.0), 0.0)

    def total(a):
        return numpy.sum(g.broadcast(a, B))

    equal(autograd.grad(total)(A), [6, 4])
    equal(autograd.hessian(total)(A), [[2, 0], [0, 2]])
    equal(autograd.make_jvp(root.broadcast)(X)(MASK)[1], [0, 0.25])
