"""(s) Sparse Jacobians and Hessians: the Brusselator in two dimensions, a banded optimal control problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import fwddiff as fd
from benchmarks.harness.case import Case, Contestant, Run

SPARSE, DENSE, GROUPED = "fwddiff, sparse", "fwddiff, dense", "SciPy, grouped differences"
RADAU, RADAU_GROUPED, RADAU_DENSE = "Radau, fwddiff", "Radau, SciPy with jac_sparsity", "Radau, SciPy"
ALPHA = 0.1


def brusselator(y, n):
    """Right-hand side of the Brusselator reaction, periodic, of (n, n, 2) concentrations in one vector."""
    u, a = y.reshape(n, n, 2), ALPHA * (n - 1) ** 2
    out = np.empty((n, n, 2))
    for i in range(n):
        up, down = (i + 1) % n, (i - 1) % n
        for j in range(n):
            right, left = (j + 1) % n, (j - 1) % n
            c, d = u[i, j, 0], u[i, j, 1]
            around_c = u[up, j, 0] + u[down, j, 0] + u[i, right, 0] + u[i, left, 0]
            around_d = u[up, j, 1] + u[down, j, 1] + u[i, right, 1] + u[i, left, 1]
            out[i, j, 0] = a * (around_c - 4.0 * c) + 1.0 + c * c * d - 4.4 * c
            out[i, j, 1] = a * (around_d - 4.0 * d) + 3.4 * c - c * c * d
    return out.ravel()


def brusselator_start(n):
    """Concentrations at t = 0, as in Hairer and Wanner, Solving Ordinary Differential Equations II."""
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    return np.stack([22 * (y * (1 - y)) ** 1.5, 27 * (x * (1 - x)) ** 1.5], axis=-1).ravel()


def defects(z, steps):
    """Trapezoidal collocation of a pendulum that a torque swings up: (angle, velocity, torque) each time."""
    h, out = 2.0 / steps, np.empty(2 * steps)
    for k in range(steps):
        q, v, u = z[3 * k], z[3 * k + 1], z[3 * k + 2]
        q1, v1, u1 = z[3 * k + 3], z[3 * k + 4], z[3 * k + 5]
        out[2 * k] = q1 - q - 0.5 * h * (v + v1)
        out[2 * k + 1] = v1 - v - 0.5 * h * (u + u1 - math.sin(q) - math.sin(q1))
    return out


def lagrangian(z, multipliers, steps):
    h, total = 2.0 / steps, 0.0
    for k in range(steps):
        q, v, u = z[3 * k], z[3 * k + 1], z[3 * k + 2]
        q1, v1, u1 = z[3 * k + 3], z[3 * k + 4], z[3 * k + 5]
        total += 0.5 * h * (u * u + u1 * u1)
        total += multipliers[2 * k] * (q1 - q - 0.5 * h * (v + v1))
        total += multipliers[2 * k + 1] * (v1 - v - 0.5 * h * (u + u1 - math.sin(q) - math.sin(q1)))
    return total


def cases(quick: bool) -> Iterator[Case]:
    for n in (8, 16) if quick else (16, 64):
        y = brusselator_start(n)
        yield Case("s", "Brusselator's Jacobian", f"{n} × {n}", of_jacobian(brusselator, y, n))
    for steps in (20,) if quick else (1000,):
        z = np.random.default_rng(0).normal(size=3 * steps + 3)
        yield Case("s", "optimal control, Jacobian", f"{steps} steps", of_jacobian(defects, z, steps))
    for steps in (20,) if quick else (200,):
        z = np.random.default_rng(0).normal(size=3 * steps + 3)
        multipliers = np.random.default_rng(1).normal(size=2 * steps)
        found = of_hessian(lagrangian, z, multipliers, steps)
        yield Case("s", "optimal control, Hessian", f"{steps} steps", found)
    note = "All contestants integrate the same function, compiled by numba.njit."
    for n, end in ((8, 1.0),) if quick else ((24, 1.0), (32, 0.3), (64, 0.1)):
        found = by_radau(n, end)
        yield Case("s", "Brusselator by Radau", f"{n} × {n}, t = {end:g}", found, tolerance=2e-2, note=note)


def of_jacobian(f: Callable, x: np.ndarray, size: int) -> list[Contestant]:
    """Entries in the order of a sparse array."""

    def sparse() -> Run:
        jacobian = fd.jacobian(f, sparsity="detect")
        return lambda: jacobian(x, size).data

    def dense() -> Run:
        found = fd.jacobian(f, x, size, sparsity="detect").tocoo()
        return lambda: fd.jacobian(f, x, size)[found.row, found.col]

    def grouped() -> Run:
        from scipy.optimize import _numdiff

        found = fd.jacobian(f, x, size, sparsity="detect")
        found.data[:] = 1.0
        differences: Any = _numdiff.approx_derivative
        groups, compiled = _numdiff.group_columns(found), _compiled(f)
        how: Any = {"method": "2-point", "sparsity": (found, groups)}

        def run() -> np.ndarray:
            return differences(lambda x: compiled(x, size), x, **how).sorted_indices().data

        return run

    return [Contestant(SPARSE, sparse), Contestant(DENSE, dense), Contestant(GROUPED, grouped)]


def of_hessian(f: Callable, x: np.ndarray, *constants: Any) -> list[Contestant]:
    def sparse() -> Run:
        hessian = fd.hessian(f, sparsity="detect")
        return lambda: hessian(x, *constants).data

    def dense() -> Run:
        found = fd.hessian(f, x, *constants, sparsity="detect").tocoo()
        return lambda: fd.hessian(f, x, *constants)[found.row, found.col]

    return [Contestant(SPARSE, sparse), Contestant(DENSE, dense)]


def by_radau(n: int, end: float) -> Sequence[Contestant]:
    y = brusselator_start(n)

    def contestant(name: str, options: Callable[[Callable], dict[str, Any]]) -> Contestant:
        def make() -> Run:
            from scipy.integrate import solve_ivp

            compiled = _compiled(brusselator)
            right: Any = lambda t, y: compiled(np.ascontiguousarray(y), n)  # noqa: E731
            chosen = options(right)
            return lambda: solve_ivp(right, (0.0, end), y, method="Radau", **chosen).y[:, -1]

        return Contestant(name, make, "solution")

    def ours(right: Callable) -> dict[str, Any]:
        jacobian = fd.jacobian(brusselator, sparsity="detect")
        jacobian(y, n)
        return {"jac": lambda t, y: jacobian(y, n)}

    def structure(right: Callable) -> dict[str, Any]:
        found = fd.jacobian(brusselator, y, n, sparsity="detect")
        found.data[:] = 1.0
        return {"jac_sparsity": found}

    found = [contestant(RADAU, ours), contestant(RADAU_GROUPED, structure)]
    return found if n > 30 else [*found, contestant(RADAU_DENSE, lambda right: {})]


def _compiled(f: Callable) -> Callable:
    import numba

    return numba.njit(f)
