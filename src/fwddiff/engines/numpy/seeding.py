"""The primitives of `fwddiff._derive` for dual numbers in Python, at one level of differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from fwddiff import dual

# A number, an array or a dual: Python has no narrower name for what arithmetic accepts.
Leaf = Any


def primitives(level: int, chunk: int, count: int) -> dict[str, Any]:
    """Namespace for derived source: `count` static positions, chunks of `chunk`."""
    layer = _Level(level, chunk, max(count, 1))
    namespace: dict[str, Any] = {
        "lift": layer.lift,
        "seed_at": layer.seed_at,
        "seed_array": layer.seed_array,
        "value": layer.value,
        "value_array": layer.value,
        "tangent_array": lambda y: dual.settled(dual.partials(y, level, 1)[0]),
        "chunk_partials": layer.chunk_partials,
        "chunk_weighted": lambda c, y: tuple(weighted(c, p) for p in dual.partials(y, level, chunk)),
        "chunk_sum": lambda p, q: tuple(a + b for a, b in zip(p, q, strict=True)),
        "zeros": Cotangents,
        "pick": lambda p, k, default: p[k] if 0 <= k < len(p) else default,
        "scatter": lambda array, p, k: array.scatter(p, k),
        "block": Block,
        "scatter_rows": lambda block, y, k: block.scatter(layer.chunk_partials(y), k),
        "chunk": chunk,
    }
    for k in range(max(count, 1)):
        namespace[f"seed_{k}"] = partial(layer.seed, k)
        namespace[f"partial_{k}"] = partial(layer.partial, k)
        namespace[f"weighted_{k}"] = partial(layer.weighted_partial, k)
    return namespace


class _Level:
    def __init__(self, level: int, chunk: int, count: int):
        self.level, self.chunk, self.count = level, chunk, count

    def seed(self, position: int, x: Leaf) -> Leaf:
        return dual.make(x, [_seed(k == position) for k in range(self.count)], self.level)

    def lift(self, x: Leaf, tangent: Leaf) -> Leaf:
        return frozen(dual.make(x, [_asked(tangent)], self.level))

    def seed_at(self, x: Leaf, k: int) -> Leaf:
        return dual.make(x, [_seed(p == k) for p in range(self.chunk)], self.level)

    def seed_array(self, x: Leaf, k: int) -> Leaf:
        shape = np.shape(dual.strip(x))
        elements = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        hits = [elements + k == p for p in range(self.chunk)]
        return frozen(
            dual.make(x, [np.where(hit, 1.0, -0.0) if hit.any() else 0 for hit in hits], self.level)
        )

    def value(self, y: Leaf) -> Leaf:
        return dual.value(y) if dual.level_of(y) == self.level else y

    def partial(self, position: int, y: Leaf) -> Leaf:
        return dual.settled(dual.partials(y, self.level, self.count)[position])

    def chunk_partials(self, y: Leaf) -> tuple[Leaf, ...]:
        return tuple(dual.settled(p) for p in dual.partials(y, self.level, self.chunk))

    def weighted_partial(self, position: int, c: Leaf, y: Leaf) -> Leaf:
        return weighted(c, dual.partials(y, self.level, self.count)[position])


def _seed(hit: bool) -> float | int:
    """The integer 0 stands for "does not depend on this input": no infinite slope turns it into nan."""
    return 1.0 if hit else 0


def weighted(c: Leaf, p: Leaf) -> Leaf:
    """c · p, summed over all elements; a cotangent of zero asks for nothing."""
    product = _weighed(c, p, strong=True, marked=False)
    return product if np.ndim(dual.strip(product)) == 0 else map_plain(np.sum, product)


def _weighed(c: Leaf, p: Leaf, strong: bool, marked: bool) -> Leaf:
    """The product rule through all levels. `strong`: zeros of c ask for nothing (its partials' are numbers).
    `marked`: the result is a partial, so -0.0 says that it does not depend."""
    level = max(dual.level_of(c), dual.level_of(p))
    if level < 0:
        absent = dual.independent(p) | ((c == 0) if strong else dual.independent(c))
        found = dual.settled(c * p, absent)
        return found if marked else dual.settled(found)
    count = len((c if dual.level_of(c) == level else p).partials)
    cv, pv = dual.value_at(c, level), dual.value_at(p, level)
    totals = []
    for dc, dp in zip(dual.terms(c, level, count), dual.terms(p, level, count), strict=True):
        found = [] if type(dc) is int else [_weighed(dc, pv, False, True)]
        found += [] if type(dp) is int else [_weighed(cv, dp, strong, True)]
        totals.append(sum(found[1:], start=found[0]) if found else 0)
    return dual.make(_weighed(cv, pv, strong, marked), totals, level)


def _asked(tangent: Leaf) -> Leaf:
    """A tangent as a partial: zeros ask for nothing."""
    if dual.level_of(tangent) >= 0:
        return dual.settled(tangent)
    return dual.settled(tangent, tangent == 0)


class Cotangents:
    """An array of cotangents while it is filled: its elements may become duals of lower levels."""

    def __init__(self, x: Leaf):
        self.shape = np.shape(dual.strip(x))
        self.elements: list[Leaf] = [0.0] * int(np.prod(self.shape, dtype=int))

    def scatter(self, p: Sequence[Leaf], k: int) -> None:
        """`elements[e] = p[k + e]` wherever k + e is inside the chunk."""
        for j, cotangent in enumerate(p):
            if 0 <= j - k < len(self.elements):
                self.elements[j - k] = cotangent

    def array(self) -> Leaf:
        """All elements as one array, of duals if one of them is."""
        return map_plain(lambda flat: flat.reshape(self.shape), stacked(self.elements))


class Block:
    """Derivatives of one output by the elements of one input, while they are gathered."""

    def __init__(self, y: Leaf, x: Leaf):
        self.shape = np.shape(dual.strip(y)) + np.shape(dual.strip(x))
        self.columns: list[Leaf] = [np.zeros(np.shape(dual.strip(y)))] * int(np.size(dual.strip(x)))

    def scatter(self, p: Sequence[Leaf], k: int) -> None:
        """`columns[e] = p[k + e]` wherever k + e is inside the chunk."""
        for j, column in enumerate(p):
            if 0 <= j - k < len(self.columns):
                self.columns[j - k] = column

    def array(self) -> Leaf:
        """All columns along a last axis, of duals if one of them is."""
        if not self.columns:
            return np.zeros(self.shape)
        flat = [map_plain(np.ravel, column) for column in self.columns]
        return map_plain(lambda rows: rows.reshape(self.shape), np.stack(flat, axis=-1))


def stacked(numbers: Sequence[Leaf]) -> Leaf:
    """Numbers and duals of numbers as an array along a new axis."""
    level = max(map(dual.level_of, numbers), default=-1)
    if level < 0:
        return np.array(numbers, float)
    count = next(len(n.partials) for n in numbers if dual.level_of(n) == level)
    values = stacked([dual.value(n) if dual.level_of(n) == level else n for n in numbers])
    columns = zip(*[dual.partials(n, level, count) for n in numbers], strict=True)
    return dual.make(values, [stacked(column) for column in columns], level)


def map_plain(function: Callable[[np.ndarray], Leaf], x: Leaf) -> Leaf:
    """A linear function of one array, applied to value and partials alike."""
    if dual.level_of(x) < 0:
        return function(x)
    return dual.make(map_plain(function, x.value), [map_plain(function, p) for p in x.partials], x.level)


def frozen(x: Leaf) -> Leaf:
    """The same number or array, read-only: arguments of a rule are never written to."""
    if dual.level_of(x) >= 0:
        for part in (x.value, *x.partials):
            frozen(part)
    elif isinstance(x, np.ndarray):
        x.flags.writeable = False
    return x
