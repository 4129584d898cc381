"""Patterns found by tracing, against the entries of dense Jacobians and Hessians that are not zero."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fwddiff as fd
from fwddiff import fwddiff
from fwddiff._operators._sparse import points
from fwddiff.sparsity import detect

pytest.importorskip("scipy")
X = np.random.default_rng(0).uniform(0.5, 1.5, 6)
MATRIX = np.triu(np.tril(np.arange(1.0, 37).reshape(6, 6), 1), -1)


def found(f, x, *constants, second=False, backend="numpy"):
    """The pattern as a boolean array, and what was found."""
    at = points(f, 0, backend, None)(x, *constants)
    pattern = detect(at.rule, at.leaves, at.inputs[0], second)
    rows = np.size(x) if second else np.size(at.results()[0])
    dense = np.zeros((rows, np.size(x)), bool)
    dense[pattern.rows, pattern.columns] = True
    return dense, pattern


def entries(f, x, *constants, backend="numpy"):
    """Where the dense Jacobian has entries, at several points."""
    rng, total = np.random.default_rng(1), 0.0
    for _ in range(3):
        point = x * rng.uniform(0.9, 1.1, np.shape(x))
        total = total + np.abs(fd.jacobian(f, point, *constants, backend=backend))
    return np.reshape(total, (-1, np.size(x))) > 1e-12


def entries_of_hessian(f, x, backend="numpy"):
    return np.abs(fd.hessian(f, x, backend=backend)).reshape(np.size(x), np.size(x)) > 1e-12


# Functions of six numbers whose patterns are exactly what their derivatives are.
EXACT = {
    "elementwise": lambda x: np.sin(x) * x + 1.0,
    "neighbours": lambda x: x[1:] * x[:-1] - 2.0 * x[1:],
    "roll": lambda x: np.roll(x, 1) - 2 * x + np.roll(x, -1),
    "reshape": lambda x: x.reshape(2, 3).T.ravel() ** 2,
    "sum along an axis": lambda x: np.sum(x.reshape(2, 3), axis=1),
    "method": lambda x: x.reshape(2, 3).mean(axis=0, keepdims=True),
    "product": lambda x: np.prod(x.reshape(2, 3), axis=0),
    "maximum": lambda x: np.max(x[:1] * x.reshape(2, 3)[:, :1], axis=1),
    "matrix": lambda x: MATRIX @ x,
    "matrices": lambda x: (x.reshape(2, 3) @ x.reshape(3, 2)).ravel(),
    "dot": lambda x: np.dot(x[:3], x[3:]),
    "outer": lambda x: np.outer(x[:2], x[2:4]),
    "einsum": lambda x: np.einsum("ij,ij->i", x.reshape(2, 3), x.reshape(2, 3)),
    "cumsum": lambda x: np.cumsum(x),
    "cumprod": lambda x: np.cumprod(x),
    "diff": lambda x: np.diff(x, 2),
    "concatenate": lambda x: np.concatenate([x[:2], np.ones(2), x[2:] * 2]),
    "stack": lambda x: np.stack([x[:3], x[3:]], axis=1),
    "nested lists": lambda x: np.array([[x[0], 1.0], [2.0, x[1] * x[2]]]),
    "split": lambda x: np.split(x, 3)[1] * np.split(x, 2)[0][1],
    "triangle": lambda x: np.tril(np.outer(x, x[:1])),
    "diagonal": lambda x: np.diag(x)[:, 2],
    "where": lambda x: np.where(x > 100.0, x[::-1], x) + np.where(x < 100.0, x[::-1], x),
    "clip": lambda x: np.clip(x, 0.0, 10.0),
    "interp": lambda x: np.interp(x, np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 1.0])),
    "norm": lambda x: np.linalg.norm(x.reshape(3, 2), axis=1),
    "variance": lambda x: np.var(x[:4].reshape(2, 2), axis=1),
    "steps": lambda x: np.floor(x) + np.sign(x) * x[0],
    "sort": lambda x: np.sort(x)[:0],
    "divmod": lambda x: np.divmod(x, 0.3)[1],
    "power": lambda x: x**2 + 2.0 ** x[::-1],
    "abs": lambda x: abs(x - 1.0),
    "convolve": lambda x: np.convolve(x, np.array([1.0, 2.0, 1.0]), mode="valid"),
    "take": lambda x: np.take(x, np.array([1, 1, 4])) * x[np.array([0, 2, 3])],
    "kron": lambda x: np.kron(x[:2], x[2:4]),
    "trace": lambda x: np.trace(np.outer(x[:3], x[3:])),
    "logaddexp": lambda x: np.logaddexp(x[:3], x[3:]),
    "reduce": lambda x: np.add.reduce(x.reshape(2, 3), axis=0),
    "constant": lambda x: np.ones(3),
    "some constant": lambda x: np.stack([x[0], np.float64(1.0), x[1]]),
    "triangle of products": lambda x: np.triu(np.ones((6, 6))) @ x,
    "nothing": lambda x: x[:0],
}


@pytest.mark.parametrize("name", EXACT)
def test_patterns_are_those_of_the_derivatives(name):
    pattern, _ = found(EXACT[name], X)
    assert np.array_equal(pattern, entries(EXACT[name], X))


# Patterns may have more entries where NumPy does not take objects: none may be missing.
COVERED = {
    "solve": lambda x: np.linalg.solve(np.diag(x[:3]) + np.ones((3, 3)), x[3:]),
    "inverse": lambda x: np.linalg.inv(x[:4].reshape(2, 2) + np.eye(2) * 3),
    "determinant": lambda x: np.linalg.det(x[:4].reshape(2, 2)) * x[4:],
    "cross": lambda x: np.cross(x[:3], x[3:]),
    "rounded": lambda x: np.round(x) * x,
    "quotient": lambda x: (x // 0.3) * x[::-1],
}


@pytest.mark.parametrize("name", COVERED)
def test_patterns_cover_the_derivatives(name):
    pattern, _ = found(COVERED[name], X)
    assert np.all(pattern[entries(COVERED[name], X)])


def loop(x):
    out = np.zeros(len(x))
    for k in range(1, len(x) - 1):
        out[k] += x[k - 1] * x[k + 1]
        out[k] -= math.exp(-x[k])
    return out


def copies(x):
    y = x.copy()
    y[0] *= y[1]
    y[2:4] += np.sqrt(y[4:])
    return y


def two_dimensions(x):
    n = 3
    u, out = x.reshape(2, n), np.empty((2, n))
    for i in range(2):
        for j in range(n):
            out[i, j] = u[i, j] ** 2 if j == 0 else u[i, j] * u[i, j - 1]
    return out


def summed(x):
    total = 0.0
    for k in range(len(x) - 1):
        total += (x[k + 1] - x[k] ** 2) ** 2
    return np.array([total, x[0]])


def by_math(x):
    return np.array([math.hypot(x[0], x[1]), math.log(x[2], 2.0), math.fsum([x[3], x[4]]), float(x[5])])


def masked(x):
    y = np.zeros_like(x)
    y[::2] = x[::2]
    y[[1, 3]] = x[:2]
    return y


def buffers(x):
    out = np.empty_like(x)
    np.multiply(x, x[::-1], out=out)
    return out


def last(x):
    y = x[0]
    for k in range(1, 6):
        y = math.tanh(y * x[k]) if k < 3 else y
    return np.array([y, x[4]])


def views(x):
    y = x.copy()
    rows = y.reshape(2, 3)
    rows[0, 1:] = x[4:]
    rows.T[2, 1] *= x[0]
    first, *_ = np.split(y, 2)
    first[0] += x[5]
    return y


LOOPS = (views, loop, copies, two_dimensions, summed, by_math, masked, buffers, last)


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_loops_over_elements_and_buffers(f):
    pattern, known = found(f, X)
    assert known.branch is None
    assert np.array_equal(pattern, entries(f, X))


@pytest.mark.parametrize("f", [loop], ids=lambda f: f.__name__)
def test_both_engines_have_one_pattern(f):
    assert np.array_equal(found(f, X, backend="numba")[0], found(f, X, backend="numpy")[0])


def test_what_the_engines_do_not_take_is_traced_all_the_same():
    def f(x):
        y = np.zeros_like(x[:3])
        np.add.at(y, [0, 0, 2], x[1:4])
        np.fill_diagonal(y.reshape(1, 3), x[5])
        return y + np.logaddexp.reduce(x[4:5])

    pattern, _ = found(f, X)
    assert np.argwhere(pattern).tolist() == [[0, 4], [0, 5], [1, 4], [2, 3], [2, 4]]


# --- second derivatives -------------------------------------------------------------------------------------

SCALARS = {
    "squares": lambda x: np.sum(x**2),
    "linear": lambda x: np.sum(3.0 * x) + x[0] - np.max(x),
    "products": lambda x: np.sum(x[1:] * x[:-1]),
    "rosenbrock": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "quotient": lambda x: x[0] / x[1] + x[2] / 3.0 + 2.0 / x[3],
    "of a sum": lambda x: np.exp(np.sum(x[:3])) + x[4],
    "steps and signs": lambda x: np.sum(abs(x) * x[0]) + np.floor(x[1]) * x[2],
    "chosen": lambda x: (
        np.where(x[0] > 100.0, x[1] * x[2], x[3] * x[4]) + np.where(x[0] < 100.0, x[1] * x[2], 0.0)
    ),
    "dropped": lambda x: x[0] * x[1] * 0.0 + x[2] ** 2 + 0.0 * np.sum(np.sin(x)),
    "unused": lambda x: (np.sin(x[3]) * x[4], x[0] * x[1])[1],
    "product": lambda x: x[0] * x[1] * x[2],
    "matrix": lambda x: x @ MATRIX @ x,
    "norm": lambda x: np.sqrt(x[0] * x[0] + x[1] * x[1]),
    "remainder": lambda x: np.sum(np.fmod(x, 0.3)) + x[0] % x[1],
    "constant": lambda x: 1.0 + 0.0 * x[0],
}


@pytest.mark.parametrize("name", SCALARS)
def test_patterns_are_those_of_second_derivatives(name):
    f = SCALARS[name]
    pattern, _ = found(f, X, second=True)
    assert np.array_equal(pattern, entries_of_hessian(f, X))


@pytest.mark.parametrize("f", [lambda x: np.var(x[:3]), lambda x: np.prod(x[:3]), lambda x: summed(x)[0]])
def test_patterns_cover_second_derivatives(f):
    pattern, _ = found(f, X, second=True)
    assert np.all(pattern[entries_of_hessian(f, X)])


# --- what depends on values ---------------------------------------------------------------------------------


def branching(x):
    return x * x[0] if x[1] > 1.0 else x * x[2]


@pytest.mark.parametrize(
    "f",
    [
        branching,
        lambda x: x[np.argmax(x)] * x,
        lambda x: x[: int(x[0] * 3)],
        lambda x: x[x > 0.0],
        lambda x: x * math.floor(x[0]) if np.any(x > 3.0) else x,
        lambda x: np.sort(x),
        lambda x: x * max(x[0], x[1]),
        lambda x: np.array([x[round(x[0])]]),
    ],
    ids=["if", "argmax", "int", "mask", "any", "sort", "max", "round"],
)
def test_what_values_decide_is_told(f):
    pattern, known = found(f, X)
    assert known.branch is not None
    assert "line" in known.branch
    assert np.all(pattern[np.abs(fd.jacobian(f, X, backend="numpy")).reshape(-1, 6) > 0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.maximum(x, 1.0),
        lambda x: np.where(x > 1.0, x, 0.0),
        lambda x: x * (x > 1.0),
        lambda x: np.minimum(x, x[::-1]),
        lambda x: np.abs(x),
        lambda x: np.max(x) * np.isnan(x),
    ],
)
def test_elementwise_choices_hold_everywhere(f):
    assert found(f, X)[1].branch is None


def scaled(x, matrix, factor):
    return (matrix * 2.0) @ x + factor * x


def test_zeros_of_constants_stay_out_and_are_told():
    pattern, known = found(scaled, X, MATRIX, 1.0)
    assert np.array_equal(pattern, MATRIX != 0)
    assert known.zeros_used


def test_zeros_that_are_computed_from_constants_do_not_count():
    # 1 - factor is zero for this factor alone.
    pattern, known = found(lambda x, factor: (1.0 - factor) * x + x[0], X, 1.0)
    assert np.all(np.diag(pattern))
    assert not known.zeros_used


def test_a_step_that_is_zero_here_does_not_count():
    for step in (
        np.floor,
        lambda x: x // 2.0,
        lambda x: (x > 0.9) * 1.0,
        lambda x: np.where(x > 0.9, 1.0, 0.0),
    ):
        pattern, _ = found(lambda x, step=step: step(x[0]) * x, X * 0.5)
        assert np.all(np.diag(pattern))
        pattern, _ = found(lambda x, step=step: step(x) * x[::-1], X * 0.5)
        assert np.all(np.diag(pattern[::-1]))


# --- functions with derivatives of their own ----------------------------------------------------------------


def test_custom_rules_depend_on_all_they_got():
    def straight_through(x):
        return np.floor(x)

    ruled = fd.custom_rule(straight_through, frule=lambda p, t: (np.floor(p[0]), t[0]))
    pattern, _ = found(lambda x: ruled(x[:2]) * x[2:4], X)
    expected = np.zeros((2, 6), bool)
    expected[:, :2] = True
    expected[[0, 1], [2, 3]] = True
    assert np.array_equal(pattern, expected)


def test_custom_rules_may_return_structures():
    def pair(x):
        return {"a": x * 2.0, "b": 1.0}

    ruled = fd.custom_rule(pair, frule=lambda p, t: (pair(p[0]), {"a": t[0] * 2.0, "b": 0.0}))
    pattern, _ = found(lambda x: ruled(x[0])["a"] + x[1:3], X)
    assert np.argwhere(pattern).tolist() == [[0, 0], [0, 1], [1, 0], [1, 2]]


def test_functions_that_are_handed_over_may_refer_to_what_is_traced():
    pattern, _ = found(lambda x: np.apply_along_axis(lambda row: row * x[5], 0, x[:2]), X)
    assert np.argwhere(pattern).tolist() == [[0, 0], [0, 5], [1, 1], [1, 5]]
    # NumPy has no eigenvalues of objects, so that the function gets plain numbers.
    values = np.linalg.eigvalsh
    pattern, _ = found(
        lambda x: np.apply_along_axis(lambda row: values(np.outer(row, row)) * x[5], 0, x[:2]), X
    )
    assert np.argwhere(pattern).tolist() == [[i, j] for i in range(2) for j in (0, 1, 5)]


def test_vectorized_functions_are_traced_through():
    pattern, _ = found(lambda x: np.vectorize(lambda a, b: a * b)(x[:2], x[2:4]), X)
    assert np.argwhere(pattern).tolist() == [[0, 0], [0, 2], [1, 1], [1, 3]]


def test_added_rows_are_read():
    def cubed(a, b):
        return math.floor(a) * 0.0 + b**3

    fd.scalar_rule(cubed, "1", "3*b*b")
    pattern, _ = found(lambda x: cubed(x[0], x[1]), X)
    assert pattern.tolist() == [[True, True, False, False, False, False]]
    pattern, _ = found(lambda x: cubed(x[0], x[1]), X, second=True)
    assert np.argwhere(pattern).tolist() == [[1, 1]]


def test_wrapped_functions_are_traced_through():
    inner = fwddiff(lambda a, b: a * b)
    pattern, _ = found(lambda x: np.array([inner(x[0], x[1]), x[2]]), X)
    assert np.argwhere(pattern).tolist() == [[0, 0], [0, 1], [1, 2]]


def test_what_cannot_be_traced_is_told():
    grid = np.zeros(6).tolist()

    def stores(x):
        import array

        return np.asarray(array.array("d", [x[0]])) + grid[0]

    with pytest.raises(fd.SparsityError, match=r"cannot be traced.*sparsity="):
        found(stores, X)


def test_errors_of_the_function_are_kept():
    def fails(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fd.jacobian(fails, X, sparsity="detect", backend="numpy")


def test_cached_helpers_are_refused():
    import functools

    cached = functools.cache(lambda x: 2.0 * x)
    with pytest.raises(fd.SparsityError, match="cached function"):
        found(lambda x: np.array([cached(x[0]), cached(x[1])]), np.ones(2))


def test_long_sums_take_linear_time():
    def total(x):
        s = 0.0
        for k in range(len(x)):
            s += x[k]
        return s

    pattern, _ = found(total, np.ones(20_000))
    assert pattern.all()


@pytest.mark.parametrize("name", ["erf", "gammaln", "expit", "ndtr", "betainc", "xlogy"])
@pytest.mark.every(3)
def test_special_functions_depend_on_their_elements_alone(name):
    special = pytest.importorskip("scipy.special")
    functions = {
        **{name: getattr(special, name) for name in ("erf", "gammaln", "expit", "ndtr")},
        "betainc": lambda x: special.betainc(x, 2.0, 0.3),
        "xlogy": lambda x: special.xlogy(x, x),
    }
    f, x = functions[name], np.linspace(0.2, 0.8, 4)
    found = fd.jacobian(lambda x: f(x) * x, x, sparsity="detect", backend="numpy")
    assert found.nnz == 4
    dense = fd.jacobian(lambda x: f(x) * x, x, backend="numpy")
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12)
    both = fd.hessian(lambda x: np.sum(f(x) * x), x, sparsity="detect", backend="numpy")
    np.testing.assert_allclose(
        both.diagonal(), np.diag(fd.hessian(lambda x: np.sum(f(x) * x), x, backend="numpy"))
    )
