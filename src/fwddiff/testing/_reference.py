"""What every operator has to give for a scenario, without fwddiff: closed forms, or differences.

All operators are contractions of the value, of the first derivatives of each output by each argument and of
the second derivatives of a single number; each comes with an estimate of its error. The structures of results
are those that the operators promise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff import _tree
from fwddiff._errors import ArgumentError
from fwddiff.testing._differences import Difference, along
from fwddiff.testing._scenarios import Scenario

_UNSETTLED = 1e-4


class Reference:
    """A scenario's arguments, which of them move, along what, and the derivatives there.

    `x` are the float leaves of the arguments `argnum`, as arrays; `first[o][i]` has the shape output + x,
    `second[i][j]` the shape x + x.
    """

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.leaves, self.spec = _tree.flatten(scenario.arguments)
        children = self.spec.children()
        owners = [k for k, child in enumerate(children) for _ in range(child.num_leaves)]
        self.moving = [k for k, leaf in enumerate(self.leaves) if is_float(leaf)]
        if not self.moving:
            raise ArgumentError(f"scenario {scenario.name!r}: no argument holds a float to differentiate.")
        self.positions = sorted({owners[k] for k in self.moving})
        self.specs = [children[p] for p in self.positions]
        self.x = [np.asarray(self.leaves[k], float) for k in self.moving]
        self.y_leaves, self.y_spec = _tree.flatten(self.plain(*scenario.arguments))
        self.smooth = [k for k, leaf in enumerate(self.y_leaves) if is_float(leaf)]
        random = np.random.default_rng(3)
        self.tangents = [random.uniform(0.5, 1.5, leaf.shape) for leaf in self.x]
        self.cotangents = [random.uniform(0.5, 1.5, y.shape) for y in self.outputs(self.x)]

    @property
    def argnum(self) -> Any:
        """Positions of the arguments to differentiate by: one, or a tuple."""
        return self.positions[0] if len(self.positions) == 1 else tuple(self.positions)

    # --- the function ---------------------------------------------------------------------------------------

    def plain(self, *args: Any) -> Any:
        """The function as Python runs it; of numbers, element by element."""
        function, kind = self.scenario.function, self.scenario.operation
        if self.scenario.writes is not None:
            out = np.zeros(self.scenario.writes)
            function(out, *args)
            return out
        return function(*args) if kind == "whole" else _by_element(function, kind, args)

    def outputs(self, x: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Float outputs at these leaves."""
        everything = list(self.leaves)
        for k, leaf in zip(self.moving, x, strict=True):
            everything[k] = leaf.item() if leaf.ndim == 0 else leaf
        found = _tree.flatten(self.plain(*_tree.unflatten(self.spec, everything)))[0]
        return [np.asarray(found[k], float) for k in self.smooth]

    # --- its derivatives ------------------------------------------------------------------------------------

    @functools.cached_property
    def first(self) -> list[list[Difference]]:
        known = self._known_first()
        if known is not None:
            return [known]
        rows = [self._columns(self.outputs, i) for i in range(len(self.x))]
        return [[row[o] for row in rows] for o in range(len(self.smooth))]

    def _known_first(self) -> list[Difference] | None:
        scenario = self.scenario
        if scenario.jacobian is not None:
            return _exact(scenario.jacobian(*scenario.arguments))
        if scenario.gradient is None or self.shapes != [()]:
            return None
        return _exact(self._gradient(self.x))

    def _gradient(self, x: Sequence[np.ndarray]) -> list[np.ndarray]:
        everything = list(self.leaves)
        for k, leaf in zip(self.moving, x, strict=True):
            everything[k] = leaf.item() if leaf.ndim == 0 else leaf
        assert self.scenario.gradient is not None
        mirror: Any = tuple(self.scenario.gradient(*_tree.unflatten(self.spec, everything)))
        found = self.spec.flatten_up_to(mirror)
        return [np.asarray(found[k], float) for k in self.moving]

    @functools.cached_property
    def second(self) -> list[list[Difference]]:
        scenario = self.scenario
        if scenario.hessian is not None:
            return [_exact([scenario.hessian(*scenario.arguments)])]
        if scenario.gradient is not None:
            return [list(row) for row in zip(*map(self._second_column, range(len(self.x))), strict=True)]
        return [[self._twice(i, j) for j in range(len(self.x))] for i in range(len(self.x))]

    def _second_column(self, j: int) -> list[Difference]:
        return self._columns(self._gradient, j)

    def _columns(self, function: Callable, i: int) -> list[Difference]:
        """Derivatives of all results of `function` by leaf i: shape = result + x."""
        columns = [along(function, self.x, direction) for direction in self._basis(i)]
        shape = self.x[i].shape
        return [_stacked([column[o] for column in columns], shape) for o in range(len(columns[0]))]

    def _twice(self, i: int, j: int) -> Difference:
        """Differences of differences."""
        rows = []
        for direction in self._basis(i):
            inner = lambda x, d=direction: [along(self.outputs, x, d)[0].value]  # noqa: E731
            rows.append(self._columns(inner, j)[0])
        moved = _stacked(rows, self.x[i].shape)
        size, ndim = self.x[j].ndim, self.x[i].ndim
        axes = (*range(size, size + ndim), *range(size))
        return Difference(np.transpose(moved.value, axes), np.transpose(moved.error, axes))

    def _basis(self, i: int) -> list[list[np.ndarray]]:
        zeros = [np.zeros(leaf.shape) for leaf in self.x]
        ones = np.eye(self.x[i].size).reshape(-1, *self.x[i].shape)
        return [[*zeros[:i], one, *zeros[i + 1 :]] for one in ones]

    # --- what operators give --------------------------------------------------------------------------------

    @functools.cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the float outputs."""
        return [np.shape(self.y_leaves[k]) for k in self.smooth]

    def makes_sense(self, operator: str) -> bool:
        """Whether the operator is for functions like this one (see docs/operators.md)."""
        base = base_of(operator)
        plain = all(spec.is_leaf() for spec in self.specs)
        one_number = self.shapes == [()] and len(self.y_leaves) == 1
        return {
            "derivative": plain and len(self.x) == 1 and self.x[0].shape == (),
            "gradient": one_number,
            "hvp": one_number,
            "jacobian": plain and self.y_spec.is_leaf() and len(self.smooth) == 1,
            "hessian": plain and one_number,
        }.get(base, bool(self.smooth))

    def given(self, operator: str) -> Any:
        """The tangent or cotangent that the operator is called with; `None` if it takes none."""
        base = base_of(operator)
        if base in ("pushforward", "hvp"):
            return self._like_x(_bare(self.tangents))
        return self._like_y(_bare(self.cotangents)) if base == "pullback" else None

    def expected(self, operator: str) -> tuple[Any, list[Difference]]:
        """Structure of the operator's result and its leaves."""
        derivative = self._derivative(base_of(operator))
        parts = [derivative]
        if operator == "value_gradient_and_hessian":
            parts = [self._derivative("gradient"), derivative]
        if operator.startswith("value_"):
            parts = [_tree.unflatten(self.y_spec, [_sure(leaf) for leaf in self.y_leaves]), *parts]
        leaves, spec = _tree.flatten(tuple(parts) if len(parts) > 1 else parts[0])
        leaves = [leaf.difference for leaf in leaves]
        self._refuse_unsettled(leaves)
        return spec, leaves

    def _refuse_unsettled(self, leaves: Sequence[Difference]) -> None:
        for leaf in leaves:
            if not np.all(leaf.error <= _UNSETTLED * (1.0 + abs(leaf.value))):
                raise ArgumentError(
                    f"scenario {self.scenario.name!r}: differences of the plain function do not settle "
                    "there. Give its derivatives: gradient=, jacobian= or hessian=."
                )

    def _derivative(self, base: str) -> Any:
        t, c, n = self.tangents, self.cotangents, range(len(self.x))
        if base in ("derivative", "pushforward"):
            along = [np.ones(())] if base == "derivative" else t
            moved = [_sum(_times(row[i], along[i]) for i in n) for row in self.first]
            return self._like_y(list(map(_Leaf, moved)))
        if base == "gradient":
            return self._like_x(list(map(_Leaf, self.first[0])))
        if base == "pullback":
            pairs = list(zip(c, self.first, strict=True))
            return self._like_x([_Leaf(_sum(_weighted(w, row[i]) for w, row in pairs)) for i in n])
        if base == "hvp":
            return self._like_x([_Leaf(_sum(_times(self.second[i][j], t[j]) for j in n)) for i in n])
        if base == "jacobian":
            return self._by_argument([_Leaf(self.first[0][i]) for i in n])
        return self._by_argument([self._by_argument([_Leaf(self.second[i][j]) for j in n]) for i in n])

    def _like_x(self, leaves: Sequence[Any]) -> Any:
        found = dict(zip(self.moving, leaves, strict=True))
        everything = _tree.unflatten(self.spec, [found.get(k) for k in range(len(self.leaves))])
        return self._by_argument([everything[p] for p in self.positions])

    def _like_y(self, leaves: Sequence[Any]) -> Any:
        found = dict(zip(self.smooth, leaves, strict=True))
        return _tree.unflatten(self.y_spec, [found.get(k) for k in range(len(self.y_leaves))])

    def _by_argument(self, items: Sequence[Any]) -> Any:
        return items[0] if len(self.positions) == 1 else tuple(items)


class _Leaf:
    """A leaf of an expected result: no container, whatever it holds."""

    def __init__(self, difference: Difference):
        self.difference = difference


def base_of(operator: str) -> str:
    """The operator without the value: "hessian" of "value_gradient_and_hessian"."""
    return operator.rpartition("and_")[2]


def is_float(leaf: Any) -> bool:
    """Whether a leaf has a derivative."""
    return isinstance(leaf, float | np.floating) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f")


def _by_element(function: Callable, kind: str, args: tuple) -> Any:
    """`function` of numbers at each element of broadcast arguments, or the sum over them."""
    leaves, spec = _tree.flatten(args)
    places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, float | int | np.ndarray | np.generic)]
    arrays = np.broadcast_arrays(*(np.asarray(leaves[k]) for k in places))
    results, tree = [], None
    for element in np.ndindex(arrays[0].shape):
        for k, array in zip(places, arrays, strict=True):
            leaves[k] = array[element].item()
        found, tree = _tree.flatten(function(*_tree.unflatten(spec, leaves)))
        results.append(found)
    columns = [np.array(column).reshape(arrays[0].shape) for column in zip(*results, strict=True)]
    return _tree.unflatten(tree, [c.sum().item() if kind == "sum" else c for c in columns])  # type: ignore


def _exact(arrays: Sequence[Any]) -> list[Difference]:
    found = [np.asarray(array, float) for array in arrays]
    return [Difference(array, np.zeros(array.shape)) for array in found]


def _sure(leaf: Any) -> _Leaf:
    return _Leaf(_exact([leaf])[0])


def _stacked(columns: Sequence[Difference], shape: tuple[int, ...]) -> Difference:
    value, error = (np.stack(list(parts), axis=-1) for parts in zip(*columns, strict=True))
    return Difference(*(part.reshape((*part.shape[:-1], *shape)) for part in (value, error)))


def _times(block: Difference, vector: np.ndarray) -> Difference:
    """A block of the shape result + x times a vector of the shape x."""
    return Difference(
        *(np.tensordot(part, abs(vector) if k else vector, vector.ndim) for k, part in enumerate(block))
    )


def _weighted(vector: np.ndarray, block: Difference) -> Difference:
    return Difference(
        *(np.tensordot(abs(vector) if k else vector, part, vector.ndim) for k, part in enumerate(block))
    )


def _sum(terms: Any) -> Difference:
    value, error = zip(*terms, strict=True)
    return Difference(np.asarray(sum(value)), np.asarray(sum(error)))


def _bare(arrays: Sequence[np.ndarray]) -> list[Any]:
    return [array.item() if array.ndim == 0 else array for array in arrays]
