"""Small systems of equations and tables inside functions: central differences of NumPy's own."""

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff

ENGINES = ("numba", "numpy")
NODES, HEIGHTS = np.array([0.0, 1.0, 2.5]), np.array([1.0, 3.0, -1.0])


def solve(a, b):
    return np.linalg.solve(a, b)[0] * 2 + np.linalg.solve(a, np.outer(b, b))[1, 2]


def inverse_and_determinant(a, b):
    return np.linalg.inv(a)[0, 2] * b[0] + np.linalg.det(a) * b[1]


def tables(a, b):
    s = 0.0
    for v in a.ravel():
        s = s + np.interp(v, NODES, HEIGHTS) + v * np.searchsorted(NODES, v)
        s = s + np.interp(0.7 * b[0], np.array([0.0, 0.5, 4.0]), b) * np.searchsorted(NODES, v, side="right")
    return s


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("f", [solve, inverse_and_determinant, tables])
@pytest.mark.few(f=["solve"], engine=["numpy"])
def test_against_differences(f, engine):
    a, b = np.array([[0.1, 2.0, 0.3], [1.1, 0.4, -2.0], [3.0, 0.2, 0.6]]), np.array([1.2, -0.7, 0.4])
    value, pullback = fd.rrule(fwddiff(f, engine=engine), a, b)
    np.testing.assert_allclose(value, f(a, b), 1e-12)
    for given, found in zip((a, b), map(fd.unthunk, pullback(1.0)), strict=True):
        for index in np.ndindex(given.shape):
            kept, h = given[index], 1e-6
            given[index] = kept + h
            up = f(a, b)
            given[index] = kept - h
            slope, given[index] = (up - f(a, b)) / (2 * h), kept
            np.testing.assert_allclose(found[index], slope, 1e-7, 1e-8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.few(engine=["numpy"])
def test_determinants_of_singular_matrices(engine):
    """The gradient is the matrix of cofactors, also where the matrix has no inverse."""
    for a in (np.array([[1.0, 2.0], [2.0, 4.0]]), np.zeros((2, 2))):
        cofactors = np.array([[a[1, 1], -a[1, 0]], [-a[0, 1], a[0, 0]]])
        np.testing.assert_allclose(fd.gradient(np.linalg.det, a, backend=engine), cofactors, 1e-13, 1e-13)
    second = np.zeros((2, 2, 2, 2))
    second[0, 0, 1, 1] = second[1, 1, 0, 0] = 1.0
    second[0, 1, 1, 0] = second[1, 0, 0, 1] = -1.0
    found = fd.hessian(lambda a: np.linalg.det(a), np.zeros((2, 2)), backend=engine)
    np.testing.assert_allclose(found, second, 1e-13, 1e-13)


@pytest.mark.parametrize("engine", ENGINES)
def test_outside_of_a_table_and_in_its_nodes(engine):
    g = lambda x: fd.derivative(lambda x: np.interp(x, NODES, HEIGHTS), x, backend=engine)  # noqa: E731
    assert [g(x) for x in (-1.0, -np.inf, 0.0, 1.0, 2.5, 3.0)] == [0.0, 0.0, 2.0, -8 / 3, 0.0, 0.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_singular_system_raises(engine):
    with pytest.raises(np.linalg.LinAlgError):
        fd.rrule(fwddiff(lambda a: np.linalg.solve(a, a[0]), engine=engine), np.ones((2, 2)))
