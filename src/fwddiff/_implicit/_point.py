"""The conditions at one solution: their Jacobian, as a matrix or by products, and linear systems with it.

Dense: rows and columns scaled to largest entries of one, LU with LAPACK's estimate of the condition number
(gecon; Higham, Accuracy and Stability of Numerical Algorithms, ch. 15). Matrix-free: products by C's
pushforward and pullback along z, in a `scipy.sparse.linalg.LinearOperator`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fwddiff._errors import ArgumentError, DerivativeError, ShapeError
from fwddiff._rule import Shape

ITERATIVE = ("bicg", "bicgstab", "cg", "cgs", "gcrotmk", "gmres", "lgmres", "minres", "qmr", "tfqmr")
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
        if check is not None and not check > 0:
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


class Point:
    """The conditions at one solution, without loop axes."""

    def __init__(self, system: Any, leaves: Sequence[np.ndarray]):
        self.system, self.conditions, self.leaves = system, system.conditions, list(leaves)
        self.unknowns = tuple(range(system.count))
        self.cores = [leaf.shape for leaf in leaves[: system.count]]
        self.z = flat(leaves[: system.count])
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
        # SciPy's methods break down where squares of the residual are tiny, so b has length one.
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
        return flat(self.conditions(self.leaves))

    def product(self, x: np.ndarray, transposed: bool) -> np.ndarray:
        """J x or Jᵀ x."""
        derive = self.conditions.pullback if transposed else self.conditions.pushforward
        parts = split(np.asarray(x).ravel(), self.cores)
        typed = [np.asarray(p, leaf.dtype) for p, leaf in zip(parts, self.leaves, strict=False)]
        return flat(derive(self.unknowns)([*self.leaves, *typed]))

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
        return np.concatenate([spread(b, (extent,)).reshape(extent, -1) for b in blocks], axis=1).T.astype(
            float
        )


class Factors:
    """LU of the scaled matrix: R J S, with R and S diagonal."""

    def __init__(self, point: Point, matrix: np.ndarray):
        self.is_nan = not np.isfinite(matrix).all()
        if self.is_nan:
            return
        self.rows = _inverse_largest(matrix, 1)
        scaled = self.rows[:, None] * matrix
        self.columns = _inverse_largest(scaled, 0)
        scaled = scaled * self.columns
        factor, estimate = _lapack("getrf", "gecon")
        self.lu, self.pivots, info = factor(scaled)
        norm = abs(scaled).sum(0).max(initial=0.0)
        rcond = estimate(self.lu, norm)[0] if info == 0 and len(matrix) else 0.0
        if len(matrix) and rcond < _precision(point):
            raise point.system.singular(scaled, point.cores)

    def solve(self, side: np.ndarray, transposed: bool) -> np.ndarray:
        if self.is_nan:
            return np.full(side.shape, np.nan)
        before, after = (self.columns, self.rows) if transposed else (self.rows, self.columns)
        (solve,) = _lapack("getrs")
        x, _ = solve(self.lu, self.pivots, before * side, trans=int(transposed))
        return after * x


def _lapack(*names: str) -> Any:
    """LAPACK's functions for float64; SciPy is loaded when a system is solved."""
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs(names, dtype=np.float64)


def _precision(point: Point) -> float:
    """Below this a pivot of the scaled matrix is rounding."""
    return float(max(np.finfo(leaf.dtype).eps for leaf in point.leaves[: point.system.count]))


def _inverse_largest(matrix: np.ndarray, axis: int) -> np.ndarray:
    largest = abs(matrix).max(axis, initial=0.0)
    return 1.0 / np.where(largest > 0, largest, 1.0)


# --- iterative ----------------------------------------------------------------------------------------------


def _iterated(point: Point, side: np.ndarray, transposed: bool) -> np.ndarray:
    """By a solver of SciPy's, or by the user's, with products alone."""
    import scipy.sparse.linalg

    n, chosen = side.size, point.system.options.linear_solver
    make: Any = scipy.sparse.linalg.LinearOperator  # whose stubs know of no keywords
    operator = make(
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


def _refuse_unsolved(point: Point, name: str, info: int, rest: np.ndarray, tolerance: float | None) -> None:
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


def flat(leaves: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(float) if leaves else np.zeros(0)


def split(x: np.ndarray, cores: Sequence[Shape]) -> list[np.ndarray]:
    ends = np.cumsum([int(np.prod(core)) for core in cores])[:-1]
    return [part.reshape(core) for part, core in zip(np.split(x, ends), cores, strict=True)]


def spread(y: np.ndarray, loop: Shape) -> np.ndarray:
    return np.broadcast_to(y, loop + y.shape[len(loop) :])
