"""Colours of columns, so that one directional derivative serves all columns of a colour.

Greedy algorithms of Gebremedhin, Manne and Pothen, "What color is your Jacobian? Graph coloring for computing
derivatives", SIAM Review 47 (2005): of columns of a Jacobian at distance two (algorithm 3.1), and star
colouring of a symmetric matrix (algorithm 4.1).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


def of_columns(pattern: Any) -> np.ndarray:
    """Colours of the columns of a sparse array: no row has entries in two columns of one colour."""
    by_row, by_column = _lists(pattern.tocsr()), _lists(pattern.tocsc())
    rows_taken: list[set[int]] = [set() for _ in by_row]

    def colour(order: Iterable[int]) -> np.ndarray:
        for taken in rows_taken:
            taken.clear()
        colours = np.zeros(len(by_column), int)
        for column in order:
            rows = by_column[column]
            chosen = _least_free(set().union(*(rows_taken[i] for i in rows)))
            colours[column] = chosen
            for i in rows:
                rows_taken[i].add(chosen)
        return colours

    return _fewest(colour, [sum(len(by_row[i]) for i in rows) for rows in by_column])


def of_symmetric(pattern: Any) -> np.ndarray:
    """Star colouring of a symmetric sparse array: neighbours differ, and no path of four has two colours."""
    off_diagonal = pattern.tocoo()
    apart = off_diagonal.row != off_diagonal.col
    neighbours = _neighbours(off_diagonal.row[apart], off_diagonal.col[apart], pattern.shape[0])
    # Of a path x, y that goes on from w: x has another neighbour than w.
    going_on = [[x for x in around if len(neighbours[x]) > 1] for around in neighbours]
    return _fewest(lambda order: _star(order, neighbours, going_on), list(map(len, neighbours)))


def _star(order: Iterable[int], neighbours: Sequence[list[int]], going_on: Sequence[list[int]]) -> np.ndarray:
    colours = np.full(len(neighbours), -1)
    # Of each vertex's coloured neighbours: how many have each colour.
    around: list[dict[int, int]] = [{} for _ in neighbours]
    known = colours.tolist()
    for v in order:
        taken = set(around[v])
        for w in neighbours[v]:
            if known[w] < 0:
                taken.update(around[w])
            else:
                taken.update(known[x] for x in going_on[w] if known[x] >= 0 and around[x][known[w]] > 1)
        known[v] = chosen = _least_free(taken)
        for w in neighbours[v]:
            around[w][chosen] = around[w].get(chosen, 0) + 1
    return np.array(known, int)


def _fewest(colour: Callable[[Iterable[int]], np.ndarray], degrees: Sequence[int]) -> np.ndarray:
    """The better of two orders: as they come, and those with most neighbours first."""
    largest_first = np.argsort(-np.asarray(degrees, int), kind="stable").tolist()
    natural, other = colour(range(len(degrees))), colour(largest_first)
    return natural if natural.max(initial=-1) <= other.max(initial=-1) else other


def _least_free(taken: set[int]) -> int:
    colour = 0
    while colour in taken:
        colour += 1
    return colour


def _lists(compressed: Any) -> list[list[int]]:
    """Places of the entries of each row (column) of a compressed array."""
    indices, starts = compressed.indices.tolist(), compressed.indptr.tolist()
    return [indices[a:b] for a, b in itertools.pairwise(starts)]


def _neighbours(rows: np.ndarray, columns: np.ndarray, count: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(count)]
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        found[i].append(j)
    return found
