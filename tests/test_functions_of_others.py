"""Functions of NumPy and of Python as the functions that are differentiated, and as SciPy is given them."""

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

V = np.array([0.3, 0.7, 1.1])
M = np.array([[0.3, 0.7], [1.1, 0.2]])
ENGINES = ("numba", "numpy")


def differences(f, x, h=1e-6):
    """The Jacobian by central differences."""
    moves = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.stack([(np.asarray(f(x + m)) - np.asarray(f(x - m))) / (2 * h) for m in moves], -1)


ONE_NUMBER = [
    *(np.sum, np.max, np.min, np.mean, np.prod, np.linalg.norm, np.std, np.var, np.amax),
    *(sum, max, min, math.fsum, math.prod),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("f", ONE_NUMBER, ids=lambda f: f.__name__)
@pytest.mark.few(f=["sum", "max", "prod", "norm", "std"], engine=["numpy"])
def test_gradients(f, engine):
    np.testing.assert_allclose(fd.gradient(f, V, backend=engine), differences(f, V), rtol=1e-7, atol=1e-8)
    by_hand = fd.hessian(lambda x: f(x), V, backend=engine)
    np.testing.assert_allclose(fd.hessian(f, V, backend=engine), by_hand, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "f", [np.cumsum, np.sort, np.diff, np.flip, np.diag, np.linalg.inv], ids=lambda f: f.__name__
)
@pytest.mark.few(f=["cumsum", "diff", "sort"], engine=["numpy"])
def test_jacobians(f, engine):
    x = M if f is np.linalg.inv else V
    found = fd.jacobian(f, x, backend=engine)
    np.testing.assert_allclose(found.ravel(), differences(f, x).ravel(), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("f", [round, abs, math.floor], ids=lambda f: f.__name__)
def test_derivatives(f, engine):
    assert fd.derivative(f, 0.7, backend=engine) == (1.0 if f is abs else 0.0)


@pytest.mark.parametrize(
    ("f", "x", "options"),
    [
        (np.sum, M, {"axis": 0}),
        (np.max, M, {"axis": 1}),
        (np.linalg.norm, V, {"ord": 1}),
        (np.var, V, {"ddof": 1}),
    ],
    ids=["sum", "max", "norm", "var"],
)
@pytest.mark.every(2)
def test_options(f, x, options):
    found = fd.jacobian(f, x, **options)
    want = differences(lambda x: f(x, **options), x)
    np.testing.assert_allclose(np.ravel(found), np.ravel(want), rtol=1e-7, atol=1e-8)


def test_options_by_position_and_those_that_are_not_taken():
    total = fwddiff(np.sum)
    np.testing.assert_allclose(total(M, 0), M.sum(axis=0))
    with pytest.raises(fd.ArgumentError, match="keepdims"):
        total(M, keepdims=True)


def test_a_key_is_no_sign_of_a_function_of_numbers():
    farthest = fd.gradient(lambda x: max(x, key=lambda v: -v) ** 2, V)
    np.testing.assert_allclose(farthest, [0.6, 0.0, 0.0])
