"""NumPy functions on arrays of duals: against central differences of the same function on plain arrays."""

import numpy as np
import pytest

from dual.differentiate import derivative, jacobian, numerical_jacobian
from fwddiff import dual

X = np.array([[0.7, -1.2, 0.4], [1.9, 0.3, -0.8]])
SQUARE = np.array([[2.0, 0.3, -0.1], [0.2, 1.5, 0.4], [-0.3, 0.1, 1.8]])
W = np.array([[0.2, 1.1], [-0.6, 0.9], [1.3, -0.4]])

FUNCTIONS = {
    "sum": lambda x: np.sum(x),
    "sum axis": lambda x: np.sum(x * x, axis=0, keepdims=True),
    "sum initial": lambda x: np.sum(x, axis=1, initial=2.0),
    "mean": lambda x: np.mean(x**2, axis=1),
    "prod": lambda x: np.prod(x),
    "prod axis": lambda x: np.prod(x, axis=1, keepdims=True),
    "max": lambda x: np.max(x, axis=0),
    "min": lambda x: np.min(x),
    "amax": lambda x: np.amax(x, axis=(0, 1), keepdims=True),
    "amin": lambda x: np.amin(x, axis=-1),
    "max initial": lambda x: np.max(x, axis=1, initial=1.0),
    "var": lambda x: np.var(x, axis=1, ddof=1),
    "var by position": lambda x: np.var(x, 0, None, None, 1),
    "std": lambda x: np.std(x, keepdims=True),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=1),
    "cumprod flat": lambda x: np.cumprod(x),
    "dot": lambda x: np.dot(x, W),
    "dot with itself": lambda x: np.dot(x.T, x),
    "matmul": lambda x: x @ W @ x,
    "matmul from the left": lambda x: W.tolist() @ x,
    "np.matmul": lambda x: np.matmul(W, x),
    "outer": lambda x: np.outer(x[0], x[1]),
    "inner": lambda x: np.inner(x, x[1]),
    "tensordot": lambda x: np.tensordot(x, W, axes=([1], [0])),
    "kron": lambda x: np.kron(x, W),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "einsum of three": lambda x: np.einsum("ij,jk,lj->ikl", x, W, x),
    "where": lambda x: np.where(x > 0, x**2, 3 * x),
    "where scalar": lambda x: np.where([[True], [False]], x, 0.0),
    "maximum": lambda x: np.maximum(x, 0.35),
    "minimum": lambda x: np.minimum(x[0], x[1]),
    "clip": lambda x: np.clip(x, -1.0, 1.0) * x,
    "clip one side": lambda x: x.clip(None, 0.5),
    "concatenate": lambda x: np.concatenate([x, np.ones((1, 3)), x * x], axis=0),
    "stack": lambda x: np.stack([x, 2 * x], axis=-1),
    "stack of numbers": lambda x: np.stack([x[0, 0], 1.0, x[1, 2] ** 2]),
    "hstack": lambda x: np.hstack([x, x[:, :1]]),
    "split": lambda x: np.split(x, 3, axis=1)[1] * 2,
    "reshape": lambda x: x.reshape(3, 2) @ x,
    "reshape tuple": lambda x: np.reshape(x, (-1,)),
    "ravel": lambda x: x.T.ravel(),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: np.transpose(x) * 2,
    "transpose axes": lambda x: x.transpose(1, 0),
    "squeeze": lambda x: np.squeeze(x[:1]),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "trace": lambda x: np.trace(x @ W),
    "diag": lambda x: np.diag(x[0]),
    "norm": lambda x: np.linalg.norm(x),
    "norm of vectors": lambda x: np.linalg.norm(x, axis=1),
    "norm 1": lambda x: np.linalg.norm(x[0], 1),
    "norm 3": lambda x: np.linalg.norm(x[0], 3),
    "norm inf": lambda x: np.linalg.norm(x[0], np.inf),
    "sort": lambda x: np.sort(x, axis=1) * [1.0, 2.0, 3.0],
    "sort all": lambda x: np.sort(x, axis=None),
    "solve": lambda x: np.linalg.solve(SQUARE + np.diag(x[0]), x.T),
    "inv": lambda x: np.linalg.inv(SQUARE + np.outer(x[0], x[1])),
    "add.reduce": lambda x: np.add.reduce(x * x),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=1),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=1),
    "minimum.reduce": lambda x: np.minimum.reduce(x),
    "multiply.outer": lambda x: np.multiply.outer(x[0], x[1]),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "sinc": lambda x: np.sinc(x),
    "divmod": lambda x: np.divmod(x, 0.5)[1] * x,
    "modf": lambda x: np.modf(x)[0] * x,
    "atleast_2d": lambda x: np.atleast_2d(x[0]),
    "roll": lambda x: np.roll(x, 1) * x,
    "take": lambda x: np.take(x, [2, 0], axis=1),
    "index": lambda x: x[1, ::-1],
    "index arrays": lambda x: x[[0, 1, 1], [2, 0, 0]],
    "index mask": lambda x: x[X > 0] ** 2,
    "newaxis": lambda x: x[:, None, :] * x[None],
    "iteration": lambda x: np.stack([np.prod(row) for row in x]),
    "column broadcast": lambda x: x * x[:, :1] + x[0],
    "round": lambda x: np.round(x, 1) * x,
    "fix": lambda x: np.fix(x) * x,
    "methods": lambda x: x.sum(axis=0).max() * x.mean() + x.prod(axis=1).min() + x.dot(W).trace() + x.var(),
    "astype": lambda x: x.astype(float) * x,
    "full_like": lambda x: np.full_like(x, 2.0) * x + np.ones_like(x) * x,
    "full_like of a dual": lambda x: np.full_like(x, x[0, 1]) * x,
    "float64 first": lambda x: np.float64(3.0) * x,
    "array first": lambda x: X - x / X,
    "item": lambda x: x[0].item(1) * x,
    "argmax": lambda x: x[np.argmax(x, axis=0), [0, 1, 2]],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_central_differences(name):
    f = FUNCTIONS[name]
    plain, found = f(X), f(dual.make(X, [np.ones_like(X)], 0))
    assert found.shape == np.shape(plain)
    np.testing.assert_allclose(found.value, plain, rtol=1e-14)
    np.testing.assert_allclose(jacobian(f, X), numerical_jacobian(f, X), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_derivatives_against_differences_of_first(name):
    f = FUNCTIONS[name]

    def first(x):
        return jacobian(f, x)

    np.testing.assert_allclose(jacobian(first, X), numerical_jacobian(first, X), rtol=1e-6, atol=1e-7)


def test_products_with_zeros_are_exact():
    np.testing.assert_array_equal(jacobian(np.prod, np.array([2.0, 0.0, 5.0])), [0.0, 10.0, 0.0])
    np.testing.assert_array_equal(jacobian(np.prod, np.array([0.0, 0.0, 5.0])), [0.0, 0.0, 0.0])


def test_results_without_derivative_are_plain():
    x = dual.make(X, [np.ones_like(X)], 0)
    for found, expected in [
        (x > 0, X > 0), (np.isnan(x), np.isnan(X)), (np.isfinite(x), np.isfinite(X)), (np.any(x), True),
        (np.argmax(x), 3), (x.argmin(axis=1), [1, 2]), (np.argsort(x[0]), [1, 2, 0]), (np.shape(x), (2, 3)),
        (np.ndim(x), 2), (x.all(), True), (np.less(1.0, x), X > 1), (x.size, 6), (len(x), 2), (x.dtype,
        np.float64),
        (np.logical_and.reduce(x > 9), [False] * 3),
    ]:  # fmt: skip
        assert not isinstance(found, dual.Dual)
        np.testing.assert_array_equal(found, expected)


def test_selection_does_not_mix_in_nan():
    x = np.array([0.0, 4.0])
    with np.errstate(all="ignore"):
        safe = derivative(lambda t: np.where(t > 0, t * np.log(t), 0.0), x)
        larger = derivative(lambda t: np.maximum(np.log(t - 1), 2 * t), np.array([1.0, 1.0]))
        scalar = derivative(lambda t: np.maximum(np.sqrt(t) * t, t + 1), 0.0)
    np.testing.assert_allclose(safe, [0.0, np.log(4.0) + 1])
    np.testing.assert_array_equal(larger, [2.0, 2.0])
    assert scalar == 1.0


def test_where_helper_picks_by_scalar_and_by_element():
    x = dual.make(np.array([1.0, 2.0]), [np.array([np.nan, 1.0])], 0)
    assert dual.where(True, 3.0, x) == 3.0
    picked = dual.where(np.array([False, True]), x, 0)
    assert picked.partials[0].tolist() == [0.0, 1.0]


# --- assignment -------------------------------------------------------------------------------------------


def test_buffers_hold_derivatives():
    def f(x):
        buffer = np.zeros_like(x)
        buffer[0] = x[1] ** 2
        buffer[1:] = x[:-1] * 3.0
        buffer[2] += x[0]
        buffer[np.array([True, False, False])] *= 2.0
        return buffer

    x = np.array([0.5, 1.5, 2.5])
    np.testing.assert_array_equal(jacobian(f, x), [[0, 6, 0], [3, 0, 0], [1, 3, 0]])


def test_a_constant_clears_the_partials():
    def f(x):
        y = x * 1.0
        y[0] = 7.0
        y[1:2] = [x[0]]
        return y

    np.testing.assert_array_equal(jacobian(f, np.ones(3)), [[0, 0, 0], [1, 0, 0], [0, 0, 1]])


def test_views_write_through_and_copies_do_not():
    x = dual.make(X.copy(), [X + 1], 0)
    x.T[0] = 0.0
    x.reshape(6)[5] = 9.0
    x.copy()[...] = 5.0
    x.flatten()[...] = 5.0
    assert x.value.tolist() == [[0.0, -1.2, 0.4], [0.0, 0.3, 9.0]]
    np.testing.assert_allclose(x.partials[0], [[0, -0.2, 1.4], [0, 1.3, 0]], atol=1e-15)


def test_value_and_partials_of_mixed_memory_order_stay_together():
    x = dual.make(np.asfortranarray(X), [X], 0)
    flat = x.reshape(6)
    flat[0] = 100.0
    assert (x.value[0, 0] == 100.0) == (x.partials[0][0, 0] == 0.0)


def test_results_never_share_memory_with_arguments():
    x = dual.make(X.copy(), [np.ones_like(X)], 0)
    for y in (x + 0.0, +x, x * 1, x - 0, np.where(x > -9, x, 0.0), np.maximum(x, -9.0)):
        assert not np.shares_memory(x.value, y.value)
        assert not np.shares_memory(x.partials[0], y.partials[0])


def test_out_may_be_an_array_of_duals():
    x = dual.make(X, [np.ones_like(X)], 0)
    out = np.zeros_like(x)
    assert np.multiply(x, x, out=out) is out
    np.testing.assert_array_equal(out.partials[0], 2 * X)


# --- dtypes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [
    lambda x: x * 2.0, lambda x: 1 / (x + 3), lambda x: np.sin(x) ** 2, lambda x: x**2,
    lambda x: np.where(x > 0, x, 0.0),
    lambda x: x * np.float32(2), lambda x: np.mean(x, axis=0), lambda x: np.stack([x[0, 0], x[0, 1]]),
    lambda x: np.linalg.norm(x), lambda x: x[0, 0] * 0.5, lambda x: np.prod(x), lambda x: x @ W.astype("f"),
    np.ones_like,
    lambda x: np.max(x), lambda x: x.sum() / 3, lambda x: np.clip(x, 0.0, 1.0), lambda x: np.var(x),
])  # fmt: skip
def test_float32_stays(f):
    x = dual.make(X.astype(np.float32), [np.ones((2, 3)), 0], 0)
    found = f(dual.make(x, [x * 2.0], 1))
    for part in (found, found.value, *found.partials, *found.value.partials, *found.partials[0].partials):
        assert np.asarray(dual.strip(part)).dtype == np.float32


def test_python_numbers_are_weak():
    number, array = dual.make(2.0, [1.0], 0), np.ones(3, np.float32)
    assert (number * array).dtype == (number * array).partials[0].dtype == np.float32
    assert (np.float64(2.0) * dual.make(array, [array], 0)).dtype == np.float64
    assert type((number * 3).value) is float
    assert dual.make(array, [array], 0).astype(float).dtype == np.float64


def test_integers_become_floats():
    x = dual.make(np.arange(3), [1], 0)
    assert x.dtype == np.float64
    assert x.partials[0].tolist() == [1.0, 1.0, 1.0]
    assert dual.make(3, [1], 0).value == 3.0


def test_partials_take_the_shape_of_the_value():
    x = dual.make(np.ones((2, 3)), [1.0, np.arange(3), 0], 0)
    assert [p.shape for p in x.partials] == [(2, 3)] * 3
    assert (dual.make(1.0, [2.0], 0) + X).partials[0].shape == X.shape
