"""Functions of arrays as code that is differentiated, against the same functions on dual numbers in Python,
and against closed forms."""

import numpy as np
import pytest

import fwddiff as fd

X = np.array([0.7, -1.3, 2.1, 0.4, 1.5, -0.2])


def slices(x):
    z = np.zeros(6)
    z[1:4] = x[:3] * x[0]
    z[2:] = z[:4]
    z[0] = z[5]
    return z


def one_name_for_several(x):
    z = x
    for i in range(3):
        z = z * x + i
    return z


def matrix(x):
    m = np.empty((2, 3))
    for i in range(2):
        for j in range(3):
            m[i, j] = x[i] * x[j]
    row = m[1]
    row[:] = m[0] * x[5]
    return m


def in_place(x):
    z = np.ones(6)
    z *= x
    z += x * x
    z[2:4] -= x[:2]
    z[0] **= 2
    return z


def swapped(x):
    a, b = np.zeros(6), x.copy()
    for i in range(5):
        a, b = b, a
        a[0] += b[1] * x[i]
    return a * b


def _fill(z, x):
    for i in range(len(z)):
        z[i] = x[i] ** 2


def filled_by_a_helper(x):
    z = np.empty_like(x)
    _fill(z, x)
    return z


def until_small(x):
    y, n = x.copy(), 0
    while np.sum(y * y) > 0.1 and n < 20:
        y = y * 0.5 * x[4] ** 0.1
        n += 1
    return y


def found_by_integers(x):
    k = np.zeros(3, np.int64)
    k[1] = 2
    w = np.zeros(3)
    w[k[1]] = x[k[2]]
    return w


def views(x):
    m = x.reshape(2, 3)
    return m.T[1] * m[0, :2]


def ties(x):
    return np.maximum(x, 0.4) + np.fmin(x, 2.1)


def statistics(x):
    return np.array([np.std(x), np.linalg.norm(x), np.prod(x), np.max(x), np.dot(x, x[::-1])])


def systems(x):
    m = x.reshape(2, 3)[:, :2] + np.eye(2) * 3
    return np.linalg.solve(m, x[:2]) * np.linalg.det(m)


FUNCTIONS = (
    *(slices, one_name_for_several, matrix, in_place, swapped, filled_by_a_helper, until_small),
    *(found_by_integers, views, ties, statistics, systems),
)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.few(
    function=[
        "in_place",
        "found_by_integers",
        "views",
        "ties",
        "one_name_for_several",
    ]
)
def test_as_on_dual_numbers(function):
    w = np.cos(np.arange(100.0))

    def total(x):
        y = function(x).ravel()
        s = 0.0
        for i in range(len(y)):
            s += w[i] * y[i] * y[i]
        return s

    got = fd.jacobian(function, X, backend="numba"), fd.hessian(total, X, backend="numba")
    want = fd.jacobian(function, X, backend="numpy")
    np.testing.assert_allclose(got[0], want, rtol=1e-12, atol=1e-13)
    steps = np.eye(6) * 1e-5
    by_python = lambda x: fd.gradient(total, x, backend="numpy")  # noqa: E731
    if function is not ties:  # whose slopes jump here
        slopes = np.array([(by_python(X + s) - by_python(X - s)) / 2e-5 for s in steps])
        np.testing.assert_allclose(got[1], slopes, rtol=1e-6, atol=1e-6)


def test_memory_does_not_grow_with_a_loop():
    def f(x, n):
        t = 0.0
        for i in range(n):
            y = np.empty(i % 4 + 1)
            for j in range(len(y)):
                y[j] = x[j] * i
            t += y[0] * y[-1]
        return t

    import resource

    fd.gradient(lambda x: f(x, 10), X, backend="numba")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fd.gradient(lambda x: f(x, 1_000_000), X, backend="numba")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("n", [1, 15, 16, 17, 40])
def test_any_length(n):
    x = np.linspace(0.2, 1.3, n)

    def rosenbrock(x):
        s = 0.0
        for i in range(len(x) - 1):
            s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
        return s

    want = np.zeros(n)
    d = x[1:] - x[:-1] ** 2
    want[1:] += 200 * d
    want[:-1] -= 400 * x[:-1] * d + 2 * (1 - x[:-1])
    np.testing.assert_allclose(fd.gradient(rosenbrock, x, backend="numba"), want, rtol=1e-13, atol=1e-12)


def test_single_precision():
    x = X.astype(np.float32)
    got = fd.jacobian(lambda x: np.exp(x) * x[0], x, backend="numba")
    assert got.dtype == np.float32
    want = np.diag(np.exp(X) * X[0])
    want[:, 0] += np.exp(X)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_an_exception_is_that_of_python():
    def f(x):
        z = np.zeros(3)
        z[0] = x[len(x)]
        return z

    with pytest.raises(IndexError):
        fd.jacobian(f, X, backend="numba")
