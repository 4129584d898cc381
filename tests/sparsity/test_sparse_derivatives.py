"""Sparse Jacobians and Hessians: values against dense ones and differences, calls, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._operators._sparse import points
from fwddiff.sparsity import SparseHessian, SparseJacobian

sparse = pytest.importorskip("scipy.sparse")
RNG = np.random.default_rng(0)


def brusselator(u, n):
    """Right-hand side of the Brusselator in two dimensions, periodic, of (n, n, 2) concentrations."""
    out, a = np.empty_like(u), 0.1 * (n - 1) ** 2
    for i in range(n):
        for j in range(n):
            c, d = u[i, j, 0], u[i, j, 1]
            for k in range(2):
                around = u[i - 1, j, k] + u[(i + 1) % n, j, k] + u[i, j - 1, k] + u[i, (j + 1) % n, k]
                out[i, j, k] = a * (around - 4.0 * u[i, j, k])
            out[i, j, 0] += 1.0 + c * c * d - 4.4 * c
            out[i, j, 1] += 3.4 * c - c * c * d
    return out


def defects(z, steps):
    """Trapezoidal collocation of a pendulum that a torque swings up: state (angle, velocity), control."""
    h, out = 2.0 / steps, np.zeros(2 * steps)
    for k in range(steps):
        q, v, u = z[3 * k], z[3 * k + 1], z[3 * k + 2]
        q1, v1, u1 = z[3 * k + 3], z[3 * k + 4], z[3 * k + 5]
        out[2 * k] = q1 - q - 0.5 * h * (v + v1)
        out[2 * k + 1] = v1 - v - 0.5 * h * (u + u1 - math.sin(q) - math.sin(q1))
    return out


def effort(z, steps):
    """The Lagrangian of that problem, all multipliers one."""
    total = 0.0
    for k in range(steps):
        total += 0.5 * (z[3 * k + 2] ** 2 + z[3 * k + 5] ** 2) / steps
    return total + np.sum(defects(z, steps))


def dense_jacobian(f, x, *constants):
    return np.reshape(fd.jacobian(f, x, *constants), (-1, np.size(x)))


def differences(f, x, *constants, h=1e-6):
    columns = []
    for e in np.eye(x.size).reshape(-1, *x.shape):
        columns.append((f(x + h * e, *constants) - f(x - h * e, *constants)).ravel() / (2 * h))
    return np.stack(columns, axis=1)


# --- two problems of the field ------------------------------------------------------------------------------


@pytest.mark.slow
def test_brusselator():
    u = RNG.uniform(0.5, 2.0, (5, 5, 2))
    found = fd.jacobian(brusselator, u, 5, sparsity="detect", check=True)
    assert isinstance(found, sparse.csr_array)
    assert found.shape == (50, 50)
    assert found.nnz == 50 * 6
    assert np.array_equal(found.toarray(), dense_jacobian(brusselator, u, 5))
    assert np.allclose(found.toarray(), differences(brusselator, u, 5), atol=1e-6)


def test_optimal_control():
    z = RNG.normal(size=3 * 9)
    found = fd.jacobian(defects, z, 8, sparsity="detect", check=True)
    assert found.nnz == 8 * (4 + 6)
    assert np.array_equal(found.toarray(), dense_jacobian(defects, z, 8))
    assert np.allclose(found.toarray(), differences(defects, z, 8), atol=1e-8)
    curvature = fd.hessian(effort, z, 8, sparsity="detect", check=True)
    assert curvature.nnz == 9 + 9
    assert np.allclose(curvature.toarray(), fd.hessian(effort, z, 8), atol=1e-15)
    assert np.allclose(curvature.diagonal()[3:-3:3], -0.25 * np.sin(z[3:-3:3]))


def test_radau_takes_it_as_it_is():
    integrate = pytest.importorskip("scipy.integrate")
    n, start = 3, RNG.uniform(0.5, 2.0, 18)

    def right(t, y):
        return brusselator(y.reshape(n, n, 2), n).ravel()

    jac = fd.jacobian(right, argnum=1, sparsity="detect", backend="numpy")
    found = integrate.solve_ivp(right, (0.0, 0.5), start, method="Radau", jac=jac)
    other = integrate.solve_ivp(right, (0.0, 0.5), start, method="Radau")
    assert found.success
    assert found.njev == other.njev
    assert np.allclose(found.y[:, -1], other.y[:, -1], rtol=1e-5)


# --- kinds of functions, arguments and engines --------------------------------------------------------------


def bidiagonal(x):
    out = np.empty_like(x)
    for k in range(len(x)):
        out[k] = x[k] ** 2 * x[k - 1] if k else x[0]
    return out


@pytest.mark.parametrize("backend", ["numba", "numpy", "auto"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_engines_and_precisions(backend, dtype):
    x = RNG.uniform(0.5, 1.5, 7).astype(dtype)
    found = fd.jacobian(bidiagonal, x, sparsity="detect", backend=backend)
    assert found.dtype == dtype
    assert np.allclose(found.toarray(), fd.jacobian(bidiagonal, x, backend=backend))


@pytest.mark.parametrize(
    "pattern",
    [
        lambda p: p,
        lambda p: p.tolist(),
        lambda p: p.astype(float),
        lambda p: sparse.csc_array(p),
        lambda p: sparse.coo_matrix(p),
        lambda p: sparse.dia_array(p),
    ],
)
def test_patterns_that_are_given(pattern):
    x = RNG.uniform(0.5, 1.5, 7)
    entries = np.eye(7, dtype=bool) | np.eye(7, k=-1, dtype=bool)
    found = fd.jacobian(bidiagonal, x, sparsity=pattern(entries))
    assert np.array_equal(found.toarray(), fd.jacobian(bidiagonal, x))


def test_a_larger_pattern_has_zeros_among_its_entries():
    x = RNG.uniform(0.5, 1.5, 7)
    found = fd.jacobian(bidiagonal, x, sparsity=np.ones((7, 7), bool))
    assert found.nnz == 49
    assert np.array_equal(found.toarray(), fd.jacobian(bidiagonal, x))


def test_matrices_are_taken_row_by_row():
    x = RNG.uniform(0.5, 1.5, (3, 4))

    def f(x):
        return x.T * x[0, 0]

    found = fd.jacobian(f, x, sparsity="detect")
    assert np.array_equal(found.toarray(), fd.jacobian(f, x).reshape(12, 12))


def test_numbers():
    assert fd.jacobian(lambda x: np.array([x, x * x, 1.0]), 3.0, sparsity="detect").toarray().tolist() == [
        [1.0],
        [6.0],
        [0.0],
    ]
    row = fd.jacobian(lambda x: x[0] * x[2], np.array([2.0, 3.0, 5.0]), sparsity="detect")
    assert row.shape == (1, 3)
    assert row.toarray().tolist() == [[5.0, 0.0, 2.0]]
    assert row.nnz == 2


def test_constant_and_empty_results():
    x = np.ones(4)
    assert fd.jacobian(lambda x: np.ones(3), x, sparsity="detect", backend="numpy").nnz == 0
    assert fd.jacobian(lambda x: np.array([3, 4]), x, sparsity="detect", backend="numpy").shape == (2, 4)
    assert fd.hessian(lambda x: 3.0 * x[0], x, sparsity="detect").nnz == 0


def test_which_argument():
    def f(a, x):
        return a * x**2

    x = np.arange(1.0, 4.0)
    for argnum in (1, "x", -1):
        found = fd.jacobian(f, 2.0, x, argnum=argnum, sparsity="detect")
        assert np.array_equal(found.toarray(), np.diag(4.0 * x))


def test_value_and_jacobian():
    x = np.arange(1.0, 4.0)
    value, found = fd.value_and_jacobian(lambda x: x**2, x, sparsity="detect")
    assert np.array_equal(value, x**2)
    assert np.array_equal(found.toarray(), np.diag(2 * x))
    value, found = fd.value_and_jacobian(lambda x: x**2, sparsity="detect")(x)
    assert np.array_equal(value, x**2)
    assert np.array_equal(found.toarray(), np.diag(2 * x))


def test_wrapped_functions_captured_arrays_and_custom_rules():
    x, weights = np.arange(1.0, 5.0), np.array([1.0, 0.0, 2.0, 3.0])
    assert np.array_equal(
        fd.jacobian(fwddiff(lambda x: weights * x), x, sparsity="detect").toarray(), np.diag(weights)
    )
    ruled = fd.custom_rule(lambda x: x * x, frule=lambda p, t: (p[0] ** 2, 2 * p[0] * t[0]))
    assert np.allclose(fd.jacobian(ruled, x, sparsity="detect").toarray(), np.diag(2 * x))


# --- Hessians -----------------------------------------------------------------------------------------------


def rosenbrock(x):
    total = 0.0
    for k in range(len(x) - 1):
        total += 100 * (x[k + 1] - x[k] ** 2) ** 2 + (1 - x[k]) ** 2
    return total


def exact_rosenbrock(x):
    found = np.zeros((x.size, x.size))
    for k in range(x.size - 1):
        found[k, k] += 1200 * x[k] ** 2 - 400 * x[k + 1] + 2
        found[k + 1, k + 1] += 200
        found[k, k + 1] = found[k + 1, k] = -400 * x[k]
    return found


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_hessians_are_exact(backend):
    x = RNG.uniform(0.5, 1.5, 9)
    found = fd.hessian(rosenbrock, x, sparsity="detect", check=True, backend=backend)
    assert found.nnz == 9 + 16
    assert np.allclose(found.toarray(), exact_rosenbrock(x), rtol=1e-13)


def test_one_triangle_of_a_hessian_is_enough():
    x = RNG.uniform(0.5, 1.5, 9)
    band = np.eye(9, dtype=bool) | np.eye(9, k=1, dtype=bool)
    for pattern in (band, band.T, sparse.csr_array(band)):
        assert np.allclose(fd.hessian(rosenbrock, x, sparsity=pattern).toarray(), exact_rosenbrock(x))


def test_arrow():
    def f(x):
        return np.sum(np.sin(x[0] * x[1:])) + x[0] ** 3

    x = RNG.uniform(0.5, 1.5, 12)
    prepared = SparseHessian(points(f, 0, "auto", None), (x,), "detect", True)
    assert prepared.colours == 2
    assert np.allclose(prepared(x).toarray(), fd.hessian(f, x), rtol=1e-12)


def test_random_polynomials():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        terms = [tuple(rng.integers(0, 8, 3)) for _ in range(6)]
        x = rng.uniform(0.5, 1.5, 8)

        def f(x, terms=terms):
            return sum(x[i] * x[j] ** 2 * math.exp(x[k]) for i, j, k in terms)

        found = fd.hessian(f, x, sparsity="detect", check=True, backend="numpy")
        dense = fd.hessian(f, x, backend="numpy")
        assert np.allclose(found.toarray(), dense, rtol=1e-12)
        assert np.array_equal(found.toarray() != 0, dense != 0)


# --- prepared -----------------------------------------------------------------------------------------------


def prepared(f, *arguments, kind=SparseJacobian, pattern: Any = "detect", check=None, backend="auto"):
    return kind(points(f, 0, backend, None), arguments, pattern, check)


def test_prepared_calls_and_out():
    x, y = RNG.uniform(0.5, 1.5, (2, 7))
    jac = prepared(bidiagonal, x)
    assert jac.colours == 2
    first = jac(x)
    second = jac(y)
    assert np.array_equal(first.toarray(), fd.jacobian(bidiagonal, x))
    assert np.array_equal(second.toarray(), fd.jacobian(bidiagonal, y))
    assert jac(x, out=second) is second
    assert np.array_equal(second.toarray(), first.toarray())
    first.indices[:] = 0  # results are the caller's own
    assert np.array_equal(jac(x).toarray(), second.toarray())


def test_out_of_another_pattern_is_refused():
    jac = prepared(bidiagonal, np.ones(7))
    for wrong in (sparse.csr_array(np.eye(7)), np.zeros((7, 7)), jac(np.ones(7)).tocsc()):
        with pytest.raises(fd.ArgumentError, match="out="):
            jac(np.ones(7), out=wrong)


def test_other_shapes_dtypes_and_integers_are_refused():
    u = np.ones((3, 3, 2))
    jac = prepared(brusselator, u, 3)
    with pytest.raises(fd.ShapeError, match=r"\(3, 3, 2\).*\(4, 4, 2\)"):
        jac(np.ones((4, 4, 2)), 4)
    with pytest.raises(fd.ShapeError, match="float32"):
        jac(np.ones((3, 3, 2), np.float32), 3)
    with pytest.raises(fd.ArgumentError, match="integers"):
        jac(u, 2)


def test_other_strings_and_structures_are_refused():
    def f(x, how):
        return x * x if how == "square" else x[::-1] * x

    x = np.arange(1.0, 4.0)
    jac = prepared(f, x, "square", backend="numpy")
    assert np.array_equal(jac(x, "square").toarray(), np.diag(2 * x))
    with pytest.raises(fd.ArgumentError, match="other constants"):
        jac(x, "reverse")
    again = fd.jacobian(f, sparsity="detect", backend="numpy")
    for how in ("square", "reverse", "square"):
        assert np.array_equal(again(x, how).toarray(), fd.jacobian(f, x, how, backend="numpy"))


def test_captured_values_may_change():
    weights = np.array([1.0, 2.0, 3.0])
    jac = fd.jacobian(lambda x: weights * x, sparsity="detect")
    assert np.array_equal(jac(np.ones(3)).toarray(), np.diag(weights))
    weights[:] = [5.0, 6.0, 7.0]
    assert np.array_equal(jac(np.ones(3)).toarray(), np.diag(weights))


def test_captured_zeros_are_watched():
    matrix = np.eye(3)
    jac = prepared(lambda x: matrix @ x, np.ones(3))
    assert jac.pattern.nnz == 3
    matrix[0, 1] = 4.0
    with pytest.raises(fd.SparsityError, match="were zero"):
        jac(np.ones(3))


def test_several_threads_share_what_is_prepared():
    from concurrent.futures import ThreadPoolExecutor

    jac = prepared(bidiagonal, np.ones(40))
    points = RNG.uniform(0.5, 1.5, (32, 40))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: jac(x).toarray(), points))
    for x, dense in zip(points, found, strict=True):
        assert np.array_equal(dense, fd.jacobian(bidiagonal, x))


def test_a_curried_operator_prepares_itself_anew():
    jac = fd.jacobian(bidiagonal, sparsity="detect")
    for n in (4, 6, 6, 4):
        x = RNG.uniform(0.5, 1.5, n)
        assert np.array_equal(jac(x).toarray(), fd.jacobian(bidiagonal, x))


# --- patterns that do not hold ------------------------------------------------------------------------------


def test_a_missing_entry_is_found_and_its_rows_named():
    x = RNG.uniform(0.5, 1.5, 7)
    entries = np.eye(7, dtype=bool) | np.eye(7, k=-1, dtype=bool)
    entries[3, 2] = entries[5, 5] = False
    with pytest.raises(fd.SparsityError, match="misses entries in 2 of 7 rows: 3, 5"):
        fd.jacobian(bidiagonal, x, sparsity=entries)
    with pytest.raises(fd.SparsityError, match="rows: 3, 5"):
        fd.jacobian(bidiagonal, x, sparsity=entries, check=True)
    # Who asks for it gets what the pattern has.
    kept = fd.jacobian(bidiagonal, x, sparsity=np.eye(7, dtype=bool), check=False)
    assert kept.nnz == 7


def test_a_missing_entry_of_a_hessian_is_found():
    with pytest.raises(fd.SparsityError, match="hessian of rosenbrock misses entries in 5 of 5 rows"):
        fd.hessian(rosenbrock, RNG.uniform(0.5, 1.5, 5), sparsity=np.eye(5, dtype=bool))


def branching(x):
    out = np.zeros_like(x)
    for k in range(len(x)):
        out[k] = x[k] ** 2 if x[0] > 1.0 else x[k] * x[k - 1]
    return out


def test_another_branch_is_an_error_and_no_wrong_number():
    jac = prepared(branching, np.full(5, 2.0))
    assert jac.pattern.nnz == 5
    assert np.array_equal(jac(np.full(5, 3.0)).toarray(), np.eye(5) * 6.0)
    with pytest.raises(fd.SparsityError, match=r"other branches were taken \(branching, line \d+\)"):
        jac(np.full(5, 0.5))
    # A function of the point finds the pattern again.
    again = fd.jacobian(branching, sparsity="detect")
    for x in (np.full(5, 2.0), np.full(5, 0.5)):
        assert np.array_equal(again(x).toarray(), fd.jacobian(branching, x))


def test_constants_that_were_zero_are_watched():
    def f(x, matrix):
        return matrix @ x

    x = np.arange(1.0, 4.0)
    jac = prepared(f, x, np.eye(3))
    assert jac.pattern.nnz == 3
    assert np.array_equal(jac(x, np.eye(3) * 5).toarray(), np.eye(3) * 5)
    with pytest.raises(fd.SparsityError, match="constants of f were zero"):
        jac(x, np.ones((3, 3)))


def test_undefined_derivatives_are_not_taken_for_missing_ones():
    x = np.array([0.0, 1.0, 4.0])
    found = fd.jacobian(lambda x: np.sqrt(x) + x[::-1], x, sparsity="detect", check=True)
    assert np.array_equal(found.toarray(), fd.jacobian(lambda x: np.sqrt(x) + x[::-1], x))
    assert np.isinf(found.toarray()[0, 0])


# --- what is refused ----------------------------------------------------------------------------------------


def test_what_is_no_pattern():
    x = np.ones(3)
    with pytest.raises(fd.ArgumentError, match='"detect"'):
        fd.jacobian(bidiagonal, x, sparsity="dense")
    with pytest.raises(fd.ArgumentError, match="no pattern"):
        fd.jacobian(bidiagonal, x, sparsity=3)
    with pytest.raises(fd.ShapeError, match=r"\(2, 3\).*\(3, 3\)"):
        fd.jacobian(bidiagonal, x, sparsity=np.ones((2, 3), bool))


def test_functions_that_have_no_sparse_derivative():
    x = np.ones(3)
    with pytest.raises(fd.ArgumentError, match="one float array"):
        fd.jacobian(lambda x: (x, x), x, sparsity="detect")
    with pytest.raises(fd.ArgumentError, match="one number"):
        fd.hessian(bidiagonal, x, sparsity="detect")
    with pytest.raises(fd.ArgumentError, match="broadcast"):
        fd.jacobian(fwddiff(lambda x: x * x).broadcast, x, sparsity="detect")


def test_without_scipy_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(fd.FwdDiffError, match=r"fwddiff\[scipy\]"):
        fd.jacobian(bidiagonal, np.ones(3), sparsity="detect")


def test_no_dual_numbers_in_sparse_arrays():
    def outer(a):
        return fd.jacobian(lambda x: a * x, np.ones(3), sparsity="detect").sum()

    with pytest.raises(fd.ArgumentError, match="another derivative"):
        fd.derivative(outer, 2.0, backend="numpy")


def test_several_arguments():
    def product(a, b):
        return a[:-1] * b[1:] ** 2

    a, b = np.array([1.0, 2.0, 3.0]), np.array([0.5, -1.0, 4.0])
    dense = fd.jacobian(product, a, b, argnum=(0, 1))
    sparse = fd.jacobian(product, a, b, argnum=(0, "b"), sparsity="detect")
    assert [part.nnz for part in sparse] == [2, 2]
    prepared = fd.prepare(fd.value_and_jacobian, product, a, b, argnum=(0, 1), sparsity="detect")
    room = prepared(2 * a, b)[1]
    value, again = prepared(a, b, out=room)
    np.testing.assert_array_equal(value, product(a, b))
    assert all(one is other for one, other in zip(again, room, strict=True))
    patterns = tuple(part != 0 for part in dense)
    for found in (sparse, again, fd.jacobian(product, a, b, argnum=(0, 1), sparsity=patterns)):
        for part, expected in zip(found, dense, strict=True):
            np.testing.assert_allclose(part.toarray(), expected, rtol=1e-15)
    with pytest.raises(fd.ArgumentError, match="a tuple of 2 patterns"):
        fd.jacobian(product, a, b, argnum=(0, 1), sparsity=patterns[0])
    with pytest.raises(fd.ArgumentError, match="put them into one array"):
        fd.hessian(lambda a, b: np.sum(a * b), a, b, argnum=(0, 1), sparsity="detect")
    with pytest.raises(fd.ArgumentError, match="chooses no argument"):
        fd.jacobian(product, a, b, argnum=(), sparsity="detect")
