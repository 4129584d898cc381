"""Linear systems with the Jacobian of the conditions, at one solution or at each of many.

Dense: the matrix from C's Jacobian, rows and columns scaled to largest entries of one, LU with an estimate of
the condition number (LAPACK's gecon; Higham, Accuracy and Stability of Numerical Algorithms, ch. 15).
Matrix-free: products by C's pushforward and pullback along z, in a `scipy.sparse.linalg.LinearOperator`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff._errors import ArgumentError, DerivativeError, ShapeError, StructureError
from fwddiff._rule import Rule, Shape, Slot
from fwddiff._sizes import first_element

ITERATIVE = ("bicg", "bicgstab", "cg", "cgs", "gcrotmk", "gmres", "lgmres", "minres", "qmr", "tfqmr")
_FEW = 3  # unknowns of an element whose systems are solved all at once
_TOLERANCE = 1e-10


class Options:
    """How linear systems are solved, and how far from the conditions a solution may be."""

    def __init__(self, linear_solver: str | Callable, check: float | None):
        known = callable(linear_solver) or linear_solver in ("dense", *ITERATIVE)
        if not known:
            raise ArgumentError(
                f"linear_solver={linear_solver!r} is unknown: use 'dense', one of "
                f"{', '.join(map(repr, ITERATIVE))}, or a function (operator, right-hand side) → x."
            )
        if check is not None and not 0 < check:
            raise ArgumentError(f"check={check!r}: a positive number or None is needed.")
        self.linear_solver, self.check = linear_solver, check

    @property
    def is_dense(self) -> bool:
        return self.linear_solver == "dense"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple:
        return self.linear_solver, self.check


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
            at = [a[tuple(min(i, n - 1) for i, n in zip(index, a.shape, strict=False))] for a in arrays[:size]]
            side = _flat([b[index] for b in sides])
            asked = is_strict or side.any()
            x = self.point(at).solve(side, transposed) if asked else np.zeros(side.size)
            for result, part in zip(results, _split(x, cores[: self.count]), strict=True):
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
            seeds = [np.full((1,) * len(loop), float(j == k), slot.dtype) for j, slot in
                     zip(unknowns, self.conditions.inputs, strict=False)]
            columns.append(np.stack([_spread(y, loop) for y in push([*point, *seeds])], axis=-1))
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
        residual = np.stack([_spread(r, loop) for r in self.conditions(point)], axis=-1).astype(float)
        z = np.stack([_spread(x, loop) for x in point[: self.count]], axis=-1).astype(float)
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
            f"would be wrong: their largest residual is {abs(residual).max():.3g}, and a step of Newton's method "
            f"would move z, whose largest number is {abs(z).max():.3g}, by {abs(step).max():.3g}. Make the solver "
            f"converge, or make the conditions those that it solves. (check={self.options.check:g} is the "
            "largest relative step; check=None accepts any.)"
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
            f"∂conditions/∂z has rank {rank} of {len(values)}. It leaves {unknowns} open, and the residual of "
            f"{conditions} depends on no unknown, or as others do."
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


class Point:
    """The conditions at one solution, without loop axes."""

    def __init__(self, system: System, leaves: Sequence[np.ndarray]):
        self.system, self.conditions, self.leaves = system, system.conditions, list(leaves)
        self.unknowns = tuple(range(system.count))
        self.cores = [leaf.shape for leaf in leaves[: system.count]]
        self.z = _flat(leaves[: system.count])
        self.is_checked = False

    def solve(self, side: np.ndarray, transposed: bool) -> np.ndarray:
        """x with J x = side, or Jᵀ x = side."""
        if not self.is_checked:
            self.check()
            self.is_checked = True
        if not np.isfinite(side).all():
            return np.full(side.shape, np.nan)
        if not side.any() and not np.isfinite(self.z).all():  # of what is nan, nobody asks for this
            return np.zeros(side.shape)
        return self._solve(side, transposed)

    def _solve(self, side: np.ndarray, transposed: bool) -> np.ndarray:
        if self.system.options.is_dense:
            return self.factors.solve(side, transposed)
        # SciPy's methods give up where products of small numbers are tiny: those of vectors of length one are not.
        norm = float(np.linalg.norm(side)) or 1.0
        return norm * _iterated(self, side / norm, transposed)

    def check(self) -> None:
        """Raises DerivativeError if a Newton step would move z far. Of nan no more is known."""
        residual = self.residual()
        limit = self.system.options.check
        if limit is None or not residual.any() or not np.isfinite(residual).all():
            return
        step = self._solve(residual, False)
        if abs(step).max() > limit * max(1.0, abs(self.z).max()):
            self.system.refuse_far(self.z, residual, step)

    def residual(self) -> np.ndarray:
        return _flat(self.conditions(self.leaves))

    def product(self, x: np.ndarray, transposed: bool) -> np.ndarray:
        """J x or Jᵀ x."""
        derive = self.conditions.pullback if transposed else self.conditions.pushforward
        parts = _split(np.asarray(x).ravel(), self.cores)
        typed = [np.asarray(p, leaf.dtype) for p, leaf in zip(parts, self.leaves, strict=False)]
        return _flat(derive(self.unknowns)([*self.leaves, *typed]))

    @functools.cached_property
    def factors(self) -> Factors:
        return Factors(self, self.matrix())

    def matrix(self) -> np.ndarray:
        """J, column by column of the leaves of z."""
        return np.concatenate([self._columns(k, core) for k, core in enumerate(self.cores)], axis=1)

    def _columns(self, k: int, core: Shape) -> np.ndarray:
        dtype, extent = self.leaves[k].dtype, int(np.prod(core))
        if core and self.conditions.has_jacobian:
            blocks = self.conditions.jacobian((k,))(self.leaves)
            return np.concatenate([block.reshape(-1, extent) for block in blocks]).astype(float)
        basis = np.eye(extent, dtype=dtype).reshape(extent, *core)
        batch = [leaf[None] for leaf in self.leaves]
        blocks = self.conditions.pushforward((k,))([*batch, basis], 1)
        return np.concatenate([_spread(b, (extent,)).reshape(extent, -1) for b in blocks], axis=1).T.astype(float)


class Factors:
    """LU of the scaled matrix: R J S, with R and S diagonal."""

    def __init__(self, point: Point, matrix: np.ndarray):
        from scipy.linalg import lapack

        self.is_nan = not np.isfinite(matrix).all()
        if self.is_nan:
            return
        self.rows = _inverse_largest(matrix, 1)
        scaled = self.rows[:, None] * matrix
        self.columns = _inverse_largest(scaled, 0)
        scaled = scaled * self.columns
        self.lu, self.pivots, info = lapack.dgetrf(scaled)
        norm = abs(scaled).sum(0).max(initial=0.0)
        rcond = lapack.dgecon(self.lu, norm)[0] if info == 0 and len(matrix) else 0.0
        if len(matrix) and rcond < _precision(point):
            raise point.system.singular(scaled, point.cores)

    def solve(self, side: np.ndarray, transposed: bool) -> np.ndarray:
        from scipy.linalg import lapack

        if self.is_nan:
            return np.full(side.shape, np.nan)
        before, after = (self.columns, self.rows) if transposed else (self.rows, self.columns)
        x, _ = lapack.dgetrs(self.lu, self.pivots, before * side, trans=int(transposed))
        return after * x


def _precision(point: Point) -> float:
    """Below this a pivot of the scaled matrix is rounding."""
    return float(max(np.finfo(leaf.dtype).eps for leaf in point.leaves[: point.system.count]))


def _inverse_largest(matrix: np.ndarray, axis: int) -> np.ndarray:
    largest = abs(matrix).max(axis, initial=0.0)
    return 1.0 / np.where(largest > 0, largest, 1.0)


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


# --- iterative ----------------------------------------------------------------------------------------------


def _iterated(point: Point, side: np.ndarray, transposed: bool) -> np.ndarray:
    """By a solver of SciPy's, or by the user's, with products alone."""
    from scipy.sparse.linalg import LinearOperator

    n, chosen = side.size, point.system.options.linear_solver
    operator = LinearOperator(
        (n, n),
        matvec=lambda x: point.product(x, transposed),
        rmatvec=lambda x: point.product(x, not transposed),
        dtype=np.dtype(float),
    )
    if callable(chosen):
        found, name, tolerance = chosen(operator, side), getattr(chosen, "__name__", repr(chosen)), None
    else:
        found, name, tolerance = _by_scipy(chosen, operator, side), chosen, 100 * _tolerance(point)
    x, info = found if isinstance(found, tuple) else (found, 0)
    x = np.asarray(x, float).reshape(-1)
    if x.shape != side.shape:
        raise ShapeError(f"{point.system.name}: {name} returned {x.size} numbers for {n} unknowns.")
    _refuse_unsolved(point, name, info, operator.matvec(x) - side, tolerance)
    return x


def _by_scipy(name: str, operator: Any, side: np.ndarray) -> Any:
    import scipy.sparse.linalg

    solver = getattr(scipy.sparse.linalg, name)
    dtype_tolerance = _TOLERANCE
    # SciPy before 1.12 called the tolerance `tol`.
    word = "rtol" if "rtol" in inspect.signature(solver).parameters else "tol"
    options: dict[str, Any] = {word: dtype_tolerance}
    if name == "gmres":
        options["restart"] = min(side.size, 100)
    return solver(operator, side, **options)


def _tolerance(point: Point) -> float:
    return max(_TOLERANCE, *(float(np.finfo(leaf.dtype).eps) for leaf in point.leaves[: point.system.count]))


def _refuse_unsolved(
    point: Point, name: str, info: int, rest: np.ndarray, tolerance: float | None
) -> None:
    """What a solver says of itself, and what its answer leaves of the right-hand side."""
    limit = tolerance if tolerance is not None else point.system.options.check
    left = np.linalg.norm(rest)
    if info != 0 or (limit is not None and not left <= limit):
        raise DerivativeError(
            f"{point.system.name}: the linear solver {name} did not converge: it leaves {left:.3g} of the "
            f"right-hand side (info={info}). The conditions may be singular at the solution; else use "
            "linear_solver='dense', another method, or a function with a preconditioner of your own."
        )


# --- flat vectors -------------------------------------------------------------------------------------------


def _flat(leaves: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(float) if leaves else np.zeros(0)


def _split(x: np.ndarray, cores: Sequence[Shape]) -> list[np.ndarray]:
    ends = np.cumsum([int(np.prod(core)) for core in cores])[:-1]
    return [part.reshape(core) for part, core in zip(np.split(x, ends), cores, strict=True)]


def _spread(y: np.ndarray, loop: Shape) -> np.ndarray:
    return np.broadcast_to(y, loop + y.shape[len(loop) :])
