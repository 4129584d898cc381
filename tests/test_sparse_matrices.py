"""Constant matrices of `scipy.sparse` in the functions of users, and what SciPy has no derivative of."""

import autograd
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.stats
from scipy.sparse.linalg import spsolve

import fwddiff as fd
from fwddiff import fwddiff

KINDS = (sp.csr_array, sp.csc_array, sp.coo_array, sp.dia_array, sp.bsr_array, sp.csr_matrix)
RANDOM = np.random.default_rng(3)
DENSE = np.where(RANDOM.uniform(size=(5, 5)) < 0.5, RANDOM.normal(size=(5, 5)), 0.0)
X = RANDOM.uniform(0.5, 1.5, 5)


def formula(matrix):
    return lambda x: np.sin(matrix @ x) * x + (x @ matrix) ** 2 + matrix.T @ x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_products(kind, engine):
    ours, dense = fwddiff(formula(kind(DENSE)), engine=engine), formula(DENSE)
    np.testing.assert_allclose(ours(X), dense(X), rtol=1e-13)
    np.testing.assert_allclose(fd.jacobian(ours, X), by_hand(X), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        fd.hessian(lambda x: (formula(kind(DENSE))(x) ** 2).sum(), X),
        fd.hessian(lambda x: (dense(x) ** 2).sum(), X),
        rtol=1e-12,
        atol=1e-13,
    )


def by_hand(x):
    product = DENSE @ x
    first = np.diag(np.sin(product)) + (np.cos(product) * x)[:, None] * DENSE
    return first + 2 * (x @ DENSE)[:, None] * DENSE.T + DENSE.T


def test_products_with_several_columns():
    matrix = sp.csr_array(DENSE)
    columns = RANDOM.normal(size=(5, 3))
    f = lambda y: (matrix @ y) ** 2 + np.transpose(y.T @ matrix)  # noqa: E731
    found = fd.jacobian(f, columns)
    eye = np.eye(3)
    expected = np.einsum("ik,ij,kl->ikjl", 2 * DENSE @ columns, DENSE, eye)
    expected = expected + np.einsum("ji,kl->ikjl", DENSE, eye)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_what_a_row_does_not_hold_has_no_part_in_it():
    """An infinite slope of one element leaves the rows without it alone."""
    matrix = sp.csr_array(np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 3.0]]))
    found = fd.jacobian(lambda x: matrix @ np.sqrt(x), np.array([0.0, 1.0, 4.0]))
    np.testing.assert_array_equal(found, [[np.inf, 0.0, 0.0], [0.0, 1.0, 0.75]])


def test_patterns():
    n = 50
    laplacian = sp.diags_array([np.ones(n - 1), -2 * np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1])
    right = lambda u: laplacian @ u + u**3  # noqa: E731
    u = RANDOM.uniform(0.5, 1.5, n)
    found = fd.jacobian(right, u, sparsity="detect")
    assert found.nnz == 3 * n - 2
    np.testing.assert_allclose(found.toarray(), laplacian.toarray() + np.diag(3 * u**2), rtol=1e-13)
    energy = lambda u: u @ (laplacian @ u) + (u**4).sum() + (u @ laplacian)[0]  # noqa: E731
    found = fd.hessian(energy, u, sparsity="detect")
    assert found.nnz == 3 * n - 2
    np.testing.assert_allclose(found.toarray(), 2 * laplacian.toarray() + np.diag(12 * u**2), rtol=1e-13)
    columns = fd.jacobian(lambda y: laplacian @ y, np.ones((n, 2)), sparsity="detect")
    assert columns.nnz == 2 * (3 * n - 2)


def test_hosts():
    matrix = sp.csr_array(DENSE)
    f = fwddiff(lambda x: ((matrix @ x) ** 2).sum())
    expected = 2 * DENSE.T @ DENSE @ X
    np.testing.assert_allclose(autograd.grad(f)(X), expected, rtol=1e-12)


def test_hosts_that_trace():
    import jax
    import jax.numpy as jnp

    matrix = sp.csr_array(DENSE)
    f = fwddiff(lambda x: matrix @ x * x)
    found = jax.jit(jax.grad(lambda x: f(x).sum()))(jnp.asarray(X, jnp.float32))
    np.testing.assert_allclose(found, (DENSE + DENSE.T) @ X, rtol=1e-5)


def test_shapes_that_do_not_fit():
    matrix = sp.csr_array(DENSE)
    for sparsity in (None, "detect"):
        with pytest.raises(ValueError, match="mismatch"):
            fd.jacobian(lambda x: matrix @ x[:4], X, sparsity=sparsity)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: sp.csr_array(DENSE).multiply(x).sum(axis=1), "A function of scipy.sparse .* fd.implicit"),
        (lambda x: spsolve(sp.csc_array(np.eye(5)), x), "scipy.sparse .in `spsolve`. makes plain arrays"),
        (lambda x: scipy.linalg.solve(DENSE, x), "A function of scipy.linalg .* fd.custom_rule"),
        (lambda x: scipy.stats.norm(0.0, 1.0).logpdf(x), "not of a distribution made with its parameters"),
    ],
)
def test_what_would_lose_derivatives_is_refused(function, words):
    with pytest.raises(fd.DerivativeError, match=words):
        fd.jacobian(function, X)
