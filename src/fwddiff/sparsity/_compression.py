"""Sparse derivatives from few directional ones: seeds by colour, and where each entry is in the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fwddiff._rule import Rule
from fwddiff.sparsity import _colouring

_MOST_NUMBERS = 1 << 25  # in one compressed result


class Part(NamedTuple):
    """Directions that go through the kernel together. Entry `places[k]` of the data is number `sources[k]`
    of what comes out."""

    seeds: np.ndarray  # (colours, *shape of the input)
    sources: np.ndarray
    places: np.ndarray | slice


def of_jacobian(pattern: Any, shape: tuple[int, ...], dtype: np.dtype) -> list[Part]:
    """Of a pattern in CSR form with one column for each element of an input of this shape."""
    colours = _colouring.of_columns(pattern)
    return _parts(colours, colours[pattern.indices], _rows(pattern), pattern.shape[0], shape, dtype)


def of_hessian(pattern: Any, shape: tuple[int, ...], dtype: np.dtype) -> list[Part]:
    """Of a symmetric pattern. Entry (i, j) is in row i of colour j's direction, unless i has another
    neighbour of that colour: then, by the star property, it is alone in row j of colour i's."""
    colours = _colouring.of_symmetric(pattern)
    rows, columns = _rows(pattern), pattern.indices.astype(np.int64)
    key = rows * (colours.max(initial=0) + 1) + colours[columns]
    _, which, count = np.unique(key, return_inverse=True, return_counts=True)
    shared = count[which] > 1
    wanted = np.where(shared, colours[rows], colours[columns])
    return _parts(colours, wanted, np.where(shared, columns, rows), len(colours), shape, dtype)


def _rows(pattern: Any) -> np.ndarray:
    return np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))


def _parts(colours, wanted, rows, count: int, shape, dtype) -> list[Part]:
    """`wanted` and `rows` say in which colour's direction, and in which row of it, each entry is."""
    total = int(colours.max(initial=-1)) + 1
    together = max(1, _MOST_NUMBERS // max(count, len(colours), 1))
    parts = []
    for start in range(0, total, together):
        stop = min(start + together, total)
        seeds = (colours == np.arange(start, stop)[:, None]).astype(dtype)
        whole = stop - start == total
        places = slice(None) if whole else np.flatnonzero((wanted >= start) & (wanted < stop))
        sources = (wanted[places] - start) * count + rows[places]
        parts.append(Part(seeds.reshape(-1, *shape), sources.astype(np.intp), places))
    return parts


def evaluate(rule: Rule, leaves: Sequence[np.ndarray], parts: Sequence[Part], data: np.ndarray) -> None:
    """Fill the entries from the pushforward `rule`, whose last input is the direction."""
    fixed = [leaf[None] for leaf in leaves]
    for part in parts:
        found = rule([*fixed, part.seeds], 1)[0].reshape(-1)
        if isinstance(part.places, slice):
            # "clip" writes to `out` without a buffer; all places are inside.
            np.take(found, part.sources, out=data, mode="clip")
        else:
            data[part.places] = found[part.sources]
