"""(l) SciPy's solvers and fits: derivatives by fwddiff beside the finite differences that SciPy takes by
default."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fwddiff as fd
from benchmarks.harness.case import Case, Contestant, Run
from benchmarks.workloads.vectors import rosenbrock

START = np.linspace(-1.0, 1.2, 20)
TIMES = np.linspace(0.0, 4.0, 200)


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


def residuals(p, t, y):
    out = np.empty_like(y)
    for k in range(len(t)):
        out[k] = p[0] * math.exp(-p[1] * t[k]) * math.cos(p[2] * t[k] + p[3]) - y[k]
    return out


def tridiagonal(x):
    """Broyden's tridiagonal function (More, Garbow, Hillstrom 1981, no. 30)."""
    out = np.empty_like(x)
    n = len(x)
    for k in range(n):
        left = x[k - 1] if k > 0 else 0.0
        right = x[k + 1] if k < n - 1 else 0.0
        out[k] = (3.0 - 2.0 * x[k]) * x[k] - left - 2.0 * right + 1.0
    return out


def kinetics(t, y):
    """Robertson's chemical kinetics, stiff (Hairer and Wanner 1996, IV.1)."""
    out = np.empty_like(y)
    out[0] = -0.04 * y[0] + 1e4 * y[1] * y[2]
    out[2] = 3e7 * y[1] * y[1]
    out[1] = -out[0] - out[2]
    return out


def bratu(x, y):
    """y'' + exp(y) = 0 as a system, at all points of a mesh."""
    out = np.empty_like(y)
    for k in range(y.shape[1]):
        out[0, k] = y[1, k]
        out[1, k] = -math.exp(y[0, k])
    return out


def ends(ya, yb):
    out = np.empty(2)
    out[0] = ya[0]
    out[1] = yb[0]
    return out


def pointwise_jacobian(f: Callable) -> Callable:
    """Of a system of equations that holds at each point of a mesh by itself: one pushforward for each
    unknown."""
    pushforward = fd.pushforward(f, argnum=1)

    def jacobian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rows = [np.zeros_like(y) for _ in y]
        for k, row in enumerate(rows):
            row[k] = 1.0
        return np.stack([pushforward(x, row, y) for row in rows], axis=1)

    return jacobian


def cases(quick: bool) -> Iterator[Case]:
    for title, (size, ours, theirs) in CLIENTS.items():
        contestants = [
            Contestant("fwddiff", _runner(ours)),
            Contestant("finite differences", _runner(theirs)),
        ]
        yield Case("l", title, size, contestants, tolerance=1e-3)


def _runner(solve: Callable[[], Any]) -> Callable[[], Run]:
    return lambda: solve


def minimum(**options: Any) -> Callable[[], np.ndarray]:
    from scipy.optimize import minimize

    given = {"fun": rosenbrock, "x0": START, "method": "BFGS", "tol": 1e-6} | options
    return lambda: minimize(**given).x


def least_squares(**options: Any) -> Callable[[], np.ndarray]:
    from scipy import optimize

    y = residuals(np.array([2.0, 0.6, 3.0, 0.4]), TIMES, np.zeros(200))
    start = np.array([1.5, 0.5, 2.8, 0.2])
    return lambda: optimize.least_squares(residuals, start, args=(TIMES, y), **options).x


def fitted_curve(**options: Any) -> Callable[[], np.ndarray]:
    from scipy.optimize import curve_fit

    y = decay(TIMES, 2.0, 0.6, 0.5) + 0.01 * np.sin(37 * TIMES)
    return lambda: curve_fit(decay, TIMES, y, p0=(1.0, 1.0, 0.0), **options)[0]


def stacked_jacobian() -> Callable:
    jacobian = fd.jacobian(decay, argnum=(1, 2, 3))
    return lambda t, *p: np.array(jacobian(t, *p)).T


def root(**options: Any) -> Callable[[], np.ndarray]:
    from scipy import optimize

    return lambda: optimize.root(tridiagonal, -np.ones(50), **options).x


def stiff_solution(**options: Any) -> Callable[[], np.ndarray]:
    from scipy.integrate import solve_ivp

    given = {"y0": np.array([1.0, 0.0, 0.0]), "method": "Radau", "rtol": 1e-6, "atol": 1e-10} | options
    return lambda: solve_ivp(kinetics, (0.0, 1e4), **given).y[:, -1]


def boundary_solution(**options: Any) -> Callable[[], np.ndarray]:
    from scipy.integrate import solve_bvp

    mesh = np.linspace(0, 1, 20)
    return lambda: solve_bvp(bratu, ends, mesh, np.zeros((2, 20)), tol=1e-8, **options).sol(0.5)


CLIENTS: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
    "minimize, BFGS": ("n = 20", minimum(jac=fd.gradient(rosenbrock)), minimum()),
    "minimize, BFGS, value and gradient": (
        "n = 20",
        minimum(fun=fd.value_and_gradient(rosenbrock), jac=True),
        minimum(),
    ),
    "minimize, trust-exact": (
        "n = 20",
        minimum(method="trust-exact", jac=fd.gradient(rosenbrock), hess=fd.hessian(rosenbrock)),
        minimum(),
    ),
    "minimize, Newton-CG": (
        "n = 20",
        minimum(method="Newton-CG", jac=fd.gradient(rosenbrock), hessp=fd.hvp(rosenbrock)),
        minimum(),
    ),
    "least_squares": ("200 residuals", least_squares(jac=fd.jacobian(residuals)), least_squares()),
    "curve_fit": ("200 points", fitted_curve(jac=stacked_jacobian()), fitted_curve()),
    "root, hybr": ("n = 50", root(jac=fd.jacobian(tridiagonal)), root()),
    "solve_ivp, Radau": ("3 species", stiff_solution(jac=fd.jacobian(kinetics, argnum=1)), stiff_solution()),
    "solve_bvp": (
        "20 points",
        boundary_solution(fun_jac=pointwise_jacobian(bratu), bc_jac=fd.jacobian(ends, argnum=(0, 1))),
        boundary_solution(),
    ),
}
