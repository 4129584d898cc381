"""Which numbers a number was made of: a graph whose nodes are the numbers that depend on the inputs.

Every number of a traced run has an *id*: that of its node, or one of four below `FIRST` that say what it is
where it does not depend on the inputs. Where a number depends on one other number only, and in a way that
needs no mention (for Jacobians: in any way; for Hessians: linearly), it shares its node.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fwddiff.sparsity._order import Order

FIXED = 0  # written in the code: the same in every call
CONSTANT = 1  # an argument that is not differentiated, or made of such: another call may have another
ZERO = 2  # zero because such an argument is
STEP = 3  # changes with the inputs in steps, with the derivative zero
FIRST = 4  # the first input's node

_OURS = (str(Path(__file__).parents[1]), str(Path(np.__file__).parent))


class Tape:
    """The graph while it is made.

    `count` is that of the inputs, whose nodes come first; `second` says whether second derivatives are asked
    for. `branch` is the first place in the user's code where a value decided what is computed: the pattern
    holds for what was decided. `zeros_used`: an argument's zero was taken to stay zero.
    """

    def __init__(self, count: int, second: bool):
        self.count, self.second = count, second
        self.nodes = FIRST + count
        self.branch: str | None = None
        self.zeros_used = False
        self._edges: list[tuple[np.ndarray, np.ndarray]] = []  # (node, one that it is made of)
        self._pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # (node, two that it couples)
        self._few: tuple[list[int], ...] = ([], [])
        self._few_pairs: tuple[list[int], ...] = ([], [], [])

    # --- recording ------------------------------------------------------------------------------------------

    def number(self, order: Order, ids: Sequence[int]) -> int:
        """Id of a function of numbers with these ids."""
        moving = [ids[i] for i in order.first if ids[i] >= FIRST]
        pairs = (
            [(i, j) for i, j in order.second if ids[i] >= FIRST and ids[j] >= FIRST] if self.second else []
        )
        if not moving:
            return max([CONSTANT if i == ZERO else min(i, STEP) for i in ids])
        if not pairs and all(p == moving[0] for p in moving):
            return moving[0]
        node, self.nodes = self.nodes, self.nodes + 1
        for p in moving:
            self._few[0].append(node)
            self._few[1].append(p)
        for i, j in pairs:
            for items, item in zip(self._few_pairs, (node, ids[i], ids[j]), strict=True):
                items.append(item)
        return node

    def elements(self, order: Order, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Ids of a function of arrays' elements; `ids` have one shape."""
        result = resting(np.stack(ids))
        moving = [ids[i] for i in order.first]
        if not moving:
            return result
        largest = np.max(moving, axis=0)
        active = largest >= FIRST
        shared = np.all([(i < FIRST) | (i == largest) for i in moving], axis=0)
        coupled = np.zeros(result.shape, bool)
        if self.second:
            for i, j in order.second:
                coupled |= (ids[i] >= FIRST) & (ids[j] >= FIRST)
        result[active] = largest[active]
        made = active & (coupled | ~shared)
        result[made] = nodes = self.new(int(np.count_nonzero(made)))
        for parents in moving:
            self.edges(nodes, parents[made])
        if self.second:
            for i, j in order.second:
                self.pairs(nodes, ids[i][made], ids[j][made])
        return result

    def rows(self, parents: np.ndarray, coupled: bool) -> np.ndarray:
        """Ids of functions of the rows of a matrix of ids; `coupled`: all pairs have second derivatives."""
        result = resting(parents.T)
        active = (parents >= FIRST).any(axis=1)
        result[active] = nodes = self.new(int(np.count_nonzero(active)))
        row, column = np.nonzero(parents[active] >= FIRST)
        self.edges(nodes[row], parents[active][row, column])
        if coupled:
            self.pairs(nodes, nodes, nodes)
        return result

    def hub(self, parents: np.ndarray) -> int:
        """Id of a number that depends on all of these, in any way."""
        return int(self.rows(parents.reshape(1, -1), coupled=True)[0])

    def new(self, count: int) -> np.ndarray:
        nodes = np.arange(self.nodes, self.nodes + count)
        self.nodes += count
        return nodes

    def edges(self, nodes: np.ndarray, parents: np.ndarray) -> None:
        here = parents >= FIRST
        if here.any():
            self._edges.append((nodes[here], parents[here]))

    def pairs(self, nodes: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
        here = (a >= FIRST) & (b >= FIRST)
        if self.second and here.any():
            self._pairs.append((nodes[here], a[here], b[here]))

    def decided(self) -> None:
        """A value decided what is computed."""
        if self.branch is None:
            frame = sys._getframe(1)
            while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
                frame = frame.f_back
            self.branch = f"{frame.f_code.co_name}, line {frame.f_lineno}"

    # --- reading --------------------------------------------------------------------------------------------

    def graph(self) -> tuple[np.ndarray, np.ndarray]:
        """(starts, parents): node k is made of `parents[starts[k]:starts[k + 1]]`."""
        nodes, parents = _gathered(self._edges, self._few)
        starts = np.zeros(self.nodes + 1, int)
        np.cumsum(np.bincount(nodes, minlength=self.nodes), out=starts[1:])
        return starts, parents[np.argsort(nodes, kind="stable")]

    def couplings(self) -> dict[int, list[tuple[int, int]]]:
        """Pairs of numbers that a node couples."""
        found: dict[int, list[tuple[int, int]]] = {}
        for node, a, b in zip(
            *(items.tolist() for items in _gathered(self._pairs, self._few_pairs)), strict=True
        ):
            found.setdefault(node, []).append((a, b))
        return found


def resting(ids: np.ndarray) -> np.ndarray:
    """Ids of what is made of these, along the first axis, and depends on no input."""
    return np.where(ids == ZERO, CONSTANT, np.minimum(ids, STEP)).max(axis=0, initial=FIXED)


def _gathered(arrays: Sequence[tuple[np.ndarray, ...]], lists: Sequence[list[int]]) -> list[np.ndarray]:
    columns = zip(*arrays, strict=True) if arrays else [()] * len(lists)
    return [np.concatenate([*column, np.array(few, int)]) for column, few in zip(columns, lists, strict=True)]
