"""Linear systems with the Jacobian of the conditions, at each of many solutions, and what is wrong with
them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff._errors import DerivativeError, ShapeError, StructureError
from fwddiff._implicit._point import Options, Point, flat, split, spread
from fwddiff._rule import Rule, Shape, Slot
from fwddiff._sizes import first_element

_FEW = 3  # unknowns of an element whose systems are solved all at once


class System:
    """The conditions, of whose inputs the first `count` are the leaves of z; `names` are those of these
    leaves."""

    def __init__(self, name: str, conditions: Rule, names: Sequence[str], options: Options):
        self.name, self.conditions, self.options = name, conditions, options
        self.names, self.count = tuple(names), len(names)
        self._last: tuple[tuple, Point] | None = None
        self._checked: set[tuple[Shape, ...]] = set()

    def check_structure(self, tree: Any, expected: Any) -> None:
        """Raises StructureError unless the residual mirrors z and consists of floats."""
        slots = self.conditions.outputs
        axes = [slot.core_ndim for slot in self.conditions.inputs[: self.count]]
        if tree == expected and [slot.core_ndim for slot in slots] != axes:
            raise self._other_shapes(f": residual of {[slot.core_ndim for slot in slots]} axes, z of {axes}")
        if tree != expected or not all(slot.differentiable for slot in slots):
            kinds = ", ".join(str(slot.dtype) for slot in slots)
            raise StructureError(
                f"{self.name}: the conditions have to return a residual of the structure of z, one float for "
                f"each of its numbers; z is {expected}, the residual {tree} of {kinds}."
            )

    def check_shapes(self, inputs: Sequence[Slot], arrays: Sequence[np.ndarray]) -> None:
        """Raises ShapeError unless the residual has the shapes of z: of one element, once for all of its
        shapes."""
        cores = tuple(a.shape[a.ndim - slot.core_ndim :] for a, slot in zip(arrays, inputs, strict=True))
        if cores in self._checked:
            return
        first = first_element(inputs, arrays)
        if first is None:
            return
        try:
            found = [r.shape for r in self.conditions(first)]
        except StructureError as error:  # told that the shapes are those of z
            raise self._other_shapes("") from error
        if found != list(cores[: self.count]):
            raise self._other_shapes(f": residual {found}, z {list(cores[: self.count])}")
        self._checked.add(cores)

    def _other_shapes(self, how: str) -> ShapeError:
        return ShapeError(
            f"{self.name}: the conditions return a residual of another shape than z. There has to be one "
            f"condition for each unknown{how}."
        )

    def solved(
        self, arrays: Sequence[np.ndarray], loop: Shape, transposed: bool, is_strict: bool
    ) -> tuple[np.ndarray, ...]:
        """Solutions for inputs with all loop axes, of lengths one or those of `loop`: point, then right-hand
        side."""
        size = len(self.conditions.inputs)
        cores = [array.shape[len(loop) :] for array in arrays]
        if self.options.is_dense and loop and self._has_few(cores):
            return self._solved_at_once(arrays, loop, transposed, is_strict)
        sides = [np.broadcast_to(b, loop + core) for b, core in zip(arrays[size:], cores[size:], strict=True)]
        results = tuple(np.empty(side.shape, side.dtype) for side in sides)
        for index in np.ndindex(*loop):
            at = [
                a[tuple(min(i, n - 1) for i, n in zip(index, a.shape, strict=False))] for a in arrays[:size]
            ]
            side = flat([b[index] for b in sides])
            asked = is_strict or side.any()
            x = self.point(at).solve(side, transposed) if asked else np.zeros(side.size)
            for result, part in zip(results, split(x, cores[: self.count]), strict=True):
                result[index] = part
        return results

    def point(self, leaves: Sequence[np.ndarray]) -> Point:
        """The conditions at these inputs; the last point is kept, with its factors."""
        key = tuple(np.asarray(leaf).tobytes() for leaf in leaves) + tuple(np.shape(leaf) for leaf in leaves)
        last = self._last
        if last is None or last[0] != key:
            self._last = last = (key, Point(self, [np.array(leaf) for leaf in leaves]))
        return last[1]

    def _has_few(self, cores: Sequence[Shape]) -> bool:
        return self.count <= _FEW and all(core == () for core in cores[: self.count])

    def _solved_at_once(
        self, arrays: Sequence[np.ndarray], loop: Shape, transposed: bool, is_strict: bool
    ) -> tuple[np.ndarray, ...]:
        """Elements with few numbers as unknowns: all their matrices by one pushforward for each column."""
        size, unknowns = len(self.conditions.inputs), tuple(range(self.count))
        point = list(arrays[:size])
        push, columns = self.conditions.pushforward(unknowns), []
        for k in unknowns:
            seeds = [
                np.full((1,) * len(loop), float(j == k), slot.dtype)
                for j, slot in zip(unknowns, self.conditions.inputs, strict=False)
            ]
            columns.append(np.stack([spread(y, loop) for y in push([*point, *seeds])], axis=-1))
        matrices = np.stack(columns, axis=-1).astype(float)
        sides = np.stack([np.broadcast_to(b, loop) for b in arrays[size:]], axis=-1).astype(float)
        self._check_many(point, matrices, loop)
        if transposed:
            matrices = np.swapaxes(matrices, -1, -2)
        asked = sides.any(-1) | is_strict
        x = np.zeros(sides.shape)
        x[asked] = _solved_each(matrices[asked], sides[asked], self._refuse_singular)
        return tuple(np.ascontiguousarray(x[..., k], b.dtype) for k, b in enumerate(arrays[size:]))

    def _check_many(self, point: Sequence[np.ndarray], matrices: np.ndarray, loop: Shape) -> None:
        if self.options.check is None:
            return
        residual = np.stack([spread(r, loop) for r in self.conditions(point)], axis=-1).astype(float)
        z = np.stack([spread(x, loop) for x in point[: self.count]], axis=-1).astype(float)
        wrong = np.isfinite(matrices).all((-1, -2)) & np.isfinite(residual).all(-1) & residual.any(-1)
        steps = np.zeros(residual.shape)
        with np.errstate(all="ignore"):
            regular = wrong & (abs(np.linalg.det(matrices)) > 0)
        steps[regular] = np.linalg.solve(matrices[regular], residual[regular][..., None])[..., 0]
        far = abs(steps).max(-1) > self.options.check * np.maximum(1.0, abs(z).max(-1))
        if far.any():
            where = tuple(np.argwhere(far)[0])
            self.refuse_far(z[where], residual[where], steps[where])

    def _refuse_singular(self, matrix: np.ndarray) -> None:
        raise self.singular(matrix, [()] * self.count)

    # --- errors ---------------------------------------------------------------------------------------------

    def refuse_far(self, z: np.ndarray, residual: np.ndarray, step: np.ndarray) -> None:
        """Raises for a z that does not fulfil the conditions."""
        raise DerivativeError(
            f"{self.name}: what the solver returned does not fulfil the conditions, so that the derivative "
            f"would be wrong: their largest residual is {abs(residual).max():.3g}, and a step of Newton's "
            f"method would move z, whose largest number is {abs(z).max():.3g}, by {abs(step).max():.3g}. "
            "Make the solver converge, or make the conditions those that it solves. "
            f"(check={self.options.check:g} is the largest relative step; check=None accepts any.)"
        )

    def singular(self, matrix: np.ndarray, cores: Sequence[Shape]) -> DerivativeError:
        """The error that names the unknowns and the conditions in the null spaces of a matrix."""
        left, values, right = np.linalg.svd(matrix)
        rank = int((values > values[0] * len(values) * np.finfo(float).eps).sum())
        rank = min(rank, len(values) - 1)
        columns, rows = abs(right[rank:]).max(0), abs(left[:, rank:]).max(1)
        unknowns, conditions = (self._listed(v, cores) for v in (columns, rows))
        return DerivativeError(
            f"{self.name}: the conditions are singular at the solution, which has no derivative there: "
            f"∂conditions/∂z has rank {rank} of {len(values)}. It leaves {unknowns} open, and the residual "
            f"of {conditions} depends on no unknown, or as others do."
        )

    def _listed(self, weights: np.ndarray, cores: Sequence[Shape]) -> str:
        """Names of the numbers of large weight."""
        names = [
            name + (f"[{', '.join(map(str, index))}]" if index else "")
            for name, core in zip(self.names, cores, strict=True)
            for index in np.ndindex(*core)
        ]
        found = [names[k] for k in np.flatnonzero(weights > 0.1 * weights.max())]
        return ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")


def _solved_each(matrices: np.ndarray, sides: np.ndarray, refuse: Callable[[np.ndarray], None]) -> np.ndarray:
    """Solutions of many small systems; nan for matrices that are not finite, unless nobody asks."""
    x = np.where(sides.any(-1, keepdims=True), np.full(sides.shape, np.nan), 0.0)
    finite = np.isfinite(matrices).all((-1, -2)) & np.isfinite(sides).all(-1)
    scaled = matrices / np.maximum(abs(matrices).max(-1, keepdims=True), np.finfo(float).tiny)
    values = np.linalg.svd(scaled[finite], compute_uv=False)
    is_singular = values[..., -1] <= values[..., 0] * np.finfo(float).eps / 8
    if is_singular.any():
        refuse(matrices[finite][is_singular][0])
    x[finite] = np.linalg.solve(matrices[finite], sides[finite][..., None])[..., 0]
    return x
