"""NumPy's functions that choose, place and join elements, and its functions of lists of numbers, in Python,
against central differences of the plain functions: first and second order."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

import fwddiff as fd

V = np.array([0.3, 0.8, 1.1, 0.45])
PLACES = np.array([0, 1, 1, 0])

FUNCTIONS = [
    lambda v: np.sum([v[0] * v[1], v[2] ** 2]) * v[3],
    lambda v: np.sum([t * t for t in v]),
    lambda v: np.mean((v[0], v[1] * v[0])) ** 2,
    lambda v: np.linalg.norm([v[0] - v[1], 2 * v[2]]),
    lambda v: np.max([v[0], v[1] * v[2]]) ** 2,
    lambda v: np.dot([v[0], v[1]], [v[1], 2.0]),
    lambda v: np.linalg.solve([[v[0] + 3, v[1]], [1.0, 2 * v[2]]], [1.0, v[3]]),
    lambda v: np.cumsum([v, v * v], axis=0),
    lambda v: np.sum(a=v * v),
    lambda v: np.partition(v**2, 1),
    lambda v: np.unique(v) ** 2,
    lambda v: np.unique(v, return_counts=True)[0] ** 2,
    lambda v: np.choose(PLACES, [v, v**2]),
    lambda v: np.piecewise(v, [v < 0.5, v >= 1], [np.sin, 3.0, np.square]),
    lambda v: np.insert(v**2, 1, 3.0),
    lambda v: np.insert(v**2, [0, 2], v[:2]),
    lambda v: np.block([[v, v**2], [v**3, np.ones(4)]]),
    lambda v: np.ediff1d(v**2, to_end=v[0]),
    lambda v: np.gradient(v**2, 0.1),
    lambda v: np.gradient(v**2, np.array([0.0, 1.0, 3.0, 4.0])),
    lambda v: np.gradient(np.outer(v, v))[1],
    lambda v: np.pad(v, 1, constant_values=2.0) ** 2,
    lambda v: np.pad(v, (1, 2), mode="reflect") ** 2,
    lambda v: np.meshgrid(v, v**2)[0] * np.meshgrid(v, v**2)[1],
    lambda v: np.meshgrid(v[:2], v**2, indexing="ij")[1] ** 2,
    lambda v: np.geomspace(v[0], v[1], 4),
    lambda v: np.nan_to_num(v / np.array([1.0, 0.0, 1.0, 1.0]), posinf=1.0) ** 2,
    lambda v: np.compress([True, False, True, False], v) ** 2,
    lambda v: np.extract(v > 0.5, v) ** 2,
    lambda v: np.bincount(PLACES, weights=v) ** 2,
    lambda v: np.correlate(v, v[:2]),
    lambda v: np.unwrap(5 * v) ** 2,
    lambda v: np.maximum.accumulate(v**2),
    lambda v: np.logaddexp.reduce(np.outer(v, v), axis=1),
    lambda v: v.flat[1] ** 2 * np.lexsort((v,)),
    lambda v: np.linalg.eigvalsh(np.outer(v, v) + np.diag([1.0, 2.0, 4.0, 7.0])),
    lambda v: np.linalg.eigh(np.outer(v, v) + np.diag([1.0, 2.0, 4.0, 7.0]), "U")[1] ** 2,
]


def _slopes(f, v, step):
    columns = []
    for direction in np.eye(len(v)) * step:
        near = np.asarray(f(v + direction)) - f(v - direction)
        far = np.asarray(f(v + 2 * direction)) - f(v - 2 * direction)
        columns.append((8 * near - far) / (12 * step))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_derivatives(f):
    def first(v):
        return fd.jacobian(f, v, backend="numpy")

    np.testing.assert_allclose(first(V), _slopes(f, V, 1e-3), rtol=1e-8, atol=1e-9)
    second = fd.jacobian(first, V, backend="numpy")
    np.testing.assert_allclose(second, _slopes(lambda v: _slopes(f, v, 3e-3), V, 3e-3), rtol=1e-5, atol=1e-6)


def test_what_has_no_derivative_is_refused():
    for f in (
        lambda v: np.pad(v, 1, constant_values=v[0]),
        lambda v: np.pad(v, 1, mode="maximum"),
        lambda v: np.gradient(v, v[0]),
        lambda v: np.unique(np.outer(v, v), axis=0),
    ):
        with pytest.raises(fd.DerivativeError):
            fd.jacobian(f, V, backend="numpy")


def test_equal_eigenvalues_have_slopes_of_their_sum_alone():
    slopes = fd.jacobian(lambda a: np.linalg.eigvalsh(np.eye(2) * a), 2.0, backend="numpy")
    np.testing.assert_allclose(slopes, [1.0, 1.0])
    assert math.isnan(fd.jacobian(lambda a: np.linalg.eigh(np.eye(2) * a)[1], 2.0, backend="numpy")[0, 1])


def test_what_asks_for_exact_ratios_says_what_to_use():
    for f in (
        lambda v: statistics.mean(v),
        lambda v: statistics.stdev([v[0], v[1]]),
        lambda v: v[0] * len(v[0].hex()),
    ):
        with pytest.raises(fd.DerivativeError, match="would lose its derivative"):
            fd.gradient(f, V, backend="numpy")


def test_a_host_that_traces_knows_the_shape_of_lists_of_numbers():
    jax = pytest.importorskip("jax")
    f = fd.fwddiff(lambda v: np.cumsum([v[:1], v[1:2]], axis=0) ** 2, engine="numpy")
    slopes = jax.jacrev(jax.jit(f))(jax.numpy.array([1.0, 2.0]))
    np.testing.assert_allclose(slopes, [[[2.0, 0.0]], [[6.0, 6.0]]])
