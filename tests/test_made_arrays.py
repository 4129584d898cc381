"""Arrays that a function makes and fills: `np.zeros(k)`, lists, powers of `np.arange(k)`, in both engines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fwddiff as fd
from fwddiff import fwddiff

ENGINES = ("numba", "numpy")
SIZE = 4


def zeros(x, k):
    out = np.zeros(k)
    for j in range(k):
        out[j] = x**j
    return out


def empty_of_a_dtype(x, k=SIZE):
    out = np.empty((k,), dtype=np.float64)
    for j in range(k):
        out[j] = x**j
    return out


def ones_in_place(x, k):
    out = np.ones(k, float)
    for j in range(k):
        out[j] *= x**j
    return out


def full(x, k):
    out = np.full(k, x)
    out[0] = 1.0
    for j in range(2, k):
        out[j] *= out[j - 1]
    return out


def numbers_first(x, k):
    out = np.full(k, 0.0)
    out[0] = 1.0
    for j in range(1, k):
        out[j] = out[j - 1] * x
    return out


def array_of_a_list(x, k):
    return np.array([x**j for j in range(k)])


def appended(x, k):
    out = []
    for j in range(k):
        out.append(x**j)
    return np.array(out)


def powers(x, k):
    return x ** np.arange(k)


def like_a_plain_array(x, k):
    exponents = np.arange(k) * 1.0
    out = np.zeros_like(exponents)
    out[:] = x**exponents
    return out


def whole_array_in_place(x, k):
    out = np.ones(k)
    out *= x
    return out ** np.arange(k)


def row_of_a_matrix(x, k):
    table = np.zeros((2, k))
    row = table[1]
    for j in range(k):
        row[j] = x**j
        table[0, j] = 1.0
    return table[0] * table[1] + table.sum(axis=0) - table[0] - table[1]


def one_branch_is_constant(x, k):
    if x < 0.0:
        return np.zeros(k)
    return x ** np.arange(k)


def _fill(out, x):
    for j in range(len(out)):
        out[j] = x**j


def filled_by_a_helper(x, k):
    out = np.zeros(k)
    _fill(out, x)
    return out


MAKERS = (
    zeros, empty_of_a_dtype, ones_in_place, full, numbers_first, array_of_a_list, appended, powers,
    like_a_plain_array, whole_array_in_place, row_of_a_matrix, one_branch_is_constant, filled_by_a_helper,
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.few(
    make=["zeros", "full", "appended", "powers", "one_branch_is_constant", "filled_by_a_helper"],
    engine=["numpy"],
)
def test_k_results_of_one_number(make, engine):
    slopes = [j * 2.0 ** (j - 1) for j in range(SIZE)]
    assert_allclose(fd.jacobian(lambda x: make(x, SIZE), 2.0, backend=engine), slopes)
    assert_allclose(fd.jacobian(make, 2.0, SIZE, backend=engine), slopes)
    weights = np.arange(1.0, SIZE + 1.0)
    second = fd.hessian(lambda v: np.sum(make(v[0], SIZE) * weights), np.array([2.0]), backend=engine)
    assert_allclose(second, [[sum(weights * [j * (j - 1) * 2.0 ** (j - 2) for j in range(SIZE)])]])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("make", [zeros, array_of_a_list, powers], ids=lambda make: make.__name__)
@pytest.mark.few(make=["powers"], engine=["numpy"])
def test_the_number_of_results_may_change(make, engine):
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    g = fwddiff(make, engine=engine)
    for k in (3, 5, 3, 1):
        slopes = [j * 2.0 ** (j - 1) for j in range(k)]
        x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        y = g(x, k)
        assert y.shape == (k,)
        weights = np.arange(1.0, k + 1.0)
        found = torch.autograd.grad((y * torch.tensor(weights)).sum(), x)[0]
        assert_allclose(found, np.dot(slopes, weights))
        assert_allclose(jax.jacfwd(lambda x, k=k: g(x, k))(2.0), slopes, rtol=1e-6)
        assert_allclose(jax.jit(jax.jacrev(lambda x, k=k: g(x, k)))(2.0), slopes, rtol=1e-6)
        assert_allclose(fd.jacobian(g, 2.0, k), slopes)


@pytest.mark.parametrize("engine", ENGINES)
def test_captured_and_default_sizes(engine):
    def sized(size):
        def value(x, k=size):
            out = np.zeros(k + size)
            for j in range(k):
                out[j] = math.sin(x) * j
            return out

        return value

    for size in (2, 3):
        slopes = [*(math.cos(0.5) * np.arange(size)), *[0.0] * size]
        assert_allclose(fd.jacobian(sized(size), 0.5, backend=engine), slopes)


@pytest.mark.parametrize("engine", ENGINES)
def test_single_precision_stays(engine):
    torch = pytest.importorskip("torch")
    x = torch.tensor(2.0, requires_grad=True)
    for make in (zeros, full, array_of_a_list):
        y = fwddiff(make, engine=engine)(x, 3)
        assert y.dtype == torch.float32
        assert_allclose(torch.autograd.grad(y.sum(), x)[0], 5.0)


def filter_bank(x, w):
    """Copies of inactive arrays, and arrays of several kinds in one."""
    memory = w.copy()
    out = np.zeros((2, len(x)))
    for i in range(len(x)):
        memory[0] = memory[0] * 0.5 + x[i]
        out[0, i] = memory[0] + memory[1]
        out[1, i] = 1.0
    return out.sum(), out[0].max() + np.dot(out[1], out[0])


def test_arrays_of_several_arguments():
    x, w = np.array([0.3, -0.2, 0.9]), np.array([0.1, 0.7])
    values = filter_bank(x, w)
    y, back = fd.rrule(fwddiff(filter_bank), x, w)
    assert_allclose(y, values)
    found = [fd.unthunk(t) for t in back((1.0, 2.0))]
    h = 1e-6
    for argument, cotangent in enumerate(found):
        for i in range(len(cotangent)):
            up, down = [x.copy(), w.copy()], [x.copy(), w.copy()]
            up[argument][i] += h
            down[argument][i] -= h
            (a, b), (c, d) = filter_bank(*up), filter_bank(*down)
            assert_allclose(cotangent[i], ((a - c) + 2.0 * (b - d)) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("wrt", [0, 1])
def test_an_array_holds_what_only_one_argument_moves(wrt, engine):
    def value(x, w):
        z = np.zeros_like(w)
        z[0] = x[0] * w[1]
        z[1] = x[1]
        return z

    x, w = np.array([2.0, 3.0]), np.array([5.0, 7.0])
    y, back = fd.rrule(fwddiff(value, engine=engine, wrt=wrt), x, w)
    assert_allclose(y, [14.0, 3.0])
    assert_allclose(fd.unthunk(back(np.ones(2))[wrt]), [[7.0, 1.0], [0.0, 2.0]][wrt])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.few(engine=["numpy"])
def test_arrays_of_constants_stay_constants(engine):
    def value(x):
        matrix, right = np.zeros((2, 2)), np.ones(2)
        matrix[0, 0], matrix[1, 1] = 2.0, 4.0
        at = np.searchsorted(right, 0.5)
        return (
            x * np.linalg.solve(matrix, right)[1] + x * float(matrix[0, 0]) * np.percentile(right, 50.0) + at
        )

    assert_allclose(fd.derivative(value, 3.0, backend=engine), 2.25)


@pytest.mark.parametrize("engine", ENGINES)
def test_integers_are_steps(engine):
    """What is stored is what NumPy would store, whose derivative is zero."""

    def value(x):
        out = np.zeros(2, dtype=np.int64)
        out[0] = x
        return x * out

    assert_allclose(fd.jacobian(value, 2.5, backend=engine), [2.0, 0.0])


@pytest.mark.parametrize("engine", ENGINES)
def test_zeros_of_an_array_are_strong(engine):
    def value(a, b):
        out = np.zeros(2)
        out[0] = a
        return math.sqrt(out[1]) + b

    _, back = fd.rrule(fwddiff(value, engine=engine), 1.0, 2.0)
    assert fd.unthunk(back(1.0)[1]) == 1.0
