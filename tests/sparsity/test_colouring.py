"""Colours, against their definitions and against recovery of random matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

sparse = pytest.importorskip("scipy.sparse")
from fwddiff.sparsity import _colouring, _compression, _given  # noqa: E402
from fwddiff.sparsity._detect import Found  # noqa: E402


def compressed(dense):
    rows, columns = np.nonzero(dense)
    return _given.compressed(Found(rows, columns), dense.shape)


def random_pattern(rows, columns, density, seed, symmetric=False):
    dense = np.random.default_rng(seed).random((rows, columns)) < density
    dense = dense | dense.T if symmetric else dense
    return compressed(dense)


SIZES = [(1, 1, 1.0), (5, 9, 0.3), (30, 30, 0.1), (40, 20, 0.15), (25, 25, 0.6), (12, 12, 0.0), (0, 4, 0.5)]


@pytest.mark.parametrize(("rows", "columns", "density"), SIZES)
def test_no_row_has_two_entries_of_a_colour(rows, columns, density):
    for seed in range(5):
        pattern = random_pattern(rows, columns, density, seed)
        colours = _colouring.of_columns(pattern)
        for row in pattern.toarray().astype(bool):
            assert len(set(colours[row])) == row.sum()


@pytest.mark.parametrize(("size", "density"), [(1, 1.0), (8, 0.3), (20, 0.15), (15, 0.7), (10, 0.0)])
def test_no_path_of_four_has_two_colours(size, density):
    for seed in range(8):
        pattern = random_pattern(size, size, density, seed, symmetric=True)
        colours, edges = _colouring.of_symmetric(pattern), pattern.toarray().astype(bool)
        np.fill_diagonal(edges, False)
        neighbours = [np.flatnonzero(row) for row in edges]
        for v in range(size):
            assert all(colours[v] != colours[w] for w in neighbours[v])
            for w, x in itertools.product(neighbours[v], repeat=2):
                for y in neighbours[x]:
                    if w != x and y not in (v, w):
                        assert len({colours[k] for k in (w, v, x, y)}) > 2


def recovered(parts, matrix, pattern):
    data = np.full(pattern.nnz, np.nan)
    for part in parts:
        found = (matrix @ part.seeds.T).T.ravel()
        data[part.places] = found[part.sources]
    return sparse.csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape).toarray()


@pytest.mark.parametrize(("rows", "columns", "density"), SIZES)
@pytest.mark.parametrize("most", [1 << 25, 60])
def test_jacobians_are_recovered(rows, columns, density, most, monkeypatch):
    monkeypatch.setattr(_compression, "_MOST_NUMBERS", most)
    for seed in range(3):
        pattern = random_pattern(rows, columns, density, seed)
        matrix = pattern.toarray() * np.random.default_rng(seed).normal(size=pattern.shape)
        parts = _compression.of_jacobian(pattern, (columns,), np.dtype(float))
        assert np.array_equal(recovered(parts, matrix, pattern), matrix)


@pytest.mark.parametrize(
    ("size", "density"), [(1, 1.0), (8, 0.3), (30, 0.1), (15, 0.7), (10, 0.0), (60, 0.03)]
)
def test_hessians_are_recovered(size, density):
    for seed in range(8):
        pattern = random_pattern(size, size, density, seed, symmetric=True)
        matrix = np.random.default_rng(seed).normal(size=(size, size))
        matrix = (matrix + matrix.T) * pattern.toarray()
        parts = _compression.of_hessian(pattern, (size,), np.dtype(float))
        assert np.array_equal(recovered(parts, matrix, pattern), matrix)


def test_bands_and_arrows_take_few_colours():
    n = 50
    band = compressed(abs(np.subtract.outer(range(n), range(n))) <= 2)
    assert _colouring.of_columns(band).max() + 1 == 5
    assert _colouring.of_symmetric(band).max() + 1 <= 5
    dense = np.eye(n, dtype=bool)
    dense[0] = dense[:, 0] = True
    arrow = compressed(dense)
    assert _colouring.of_symmetric(arrow).max() + 1 == 2
    assert _colouring.of_columns(arrow).max() + 1 == n
