"""The pattern of a Jacobian or Hessian, found by one run of the function on traced numbers."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fwddiff import _nesting, _tree
from fwddiff._errors import FwdDiffError, SparsityError
from fwddiff.engines.numpy.function import UserFunction, plans_of_methods
from fwddiff.sparsity._standins import standins
from fwddiff.sparsity._tape import CONSTANT, FIRST, ZERO, Tape
from fwddiff.sparsity._values import ids_of, make, operand

_HELP = "Give the pattern instead: sparsity=, a scipy.sparse array or a boolean NumPy array."


class Found(NamedTuple):
    """Rows and columns of the entries, each entry once, in any order.

    `branch`: where in the user's code a value decided what is computed, so that the pattern holds for what
    was decided. `zeros_used`: it holds while the constants have zeros where they had.
    """

    rows: np.ndarray
    columns: np.ndarray
    branch: str | None = None
    zeros_used: bool = False


def detect(rule: Any, leaves: Sequence[Any], active: int, second: bool) -> Found:
    """The pattern of derivatives by the input `active` of a user's function at these leaves.

    Raises:
        SparsityError: the function does not run on traced numbers.
    """
    problem, size = rule.problem, int(np.size(leaves[active]))
    if hasattr(rule, "given"):  # a rule of the user's, of which nothing is known
        return _all(rule, leaves, size, second)
    tape = Tape(size, second)
    traced = [_traced(leaf, slot.dtype, k == active, tape)
              for k, (leaf, slot) in enumerate(zip(leaves, rule.inputs, strict=True))]  # fmt: skip
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(), _nesting.nested():
            warnings.simplefilter("ignore")
            function = UserFunction(problem, plans_of_methods(problem), standins(tape))
            results, _ = _tree.flatten(function(*traced))
            ids = np.concatenate(
                [np.ravel(ids_of(operand(y))) * np.ones(np.size(operand(y)), int) for y in results]
            )
    except FwdDiffError as error:
        raise SparsityError(f"{rule.name} cannot be traced: {error} {_HELP}") from error
    except Exception as error:
        raise SparsityError(
            f"{rule.name} cannot be traced: it raises {type(error).__name__}: {error}. {_HELP}"
        ) from error
    rows, columns = _hessian(tape, ids) if second else _jacobian(tape, ids)
    return Found(rows, columns, tape.branch, tape.zeros_used)


def _all(rule: Any, leaves: Sequence[Any], size: int, second: bool) -> Found:
    arrays = [np.asarray(leaf, slot.dtype) for leaf, slot in zip(leaves, rule.inputs, strict=True)]
    count = size if second else sum(y.size for y in rule(arrays))
    rows, columns = np.indices((count, size)).reshape(2, -1)
    return Found(rows, columns)


def _traced(leaf: Any, dtype: np.dtype, is_active: bool, tape: Tape) -> Any:
    """Integers stay what they are: they say how large arrays are, and which elements."""
    if dtype.kind != "f":
        return leaf
    values = np.array(leaf, dtype)
    ids = np.where(values == 0, ZERO, CONSTANT)
    if is_active:
        ids = np.arange(FIRST, FIRST + values.size).reshape(values.shape)
    number = float(values) if not values.ndim and dtype == np.float64 else values[()]
    return make(number, ids, tape)


# --- from the graph to the pattern --------------------------------------------------------------------------


def _jacobian(tape: Tape, roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    walk = _Walk(tape, roots, ())
    for _ in walk:
        pass
    columns = [walk.inputs_of(root) for root in roots.tolist()]
    rows = np.repeat(np.arange(len(roots)), [len(c) for c in columns])
    return rows, np.fromiter((j for c in columns for j in c), int, len(rows))


def _hessian(tape: Tape, roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ over the nodes v that the result is made of, and the pairs (a, b) that v couples, of
    ∂result/∂v · ∂²v/∂a∂b · (∇a ∇bᵀ + ∇b ∇aᵀ): a node couples all inputs of a with all inputs of b."""
    couplings = tape.couplings()
    walk = _Walk(tape, roots, couplings)
    lines = [0] * tape.count  # columns of each row, as bits
    for node in walk:
        for a, b in couplings.get(node, ()):
            _couple(lines, walk.inputs_of(a), walk.inputs_of(b))
            if a != b:
                _couple(lines, walk.inputs_of(b), walk.inputs_of(a))
    columns = [_places(line) for line in lines]
    rows = np.repeat(np.arange(tape.count), [len(c) for c in columns])
    return rows, np.fromiter((j for c in columns for j in c), int, len(rows))


def _couple(lines: list[int], rows: Iterable[int], columns: Iterable[int]) -> None:
    bits = 0
    for j in columns:
        bits |= 1 << j
    for i in rows:
        lines[i] |= bits


def _places(bits: int) -> list[int]:
    return [k for k, digit in enumerate(reversed(bin(bits)[2:])) if digit == "1"]


class _Walk:
    """Through all nodes that the roots are made of, each after those that it is made of; on the way the sets
    of inputs are found. `kept` are nodes at which all sets have to be there, of what they are made of too."""

    def __init__(self, tape: Tape, roots: np.ndarray, kept: Container[int]):
        starts, parents = tape.graph()
        self.starts, self.parents, self.kept = starts.tolist(), parents.tolist(), kept
        self.first_made, self.sets = FIRST + tape.count, {}
        self.left = [0] * tape.nodes  # how often a set is still needed
        for root in roots.tolist():
            self.left[root] += 1
        for node in range(tape.nodes - 1, self.first_made - 1, -1):
            if self.left[node]:
                for parent in self._made_of(node):
                    self.left[parent] += 1

    def _made_of(self, node: int) -> list[int]:
        return self.parents[self.starts[node] : self.starts[node + 1]]

    def inputs_of(self, node: int) -> Any:
        if node < FIRST:
            return ()
        return (node - FIRST,) if node < self.first_made else self.sets[node]

    def __iter__(self) -> Iterator[int]:
        for node in range(self.first_made, len(self.left)):
            if self.left[node]:
                made_of = self._made_of(node)
                self.sets[node] = self._united(made_of, node in self.kept)
                yield node
                for parent in made_of:
                    self.left[parent] -= 1
                    if not self.left[parent]:
                        self.sets.pop(parent, None)

    def _united(self, nodes: Sequence[int], kept: bool) -> set[int]:
        """A new set, or one that nobody else needs, with all others put in: long sums take linear time."""
        free = [] if kept else [n for n in nodes if self.left[n] == 1 and n >= self.first_made]
        largest = max(free, key=lambda n: len(self.sets[n]), default=None)
        result = set() if largest is None else self.sets[largest]
        result.update(*(self.inputs_of(n) for n in nodes if n != largest))
        return result
